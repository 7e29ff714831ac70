-- Hyper-parameters of a script's own: on the command line, in the run's config, after a resume, in a sweep, and where runs are compared.
local check = require "check"
local trainer = require "trainer"
local config_values = require "vbl.config.values"
local system = require "vbl.system.c"

-- At its STOP-th draw the task sends the process a Ctrl-C. The keys of `extra` join those of `own`.
local function script(extra)
  return ([[
local system = require "vbl.system.c"
local config = vbl.config({
  scenes = {train = 64, test = 32},
  model = {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"},
  tasks = {mlm = {probability = 0.15}},
  own = {scale = 0.5, pull = {power = 2}%s},  -- of the task pull
  epochs = 2, batch = 16, test_samples = 16, probe_samples = 0, log_every = 1, checkpoint_every = 3,
}, vbl.train.schemas())

local own, draws = config.own, 0
local Pull = {name = "pull", weight = own.scale}
function Pull:prepare(_, batch)
  draws = draws + 1
  if draws == tonumber(os.getenv "STOP") then system.run {"/bin/sh", "-c", "kill -INT " .. system.pid()} end
  return {n = batch.n, batch = batch}
end
function Pull:forward(model, work, lo, hi, pass)
  local out = model:run(vbl.tasks.part(work.batch, lo, hi), {pass = pass})
  local loss = (model.cls(out.text, out.text_layout) ^ own.pull.power):sum() / work.n
  return {loss = loss, stats = {["loss.pull"] = {loss, 0}}}
end
local run = vbl.train.pretrain(config, {tasks = {vbl.tasks.mlm(config.tasks.mlm), Pull}})
assert(run.test["loss.pull"])
]]):format(extra or "")
end

local mine = trainer.write("mine.lua", script())
local function run(words, ...) return trainer.expect(0, {mine, script = true, "--threads", "1", table.unpack(words)}, ...) end

local changed = {"own.scale=0.125", "own.pull.power=4", "tasks.mlm.probability=0.5"}
local plain, whole = run {}, run(changed)

check.group("--help tells them, a misspelt one is refused, and one outside own is told where it belongs", function()
  local _, text = run({"--help"}, "of the task pull")
  check.ok(text:find "own%.scale +0%.5" and text:find "own%.pull%.power +2", text)
  trainer.expect(1, {mine, script = true, "own.scal=1"}, "unknown key 'own.scal', did you mean 'own.scale'?")
  trainer.expect(1, {mine, script = true, "scale=1"}, "did you mean 'own.scale'?")
  local config = 'vbl.train.pretrain(vbl.config({siglip = 0.5}, vbl.train.schemas()))'
  trainer.expect(1, {trainer.write("outside.lua", config), script = true}, "the trainer has no key 'siglip' (a key of the script's own stands in own = {siglip = ...}, and is read as config.own.siglip)")
end)

check.group("they are in the run's config; a script without them has none there", function()
  local config = vbl.runs.open(whole).config
  check.equal(config.own.scale, 0.125)
  check.equal(config.own.pull.power, 4)
  check.equal(vbl.runs.open(trainer.expect(0, {"epochs=0"})).config.own, nil)
end)

check.group("a resume has them again, and the options of built-in tasks that the script makes", function()
  check.ok(trainer.metrics(plain) ~= trainer.metrics(whole))
  local cut = trainer.expect(130, {mine, script = true, "--threads", "1", env = {STOP = "7"}, table.unpack(changed)})
  run({"--resume", cut}, "resumed at step")
  trainer.same(whole, cut)
end)

check.group("a key that the run began without is told", function()
  local later = trainer.write("later.lua", script ", margin = 0.1")
  local cut = trainer.expect(130, {mine, script = true, "--threads", "1", env = {STOP = "7"}, table.unpack(changed)})
  trainer.expect(0, {later, script = true, "--threads", "1", "--resume", cut}, "own.margin: the run has none on record; it goes on with the script's 0.1")
  trainer.same(whole, cut)
end)

check.group("runs that differ in them", function()
  local a, b = vbl.runs.open(plain), vbl.runs.open(whole)
  local rows = {}
  for _, row in ipairs(vbl.runs.diff(a, b).config) do rows[row[1]] = row[2] .. " " .. row[3] end
  check.equal(rows["own.scale"], "0.5 0.125")
  check.equal(rows["own.pull.power"], "2 4")
  local causes = {}
  for _, row in ipairs(vbl.runs.why(a, b).causes) do causes[row[1]] = row[4] end
  check.ok(causes["own.scale"], "own.scale is no cause")
  check.equal(#vbl.runs.group({a, b}, "config.own.scale"), 2)
  check.ok(require "vbl.report.by_config" {a, b}[1].name:find("own.scale=0.5", 1, true))
end)

check.group("an axis of a sweep", function()
  local folder = trainer.folder .. "/sweep"
  local file = trainer.write("sweep.lua", ([[local sweep = vbl.sweep
    vbl.sweep {name = "own", experiment = %q, folder = %q, space = {["own.scale"] = sweep.choice {0.25, 0.5}, ["own.pull.power"] = 4, epochs = 1},
      objective = "min test.loss.pull", method = "grid", jobs = 1}]]):format(mine, folder))
  local text, code = system.output {system.executable(), file}
  check.ok(code == 0 and text:find("2 finished", 1, true), text)
  local found = {}
  for i, t in ipairs(vbl.sweep.open(folder).trials) do found[i] = t.config["own.scale"] end
  check.equal(config_values.show(found), "{0.25, 0.5}")
  local trial = system.list(folder .. "/trials")[1]
  check.equal(require "vbl.config.stored"(folder .. "/trials/" .. trial).own.pull.power, 4)
end)

trainer.finish()

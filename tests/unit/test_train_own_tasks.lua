-- Tasks that a script hands over: which they are is kept with the run, and what is wrong with one is a sentence that names it.
local check = require "check"
local trainer = require "trainer"
local c = require "vbl.store.c"

-- A script whose own task is `more` on top of a sound one; `parts` is what it hands over. At its STOP-th draw the task sends the process a Ctrl-C.
local function script(name, more, parts)
  return trainer.write(name .. ".lua", ([[
local system = require "vbl.system.c"
local config = vbl.config({
  scenes = {train = 32, test = 16},
  model = {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"},
  tasks = {mlm = {}}, epochs = 1, batch = 8, test_samples = 8, probe_samples = 0, checkpoint_every = 2, log_every = 1,
}, vbl.train.schemas())
local draws, task = 0, {name = "mine"}
function task:prepare(_, batch)
  draws = draws + 1
  if draws == tonumber(os.getenv "STOP") then system.run {"/bin/sh", "-c", "kill -INT " .. system.pid()} end
  return {n = batch.n, batch = batch}
end
local function cls(model, work, lo, hi, pass)
  local out = model:run(vbl.tasks.part(work.batch, lo, hi), {pass = pass})
  return model.cls(out.text, out.text_layout)
end
function task:forward(model, work, ...)
  local x = cls(model, work, ...)
  local loss = (x * x):sum() / work.n
  return {loss = loss, stats = {["loss.mine"] = {loss, 0}}}
end
local mlm = vbl.tasks.mlm(config.tasks.mlm)
%s
vbl.train.pretrain(config, %s)
]]):format(more, parts or "{tasks = {mlm, task}}"))
end

local function words(path, ...) return {path, script = true, "--threads", "1", ...} end

local sound = script("sound", "")

check.group("another script does not go on with a run of other tasks; the one that began it does", function()
  local function cut()
    local opts = words(sound)
    opts.env = {STOP = "5"}
    return trainer.expect(130, opts)
  end
  local run = cut()
  trainer.expect(1, words(script("without", "", "{}"), "--resume", run), "the run trains the tasks mlm, mine and this script", "hands over mlm: go on with the script that began it")
  trainer.expect(1, words(script("turned", "", "{tasks = {task, mlm}}"), "--resume", run), "hands over mine, mlm")
  trainer.expect(0, words(sound, "--resume", run), "resumed at step")
  run = cut()
  local text = c.read_file(run .. "/manifest.json")
  local old, n = text:gsub('"task_names": %b[],%s*', "")
  check.equal(n, 1)
  c.write_atomic(run .. "/manifest.json", old)
  trainer.expect(0, words(sound, "--resume", run), "resumed at step")
end)

check.group("parts that there are none of", function()
  trainer.expect(1, words(script("parts", "", "{task = {task}}")), "parts of vbl.train.pretrain: no option 'task', did you mean 'tasks'? (data, model, tasks)")
  trainer.expect(1, words(trainer.write("finetune.lua", 'vbl.train.finetune(vbl.config({}, vbl.train.schemas "finetune"), {tasks = {}})')),
                 "parts of vbl.train.finetune: no option 'tasks' (data, model)")
  check.error(function() vbl.train.job({flags = {}}, {modle = {}}) end, "parts of vbl.train.job: no option 'modle', did you mean 'model'?")
end)

check.group("--plan ends the script in pretrain", function()
  local script = trainer.write("after.lua", (c.read_file(sound):gsub("(vbl%.train%.pretrain.*)$", 'local run = %1assert(run.test["loss.mine"])\nprint "the run is there"\n')))
  trainer.expect(0, words(script), "the run is there")
  local _, text = trainer.expect(0, words(script, "--plan"), "optimizer steps")
  check.ok(not text:find("the run is there", 1, true), text)
end)

trainer.finish()

-- Runs of the trainer as processes of their own, for tests: a tiny experiment that can be hit by a signal at a chosen moment.
--   trainer.folder                       a fresh folder (fresh_folder.lua)
--   trainer.script                       the path of the experiment; its config can be changed by key=value
--   trainer.finetune                     that of one that fine-tunes (words: {trainer.finetune, ..., script = true})
--   trainer.run{word, ..., env = {K = V}, kill_after = seconds, limit = "ulimit -f 8;", looks = true, launcher = {word, ...}} -> output (both streams),
--                                        exit code, run folder (of a new run); limit: shell text before the start; looks: the script makes no run;
--                                        launcher: what starts the program
--   trainer.same(a, b)                   checks that two finished runs are equal but for the times
--   trainer.metrics(run)                 metrics.jsonl as text without the times
-- Moments, in the environment variable MOMENT ("WHERE COUNT SIGNALS"): at the COUNT-th call of WHERE the process sends itself the signals, e.g.
-- "prepare 5 INT". WHERE: prepare (a task's corruption, in training and evaluation), tensors (a checkpoint's tensor file is about to be written),
-- state (its state.json), metric (a line of the metrics has been written), update (a step of the optimizer is done), forward (a run of the model), ablate (the model is told what co-attention to leave out), count (thousands of Lua instructions). The signal FILL fills the disk under the file that the variable FILL names.
-- AGAIN = "SIGNALS": more of them, each time that a file is written while one waits. RANK: of several ranks, the one to which it happens.
local check = require "check"
local system = require "vbl.system.c"
local c = require "vbl.store.c"

local trainer = {}

trainer.folder = require "fresh_folder" "train"

local moments = [[
local vbl = require "vbl"
local system = require "vbl.system.c"
local store = require "vbl.store.c"

local where, count, signals = (os.getenv "MOMENT" or "nowhere 0"):match "^(%a+) (%d+) ?(.*)$"
local calls = 0
local rank = select(2, require("vbl.dist.c").launched())
local function hit()
  if rank ~= tonumber(os.getenv "RANK" or rank) then return end
  calls = calls + 1
  if calls ~= tonumber(count) then return end
  for signal in signals:gmatch "%a+" do
    local command = signal == "FILL" and "/bin/cat /dev/zero >$FILL" or "kill -" .. signal .. " " .. system.pid()
    system.run {"/bin/sh", "-c", command .. " 2>/dev/null"}
  end
end
local function instrument(t, name)
  local plain = t[name]
  t[name] = function(...)
    hit()
    return plain(...)
  end
end
if where == "tensors" then instrument(store, "safetensors_save") end
if where == "state" then instrument(store, "write_atomic") end
if where == "metric" then instrument(require "vbl.runs.events", "scalar") end
if where == "update" then
  local adamw = vbl.optim.adamw
  vbl.optim.adamw = function(...)
    local optimizer = adamw(...)
    local step = optimizer.step
    function optimizer.step(...)
      local norm, update = step(...)
      hit()
      return norm, update
    end
    return optimizer
  end
end
-- AGAIN: signals that come while what was reached is saved, after one at MOMENT.
local function again(t, name)
  local plain = t[name]
  t[name] = function(...)
    if system.interrupted() then
      for signal in os.getenv("AGAIN"):gmatch "%a+" do system.run {"/bin/sh", "-c", "kill -" .. signal .. " " .. system.pid()} end
    end
    return plain(...)
  end
end
if os.getenv "AGAIN" then
  again(store, "safetensors_save")
  again(store, "write_atomic")
end
if where == "count" then debug.sethook(hit, "", 1000) end
if where == "forward" or where == "ablate" then
  local vilbert = vbl.models.vilbert
  vbl.models.vilbert = function(...)
    local model = vilbert(...)
    instrument(model, where == "forward" and "run" or "ablate")
    return model
  end
end
]]

local experiment = moments .. [[
local config = vbl.config({
  scenes = {train = 64, test = 32},
  model = {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"},
  tasks = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {}},
  epochs = 2, batch = 16, test_samples = 16, probe_samples = 8, log_every = 1, checkpoint_every = 3,
}, vbl.train.schemas())
local parts = {}
if where == "prepare" then
  parts.tasks = {}
  for i, name in ipairs {"mlm", "ap", "mim"} do
    parts.tasks[i] = vbl.tasks[name](config.tasks[name])
    instrument(parts.tasks[i], "prepare")
  end
end
vbl.train.pretrain(config, parts)
print("calls", calls)
]]

local finetune = moments .. [[
vbl.train.finetune(vbl.config({
  scenes = {train = 96, test = 40}, head = {hidden = 16},
  model = {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"},
  epochs = 3, batch = 16, probe_samples = 8, log_every = 1, checkpoint_every = 2, patience = 0, val_fraction = 0.3,
}, vbl.train.schemas "finetune"))
print("calls", calls)
]]

function trainer.write(name, text)
  local path = trainer.folder .. "/" .. name
  c.write_atomic(path, text)
  return path
end

trainer.script = trainer.write("tiny.lua", experiment)
trainer.finetune = trainer.write("tiny_finetune.lua", finetune)

local made = 0

-- No program is found, so that no plots are drawn: drawing takes longer than the run.
function trainer.run(words)
  local command, new = {"env", "PATH=/nowhere", "OMP_WAIT_POLICY=passive"}, nil
  for name, value in pairs(words.env or {}) do command[#command + 1] = name .. "=" .. value end
  for _, word in ipairs(words.launcher or {}) do command[#command + 1] = word end
  command[#command + 1] = system.executable()
  if not words.script then command[#command + 1] = trainer.script end
  local elsewhere = words.looks
  for _, word in ipairs(words) do
    command[#command + 1] = word
    elsewhere = elsewhere or word == "--resume" or word == "--out"
  end
  if not elsewhere then
    made = made + 1
    new = ("%s/runs-%d"):format(trainer.folder, made)
    command[#command + 1] = "--out=" .. new
  end
  local start = 'exec "$@"'
  if words.kill_after then start = ('"$@" & sleep %g; kill -KILL $!; wait $!'):format(words.kill_after) end
  local text, code = system.output {"sh", "-c", ("exec 2>&1; %s %s"):format(words.limit or "", start), "sh", table.unpack(command)}
  local names = new and system.list(new)
  return text, code, names and names[1] and new .. "/" .. names[1]
end

-- The same, and a check that it ended with `code` and said every one of the texts.
function trainer.expect(code, words, ...)
  local text, got, run = trainer.run(words)
  local missing = {}
  for _, part in ipairs {...} do
    if not text:find(part, 1, true) then missing[#missing + 1] = ("%q"):format(part) end
  end
  check.ok(got == code and #missing == 0,
           ("%s: exit code %s, expected %d; output lacks %s: ...%s"):format(table.concat(words, " "), got, code, table.concat(missing, ", "), text:sub(-1200)))
  return run, text
end

function trainer.metrics(run) return require("vbl.runs.metrics").without_time(c.read_file(run .. "/metrics.jsonl")) end

local function state(path)
  local s = vbl.load(path .. "/state.json")
  s.offsets, s.state.counters.seconds = nil, nil
  return c.json_encode(s, {nan = "string"})
end

-- The first line in which two texts differ, for a message.
local function first_difference(a, b)
  local left, right = a:gmatch "[^\n]*", b:gmatch "[^\n]*"
  for line in left do
    local other = right()
    if line ~= other then return ("%s | %s"):format(line, tostring(other)) end
  end
  return ("lengths %d and %d"):format(#a, #b)
end

local function same_text(what, a, b) check.ok(a == b, ("%s: %s"):format(what, a == b or first_difference(a, b))) end

function trainer.same(a, b, kinds)
  same_text(b .. ": metrics", trainer.metrics(a), trainer.metrics(b))
  same_text(b .. ": warnings", c.read_file(a .. "/warnings.jsonl"), c.read_file(b .. "/warnings.jsonl"))
  for _, kind in ipairs(kinds or {"last", "best", "epoch-1", "epoch-2"}) do
    local left, right = ("%s/checkpoints/%s"):format(a, kind), ("%s/checkpoints/%s"):format(b, kind)
    for _, file in ipairs {"/model.safetensors", "/optimizer.safetensors"} do
      check.ok(c.read_file(left .. file) == c.read_file(right .. file), right .. file .. " differs")
    end
    same_text(right, state(left), state(right))
  end
end

trainer.finish = check.done

return trainer

-- A sweep of 40 real trainings with two workers: a worker killed with -9 five times, and five times every process of the sweep, at random
-- moments (printed), in between; gone on with by `vbl sweep resume`. Then the journal is complete, no run ended twice, every run's metrics
-- and score are those of a sweep that nobody disturbed, and the best trial, run again by the command that the sweep prints, gives its score.
local check = require "check"
local sweeps = require "sweeps"
local metrics = require "vbl.runs.metrics"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

-- No gnuplot: drawing takes longer than these runs.
store.make_folder(sweeps.folder .. "/bin")
system.run {"ln", "-s", "/bin/sh", sweeps.folder .. "/bin/sh"}

local experiment = sweeps.write("micro.lua", [[
local vbl = require "vbl"
local config = vbl.config({
  scenes = {train = 64, test = 32},
  model = {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"},
  tasks = {mlm = {}, ap = {contrastive = {weight = 1}}}, epochs = 3, batch = 16, test_samples = 16, probe_samples = 0, log_every = 1, checkpoint_every = 2,
}, vbl.train.schemas())
vbl.train.pretrain(config)
]])

local function file(name)
  return sweeps.write(name .. ".lua", ([[
local sweep = vbl.sweep
vbl.sweep {
  name = "kills", experiment = %q, folder = %q,
  space = {lr = sweep.log(1e-4, 3e-2), ["model.fusion"] = sweep.choice {"stacked", "interleaved"},
           ["model.coattention"] = sweep.when("model.fusion", "interleaved", sweep.subset {0, 1, k = {1, 2}, streams = {"text", "vision"}})},
  objective = "min test.loss.mlm", method = "random", trials = 40, jobs = 2,
}
]]):format(experiment, sweeps.folder .. "/" .. name))
end

local function begin(words)
  local child = assert(system.start({"env", "PATH=" .. sweeps.folder .. "/bin", system.executable(), table.unpack(words)}, {output = sweeps.folder .. "/log.txt"}))
  child:go()
  return child
end

local function wait(child, seconds)
  local stop = system.monotonic() + (seconds or math.huge)
  while system.monotonic() < stop do
    local code = child:poll()
    if code then return code end
    system.sleep(0.02)
  end
end

local function workers(folder)
  local list = {}
  for _, pid in ipairs(sweeps.processes("worker\0" .. folder)) do list[#list + 1] = pid end
  return list
end

-- Only signal 9 to what is there: the sweep's own processes have the folder, or its file, among their words.
local function kill_all(name)
  local count = 0
  for _, pid in ipairs(sweeps.processes(sweeps.folder .. "/" .. name)) do
    system.run {"kill", "-9", tostring(pid)}
    count = count + 1
  end
  return count
end

math.randomseed(os.time())

local function ends(folder)
  local count = 0
  for _, e in ipairs(sweeps.entries(folder)) do count = count + (e.type == "end" and e.status == "finished" and 1 or 0) end
  return count
end

-- Waits for `trials` more to end and then a random part of the time that one took: on a machine of any speed the kills are spread over the sweep.
local function wait_for(child, folder, trials)
  local began = system.monotonic()
  local target = system.exists(folder .. "/journal") and ends(folder) + trials or trials
  while not (system.exists(folder .. "/journal") and ends(folder) >= target) do
    local code = wait(child, 0.05)
    if code then return code end
  end
  return wait(child, math.random() * (system.monotonic() - began) / trials)
end

check.group("five workers and five whole sweeps killed", function()
  local folder, killed_workers, killed_all = sweeps.folder .. "/killed", 0, 0
  local child, code = begin {file "killed"}, nil
  for _ = 1, 5 do
    code = wait_for(child, folder, math.random(2))
    local list = code and {} or workers(folder)
    if #list > 0 then
      local pid = list[math.random(#list)]
      system.run {"kill", "-9", tostring(pid)}
      killed_workers = killed_workers + 1
      print(("  after %d trials: worker %d killed"):format(ends(folder), pid))
    end
    code = code or wait_for(child, folder, math.random(2))
    if code then break end
    killed_all = killed_all + 1
    print(("  after %d trials: all %d processes killed"):format(ends(folder), kill_all "killed"))
    wait(child)
    child = begin {"sweep", "resume", folder}
  end
  check.equal(code or wait(child), 0)
  check.ok(killed_workers == 5 and killed_all == 5, ("%d and %d kills"):format(killed_workers, killed_all))
  check.equal(#sweeps.processes(folder), 0)
end)

check.group("as if undisturbed", function()
  local killed, whole = sweeps.folder .. "/killed", sweeps.folder .. "/whole"
  check.equal(wait(begin {file "whole"}), 0)
  local a, b, attempts, resumed = sweeps.check_journal(killed, {0}), sweeps.check_journal(whole, {0}), 0, 0
  check.ok(#a == 39 and #b == 39, "40 trials each")
  for number = 0, 39 do
    local left, right = a[number][0], b[number][0]
    check.equal(left.status, "finished")
    check.equal(left.values["test.loss.mlm"], right.values["test.loss.mlm"])
    check.ok(metrics.without_time(store.read_file(("%s/%s/metrics.jsonl"):format(killed, left.run))) ==
             metrics.without_time(store.read_file(("%s/%s/metrics.jsonl"):format(whole, right.run))), ("trial %d: metrics differ"):format(number))
    attempts = attempts + left.attempt
  end
  for _, e in ipairs(sweeps.entries(killed)) do resumed = resumed + (e.type == "start" and e.resume and 1 or 0) end
  print(("  40 trials in %d attempts, %d of them from a checkpoint; journal of %d entries"):format(attempts, resumed, #sweeps.entries(killed)))
end)

check.group("the best trial again", function()
  local record = vbl.sweep.open(sweeps.folder .. "/killed")
  local command = require("vbl.sweep.status").command(record.state.spec, record.best[1].config, 0)
  local _, code = system.output {"sh", "-c", ('PATH="$0/bin"; exec %s --out "$0/again" >/dev/null'):format(
    (command:gsub("^vbl", "'" .. system.executable() .. "'"))), sweeps.folder}
  check.equal(code, 0)
  local run = vbl.runs.open(sweeps.folder .. "/again/" .. system.list(sweeps.folder .. "/again")[1])
  check.equal(run:last()["test.loss.mlm"], record.best[1].values["test.loss.mlm"])
  print(("  trial %d: %.17g twice"):format(record.best[1].number, record.best[1].values["test.loss.mlm"]))
end)

sweeps.finish()

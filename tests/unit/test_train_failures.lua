-- What a run says and leaves when it cannot go on: a loss that is no number, a full disk, checkpoints and folders that are damaged.
local check = require "check"
local trainer = require "trainer"
local c = require "vbl.store.c"
local system = require "vbl.system.c"

local whole = trainer.expect(0, {"--threads", "1"})

local function copy(run)
  local path = run .. "-copy"
  c.remove(path)
  system.run {"cp", "-a", run, path}
  return path
end

-- A run as it is three steps in.
local cut = trainer.expect(130, {"--threads", "1", env = {MOMENT = "prepare 11 INT"}})

check.group("a loss that is no number: task, step, the last good checkpoint, exit code 1", function()
  local run, text = trainer.expect(1, {"--threads", "1", "lr=1e18", "clip=0", "warmup=0"}, "of task ", "; the last good checkpoint is ",
                                   "checkpoints/last (step 0)", "smaller lr")
  check.ok(text:find "step 2: loss of task %a+ is %a+; in task %a+ the [^;]+; %d* ?weights? [^;]+; the last good", text)
  check.ok(not text:find("loop.lua", 1, true), text)
  check.ok(c.read_file(run .. "/log.txt"):find("stopped after step 1 of 8", 1, true))
  check.equal(vbl.load(run .. "/checkpoints/last/state.json").state.counters.step, 0)
  run = trainer.expect(1, {"--threads", "1", "lr=1e18", "clip=0", "warmup=0", "scenes.train=16"}, "step 1: test loss of task ", "the last good")
  check.ok(not system.exists(run .. "/checkpoints/epoch-1"))
end)

-- Weights that a script has broken: at step 3 in training, and at an epoch's end, where the test finds them.
local function broken(step, last)
  local script = trainer.write("broken.lua", ([[
    local config = vbl.config({scenes = {train = 64, test = 32}, tasks = {mlm = {}},
      model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16}, epochs = 2, batch = 16, probe_samples = 0,
      checkpoint_every = 2}, vbl.train.schemas())
    local task, works = vbl.tasks.mlm(), 0
    local model
    local check, prepare = task.check, task.prepare
    function task:check(m) model = m return check(self, m) end
    function task:prepare(...)
      if select(3, ...).step == %d then
        vbl.no_grad(function() model:parameters()["bert.embeddings.LayerNorm.weight"]:fill_(0 / 0) end)
      end
      return prepare(self, ...)
    end
    vbl.train.pretrain(config, {tasks = {task}})
  ]]):format(step))
  local run = trainer.expect(1, {script, script = true}, "task mlm", "NaN", "step " .. step .. ":", last, "output of bert.embeddings.LayerNorm: row 1 of ",
                             "weight not finite, the first bert.embeddings.LayerNorm.weight (")
  check.ok(system.exists(run .. "/checkpoints/last/model.safetensors"))
end

check.group("a weight that is no number", function()
  broken(3, "checkpoints/last (step 2)")
  broken(1, "checkpoints/last (step 0)")
end)

check.group("a file size limit (RLIMIT_FSIZE): the older checkpoint stays, the run says so and goes on later", function()
  local run = copy(cut)
  trainer.expect(1, {"--threads", "1", "--resume", run, limit = "ulimit -f 500;"}, "checkpoint last was not written", "File too large", "checkpoints/last (step 3)",
                 "the end of the run is in no checkpoint", "--resume " .. run)
  local result = vbl.load(run .. "/result.json")
  check.ok(result.status == "failed" and result.message:find("the checkpoint last was not written", 1, true), result.message)
  check.equal(vbl.load(run .. "/checkpoints/last/state.json").state.counters.step, 3)
  trainer.expect(1, {"--threads", "1", "--resume", run, limit = "ulimit -f 60;"}, "metrics.jsonl", "File too large")
  trainer.expect(0, {"--threads", "1", "--resume", run}, "resumed at step 3")
  trainer.same(whole, run)
end)

-- A disk of its own; the run is copied out of it before it goes. Returns the copy and what was said.
local function on_small_disk(moment, code, ...)
  local disk, out = trainer.folder .. "/disk", trainer.folder .. "/copied"
  c.make_folder(disk)
  c.remove(out)
  c.make_folder(out)
  local shell = ([[exec 2>&1; mount -t tmpfs -o size=2m tmpfs '%s' || exit 99
    env PATH=/nowhere MOMENT='%s' FILL='%s/fill' '%s' '%s' --threads 1 --out '%s'; code=$?; rm -f '%s/fill'; cp -a '%s'/*-tiny '%s/run'; exit $code]]):format(
    disk, moment, disk, system.executable(), trainer.script, disk, disk, disk, out)
  local text, got = system.output {"unshare", "-rm", "sh", "-c", shell}
  if got == 99 or got == nil then return nil end
  check.ok(got == code, ("exit code %s, expected %d: %s"):format(got, code, text))
  for _, part in ipairs {...} do check.ok(text:find(part, 1, true), ("output lacks %q: %s"):format(part, text)) end
  return out .. "/run", text
end

check.group("a full disk", function()
  local run = on_small_disk("tensors 3 FILL", 1, "No space left on device", "checkpoints/last (step 0)")
  if not run then
    print "  SKIPPED: no right to mount a small disk"
    return
  end
  trainer.expect(0, {"--threads", "1", "--resume", run})
  trainer.same(whole, run)
  local said
  run, said = on_small_disk("prepare 14 FILL", 1, "metrics.jsonl", "No space left on device")
  check.ok(not said:find("traceback", 1, true) and not said:find("%.lua:%d"), said)
  trainer.expect(0, {"--threads", "1", "--resume", run}, "resumed at step 3")
  trainer.same(whole, run)
end)

check.group("damaged checkpoints: which file, and the way out", function()
  local run = copy(whole)
  for _, file in ipairs {"model.safetensors", "optimizer.safetensors", "state.json"} do
    local path = run .. "/checkpoints/last/" .. file
    local text = c.read_file(path)
    c.write_atomic(path, text:sub(1, #text // 2))
    local _, said = trainer.expect(1, {"--resume", run}, file, "whole checkpoints of this run: best, epoch-1, epoch-2", "cp -rL")
    check.ok(not said:find("traceback", 1, true) and not said:find("state.lua", 1, true), said)
    c.remove(path)
    trainer.expect(1, {"--resume", run}, file, "cp -rL")
    c.write_atomic(path, text)
  end
  trainer.expect(0, {"--threads", "1", "--resume", run}, "resumed at step 8 of 8")
  c.remove(run .. "/checkpoints/last/model.safetensors")
  local _, said = trainer.expect(1, {"--resume", run}, "cp -rL")
  local command = (said:match "\n%s*(rm %-r [^\n]*)"):gsub("epoch%-2", "epoch-1")
  system.run {"sh", "-c", command}
  trainer.expect(0, {"--threads", "1", "--resume", run}, "resumed at step 4 of 8")
  trainer.same(whole, run)
end)

check.group("another config, other data, another model", function()
  local run = copy(cut)
  local text = c.read_file(run .. "/config.lua")
  c.write_atomic(run .. "/config.lua", (text:gsub("lr = 0.001", "lr = 0.002")))
  trainer.expect(1, {"--resume", run}, "checkpoints/last", "'lr' is 0.001 in the checkpoint and 0.002 in this config")
  c.write_atomic(run .. "/config.lua", (text:gsub("train = 64", "train = 65")))
  trainer.expect(1, {"--resume", run}, "checkpoints/last", "of another run", "data")
  c.write_atomic(run .. "/config.lua", text:sub(1, #text // 2))
  trainer.expect(1, {"--resume", run}, "config.lua")
end)

check.group("folders that are no run", function()
  trainer.expect(1, {"--resume", trainer.folder}, "not a run's folder", "config.lua")
  trainer.expect(1, {"--resume", trainer.folder .. "/none"}, "/none: not a run's folder")
  trainer.expect(1, {"--resume", whole .. "/checkpoints/last"}, "not a run's folder")
  local held <close> = c.append(cut .. "/metrics.jsonl")
  trainer.expect(1, {"--resume", cut}, "metrics.jsonl", "another process")
end)

if os.getenv "OMP_THREAD_LIMIT" == "1" then
  print "not checked: another number of threads is said (OMP_THREAD_LIMIT allows one)"
else
  check.group("another number of threads is said", function() trainer.expect(0, {"--threads", "2", "--resume", copy(cut)}, "began with 1 threads", "--threads 1") end)
end

trainer.finish()

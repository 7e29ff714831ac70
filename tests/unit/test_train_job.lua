-- What a job makes of its config: the config stays the user's, and what is chosen for it follows from what is there in the end.
local check = require "check"
local finetuning = require "vbl.train.finetuning"
local job_of = require "vbl.train.job"
local vbl = require "vbl"

local tiny = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16, fusion = "interleaved", placement = "none"}

local function with(given, ...)
  local all = {}
  for _, t in ipairs {given, ...} do
    for key, value in pairs(t) do all[key] = value end
  end
  return all
end

local function pretrain_config(given)
  return vbl.config(with({scenes = {train = 32, test = 16}, model = tiny, tasks = {mlm = {}}, epochs = 0, batch = 16, probe_samples = 0}, given), vbl.train.schemas())
end

local function finetune_config(given)
  return vbl.config(with({data = "scenes", scenes = {train = 64, test = 32}, model = tiny, epochs = 0, batch = 16, probe_samples = 0}, given), vbl.train.schemas "finetune")
end

-- The peak learning rate that a config ends with.
local function rate(config, parts) return vbl.train.job(config, parts).config.lr end
local function tuning_rate(given) return job_of.new(finetune_config(given), {kind = finetuning}).config.lr end

check.group("one config for several jobs: nothing is written into it", function()
  local config = pretrain_config {lr = "auto", tasks = {mlm = {}, ap = {head = "auto"}}}
  for _, preset in ipairs {"tiny", "small", "tiny"} do
    config.model = with(tiny, {preset = preset})
    local job = vbl.train.job(config)
    check.equal(job.config.lr, preset == "tiny" and 1e-3 or 3e-4)
    check.equal(job.config.tasks.ap.head, "concat")
    check.equal(config.lr, "auto")
    check.equal(config.tasks.ap.head, "auto")
  end
end)

check.group("the rate is that of the preset: the data's where none is given", function()
  local small = with(tiny, {preset = "small"})
  check.equal(rate(pretrain_config {}), 1e-3)
  check.equal(rate(pretrain_config {data = "scenes", model = with(tiny, {preset = "auto"})}), 1e-3)
  check.equal(rate(pretrain_config {model = with(tiny, {preset = "auto"})}), 1e-3)
  check.equal(rate(pretrain_config {model = small}), 3e-4)
  check.equal(rate(pretrain_config {model = small, lr = 2e-3}), 2e-3)
  check.equal(tuning_rate {}, 1e-3)
  check.equal(tuning_rate {model = small}, 5e-4)
  check.error(function() rate(pretrain_config {lr = "fast"}) end, "config: lr: expected a number or auto, got string (fast)")
end)

check.group("with weights it is that of their width", function()
  local name = os.tmpname()
  local path = name .. ".safetensors"
  for width, expected in pairs {[128] = {1e-3, 5e-4, 1e-3}, [256] = {3e-4, 2e-4, 5e-4}, [264] = {1e-4, 3.4e-5, 1e-4}} do
    local sizes = with(tiny, {dim = width})
    local model = vbl.models.vilbert(with(sizes, {vocab = 106}))
    model:save(path)
    check.equal(rate(pretrain_config {model = {weights = path}}), expected[1])
    check.equal(rate(pretrain_config {model = {}}, {model = model}), expected[1])
    for _, preset in ipairs {"auto", "tiny", "small"} do check.equal(tuning_rate {from = path, model = {preset = preset}}, expected[2]) end
    check.equal(tuning_rate {from = path, model = {}, baseline = "random"}, expected[3])
  end
  os.remove(name)
  os.remove(path)
end)

check.group("deterministic is of one job, and a script's own call stays", function()
  local function job(on)
    vbl.train.job(pretrain_config {deterministic = on})
    return vbl.deterministic()
  end
  check.equal(job(false), false)
  check.equal(job(true), true)
  check.equal(job(true), true)
  check.equal(job(false), false)
  vbl.deterministic(true)
  check.equal(job(true), true)
  check.equal(job(false), true)
  vbl.deterministic(false)
end)

check.group("tasks of one name", function()
  local config = pretrain_config {}
  local function job(...) return vbl.train.job(config, {tasks = {...}}) end
  check.error(function() job(vbl.tasks.mlm {}, vbl.tasks.ap {}, vbl.tasks.mlm {weight = 2}) end,
              "tasks[1] and tasks[3] are both named 'mlm', and what a task computes goes by its name: give one another name")
  check.error(function() job(vbl.tasks.mlm {}, {weight = 1}) end, "tasks[2]: expected a task with a name, got the name nil")
  local second = vbl.tasks.mlm {weight = 2}
  second.name = "again"
  check.equal(#job(vbl.tasks.mlm {}, second).tasks, 2)
end)

-- Runs the model with each of the numbers, which count from the task's first.
local function asking(name, ...)
  local offsets, task = {...}, setmetatable({name = name, given = {}}, {__index = vbl.tasks.mlm {}})
  function task:forward(model, work, lo, hi, pass)
    table.insert(self.given, pass)
    local requests = {}
    for i, offset in ipairs(offsets) do requests[i] = {vbl.tasks.part(work.batch, lo, hi), {pass = offset and pass + offset}} end
    model:run_all(requests)
    model:run(table.unpack(requests[#requests]))
    return {stats = {}}
  end
  return task
end

check.group("passes: each task's are its own", function()
  local function step(...)
    local job = vbl.train.job(pretrain_config {epochs = 1, model = with(tiny, {heads = {"mlm"}})}, {tasks = {vbl.tasks.mlm {}, ...}})
    local loader <close> = job.train:loader()
    loader:submit({1, 2, 3, 4}, 1)
    vbl.train.step(job, loader:next(), 1)
  end
  local two, three, last = asking("two", 0, 1), asking("three", 0, 1, 2), asking("last", 0)
  check.error(function() step(three, last) end, "task three: forward ran the model with pass = 4; its own numbers are 2 (the pass that it is given) to 3",
              "A task that needs more than 2 says so: passes = N")
  three.passes, three.given = 3, {}
  step(two, three, last)
  check.equal(table.concat({two.given[1], three.given[1], last.given[1]}, " "), "2 4 7")  -- MLM, the first, has 0 and 1
  check.error(function() step(asking("none", false)) end, "task none: forward ran the model with pass = 0; its own numbers are 2")
  three.passes = 1.5
  check.error(function() step(three) end, "task three: passes: expected a whole number from 1 to 2048, got 1.5")
end)

check.done()

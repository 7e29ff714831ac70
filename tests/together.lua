-- Steps of several tasks, as one batch through the model or one after the other: losses, statistics and gradients to compare.
--   together.with(...) -> the config of a small model with these keys      together.interleaved: keys of one that fuses between the layers
--   together.job_of(model, tasks[, more keys of the config[, parts]]) -> job       on the CPU, batch 12
--   together.works_of(job, key) -> task name -> work                       of the first batch
--   together.step(job, works, at_once[, micro]) -> losses and statistics, gradients in f64, how often a batch went through the model
--   together.check_same(job, result, gradients, result2, gradients2)       of two such steps: equal to rounding
local check = require "check"
local gradients = require "gradients"
local accumulate = require "vbl.train.accumulate"
local vbl = require "vbl"

local together = {}

-- A value passes some dozen roundings of 2^-24 of itself, sums of up to N = 800 rows among them, whose errors grow with the root of N: below 2e-6 of the
-- whole. Other masks would be errors of the size of the values.
local TOLERANCE = 2e-6

local small = {preset = "tiny", dim = 32, layers = 2, attention_heads = 4, mlp = 64, patch = 16, dropout = 0.1, init = "fan_in"}
together.interleaved = {fusion = "interleaved", coattention = {text = {0, 1}, vision = {0, 1}, dim = 32, heads = 4}}

function together.with(...)
  local all = {}
  for _, t in ipairs {small, ...} do
    for key, value in pairs(t) do all[key] = value end
  end
  return all
end

function together.job_of(model, tasks, more, parts)
  local config = {flags = {seed = 3, device = "cpu"}, name = "together", data = "scenes", scenes = {train = 32, test = 8}, model = model, tasks = tasks,
                  batch = 12, epochs = 1, tasks_together = "yes"}
  for key, value in pairs(more or {}) do config[key] = value end
  return vbl.train.job(config, parts)
end

function together.works_of(job, key)
  local batch, works = job.train:range(1, 12), {}
  for _, task in ipairs(job.tasks) do works[task.name] = task:prepare(job.train, batch, key) end
  return works
end

function together.step(job, works, at_once, micro)
  job.model.rng.step, job.mix.at_once = 1, at_once
  for _, p in ipairs(job.model:parameters()) do p.tensor.grad = nil end
  local runs, run, grads = 0, job.model.run, {}
  rawset(job.model, "run", function(...)
    runs = runs + 1
    return run(...)
  end)
  local result = job.mix:backward(works, micro or 12, 1, 10, false)
  rawset(job.model, "run", nil)
  for _, p in ipairs(job.model:parameters()) do grads[p.name] = p.tensor.grad and p.tensor.grad:to "f64" or nil end
  return result, grads, runs
end

local function distance(a, b)
  for name in pairs(b) do check.ok(a[name], name) end
  return gradients.distance(a, b)
end

function together.check_same(job, apart, wanted, all, grads)
  for _, task in ipairs(job.tasks) do
    local a, b = apart[task.name], all[task.name]
    check.near(b.loss, a.loss, TOLERANCE * math.abs(a.loss))
    check.equal(b.weight, a.weight)
    local values = accumulate.values(b.stats)
    for stat, v in pairs(accumulate.values(a.stats)) do check.near(values[stat], v, TOLERANCE * math.abs(v)) end
  end
  local d = distance(wanted, grads)
  print(("  gradients' relative L2 %.2e"):format(d))
  check.ok(d <= TOLERANCE and d > 0, d)
end

return together

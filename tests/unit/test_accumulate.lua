-- Accumulation gives the big batch's gradient: 32x1, 8x4 and 4x8 against 1x32, for MLM, AP with InfoNCE, and MIM, with dropout on.
local check = require "check"
local gradients = require "gradients"
local vbl = require "vbl"
local accumulate = require "vbl.train.accumulate"

local function job()
  return vbl.train.job {
    flags = {seed = 3, device = "cpu"}, name = "accumulate", data = "scenes", scenes = {train = 64, test = 32},
    model = {preset = "tiny", dim = 32, layers = 2, attention_heads = 4, mlp = 64, patch = 16, dropout = 0.1, init = "fan_in"},
    tasks = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {}}, batch = 32, epochs = 1,
  }
end

local function backward(j, task, micro)
  local batch = j.train:range(1, 32)
  local work = task:prepare(j.train, batch, {seed = 3, step = 1, epoch = 1})
  j.model.rng.step = 1
  for _, p in ipairs(j.model:parameters()) do p.tensor.grad = nil end
  local result = accumulate.backward(j.model, {{task = task, work = work, pass = 0, scale = 1}}, micro)[1]
  return gradients.of(j.model:parameters()), result.loss, accumulate.values(result.stats)
end

local j = job()
for _, task in ipairs(j.tasks) do
  check.group("accumulation, " .. task.name, function()
    local whole, loss, values = backward(j, task, 32)
    for _, micro in ipairs {1, 4, 8, 5} do
      local parts, same, shown = backward(j, task, micro)
      for name, v in pairs(values) do check.near(shown[name] or 0 / 0, v, 2e-6 * math.abs(v)) end  -- a part may have no masked token
      check.near(same, loss, 2e-6 * math.abs(loss))
      local d = gradients.distance(whole, parts)
      print(string.format("  micro %2d: gradients' relative L2 %.2e", micro, d))
      check.near(d, 0, 1e-6)
    end
  end)
end
check.done()

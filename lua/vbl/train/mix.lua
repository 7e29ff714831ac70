-- How several tasks share a step. how = "joint": every task each step, their gradients summed; "alternating": one task a step, in turn;
-- "sampled": one task a step, drawn in proportion to the weights, which then do not scale its loss too. weighting = "fixed": the tasks'
-- own weights; "uncertainty": each loss L becomes exp(-s) L + s with a learnt s (Kendall, Gal, Cipolla 2018); "gradient": every task's
-- gradient is brought to the tasks' mean norm, then weighted; one that is no more than rounding is left out.
local vbl = require "vbl"
local accumulate = require "vbl.train.accumulate"
local dist = require "vbl.dist"
local later = require "vbl.later"
local nearest = require "vbl.nearest"
local random = require "vbl.data.c"

local Mix = {}
Mix.__index = Mix

local mix = {}

local function weight_of(task, step, total)
  local w = task.weight
  if w == nil then return 1 end
  if type(w) == "function" then w = w(step, total) end
  if type(w) == "number" then return w end
  error(("task %s: weight(step, total_steps) has to return a number, got %s at step %d"):format(task.name, tostring(w), step), 0)
end

local choices = {
  how = {"joint", "alternating", "sampled"},
  weighting = {"fixed", "uncertainty", "gradient"},
}

-- opts: {how=, weighting=}, the config's key mix; raises for what is none.
function mix.check(opts)
  for key, value in pairs(opts) do
    local list = choices[key]
    if not list then error(string.format("config: mix: unknown key '%s'%s", tostring(key), nearest.hint(key, choices)), 0) end
    local known = false
    for _, choice in ipairs(list) do known = known or choice == value end
    if not known then
      error(string.format("config: mix.%s: expected one of %s, got '%s'%s", key, table.concat(list, ", "), tostring(value), nearest.hint(value, list)), 0)
    end
  end
end

local function joined(a, b)
  local list = table.move(a, 1, #a, 1, {})
  return table.move(b, 1, #b, #a + 1, list)
end

-- opts: as of mix.check. self.list: the leaves of "uncertainty", mix.log_variance.<task>: they are the training's, not the model's, whose weights others
-- load. self.parameters: what the optimizer updates, the model's parameters and then those.
function mix.new(tasks, model, opts, seed)
  local self = setmetatable({tasks = tasks, model = model, list = {}, how = opts.how or "joint", weighting = opts.weighting or "fixed", seed = seed}, Mix)
  if self.weighting == "uncertainty" then
    self.log_variance = {}
    for i, task in ipairs(tasks) do
      local s = vbl.zeros(1):keep():requires_grad_(true)
      self.log_variance[task.name], self.list[i] = s, {name = "mix.log_variance." .. task.name, tensor = s}
    end
  end
  self.parameters = joined(model.list, self.list)
  return self
end

-- The tasks of step `step`.
function Mix:active(step, total)
  if self.how == "joint" then return self.tasks end
  if self.how == "alternating" then return {self.tasks[(step - 1) % #self.tasks + 1]} end
  local sum, at = 0, 0
  for _, task in ipairs(self.tasks) do sum = sum + weight_of(task, step, total) end
  if sum <= 0 then error(string.format("mix.how = sampled: the tasks' weights at step %d are all 0", step), 0) end
  local u = random.uniform(self.seed, "order", step) * sum
  for _, task in ipairs(self.tasks) do
    at = at + weight_of(task, step, total)
    if u < at then return {task} end
  end
  return {self.tasks[#self.tasks]}
end

-- The kinds of step that a run of `total` steps takes, which differ in their tasks: {{steps = the numbers of its first `most`, count = of all}, ...}
function Mix:kinds(total, most)
  local kinds, of = {}, {}
  for step = 1, total do
    local first = self:active(step, total)[1]
    if not of[first] then
      of[first] = {steps = {}, count = 0}
      kinds[#kinds + 1] = of[first]
    end
    local kind = of[first]
    kind.count = kind.count + 1
    if kind.count <= most then kind.steps[kind.count] = step end
  end
  return kinds
end

local function gradient_norm(list)
  local sum = 0
  for _, p in ipairs(list) do
    local g = p.tensor.grad
    if g then sum = sum + later.of(g:square():sum()) end
  end
  return later.map(math.sqrt, sum)
end

-- Moves the parameters' gradients into `sums` (name -> tensor), scaled.
local function stow(list, sums, scale)
  for _, p in ipairs(list) do
    local g = p.tensor.grad
    if g then
      local scaled = g * scale
      sums[p.name] = sums[p.name] and sums[p.name] + scaled or scaled
    end
  end
end

-- weight of a task's loss in this step's sum; for "uncertainty" also lets the gradient flow into its s, and waits for the loss.
function Mix:scale(task, step, total, loss)
  local w = self.how == "sampled" and 1 or weight_of(task, step, total)
  local s = self.log_variance and self.log_variance[task.name]
  if not s then return w end
  if loss then vbl.scope(function() ((-s):exp() * later.number(loss) + s):sum():backward() end) end
  return w * math.exp(-s:item())
end

-- Whether tasks are one sum, in which no task's gradient or loss is needed by itself.
local function is_sum(opts) return (opts.how or "joint") == "joint" and (opts.weighting or "fixed") == "fixed" end

-- Whether a step's tasks can go through the model as one batch.
function mix.joins(tasks, opts) return #tasks > 1 and is_sum(opts) end

-- The number of each task's first pass within the step, which dropout's counters know a pass by.
function mix.first_passes(tasks)
  local first, n = {}, 0
  for i, task in ipairs(tasks) do first[i], n = n, n + accumulate.passes(task) end
  return first
end

local function entries_of(self, active, works, step, total)
  local entries, first = {}, mix.first_passes(active)
  for i, task in ipairs(active) do
    entries[i] = {task = task, work = works[task.name], pass = first[i], scale = self:scale(task, step, total)}
  end
  return entries
end

-- All tasks: as one batch, where the job has decided so (self.at_once) and each takes its samples whole, or one after the other.
local function all_of(self, entries, micro)
  local whole = self.at_once
  for _, e in ipairs(entries) do whole = whole and dist.largest(e.work.n) <= micro end
  local results, named = whole and accumulate.together(self.model, entries) or accumulate.backward(self.model, entries, micro), {}
  dist.sum_gradients(self.model.list)
  for i, r in ipairs(results) do
    r.weight, named[entries[i].task.name] = entries[i].scale, r
  end
  return named
end

-- works: task name -> work. Leaves the step's gradient, of all ranks' samples, in the parameters. separate: also measures each task's gradient norm (costs a
-- second set of gradients for this step). Returns name -> {loss=, weight=, stats=, norm= where measured, left_out = where it was, the tasks' mean norm}.
function Mix:backward(works, micro, step, total, separate)
  local model, parameters, result = self.model, self.parameters, {}
  local entries = entries_of(self, self:active(step, total), works, step, total)
  if not separate and is_sum(self) then return all_of(self, entries, micro) end
  separate = separate or self.weighting == "gradient"
  vbl.scope(function()
    local sums, gradients = {}, {}
    for _, e in ipairs(entries) do
      local task = e.task
      local r = accumulate.backward(model, {e}, micro)[1]
      r.weight = e.scale
      self:scale(task, step, total, r.loss)
      if separate then
        dist.sum_gradients(model.list)
        r.norm = gradient_norm(parameters)
        gradients[task.name] = {}
        stow(parameters, self.weighting == "gradient" and gradients[task.name] or sums, 1)
        for _, p in ipairs(parameters) do p.tensor.grad = nil end
      end
      result[task.name] = r
    end
    if self.weighting == "gradient" then self:equalise(result, gradients, sums) end
    if not separate then dist.sum_gradients(model.list) end
    if separate then
      for _, p in ipairs(parameters) do
        if sums[p.name] then p.tensor.grad = sums[p.name] end
      end
    end
  end)
  return result
end

-- What rounding leaves, relative to the tasks' mean norm, of a gradient that is 0. Its entries are sums over the batch's rows, and f32 rounds each of the n
-- partial sums by up to 2^-24 of it; of independent signs these add up to sqrt(n) 2^-24 of what is summed. n = 2^16: 256 captions or images of 256 tokens.
local ROUNDING = 2^8 * 2^-24

-- "gradient": scale each task's gradient to the tasks' mean norm, which is waited for. (Its weight has gone into the gradient's scale already, so the norm
-- it had without the weight is norm / weight.)
function Mix:equalise(result, gradients, sums)
  local mean, n = 0, 0
  for _, r in pairs(result) do r.norm = later.number(r.norm) end
  for _, task in ipairs(self.tasks) do
    local r = result[task.name]
    if r and r.weight > 0 then mean, n = mean + r.norm / r.weight, n + 1 end
  end
  mean = mean / math.max(n, 1)
  local planned = self.model.list[1].tensor:device() == "plan"  -- where every number is 0, and each task counts
  for _, task in ipairs(self.tasks) do
    local r = result[task.name]
    if r and r.weight > 0 and not planned and r.norm / r.weight <= ROUNDING * mean then
      r.left_out = mean
    elseif r and (r.norm > 0 or planned and r.weight > 0) then
      local scale = mean * r.weight / r.norm
      for name, g in pairs(gradients[task.name]) do
        sums[name] = sums[name] and sums[name] + g * scale or g * scale
      end
    end
  end
end

return mix

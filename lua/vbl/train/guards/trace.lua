-- Where a step's NaN or Inf began: the step is run again, with the same batch and draws, and looked at.
--   trace.step(job, works, batch, step) -> text
--     works: task name -> work, as the step had them; no weight has changed since. The first value that is not finite in the forward
--     passes, by module, row and sample; else the parameter whose gradient is the first that is not, going backward; and the weights' state
--   trace.evaluation(job, fn) -> text     the same of fn, which evaluates the model
-- The tasks are looked at one by one, each with the dropout masks that it had among the others; where there are ranks, by each of them whole.
local accumulate = require "vbl.train.accumulate"
local dist = require "vbl.dist"
local mix = require "vbl.train.mix"
local start = require "vbl.train.start"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local watch = require "vbl.train.guards.watch"

local trace = {}

local function shown(v) return v ~= v and "NaN" or v > 0 and "Inf" or "-Inf" end

-- Row and column, from 1, of the first value that is not finite in a tensor taken as rows, its value, and how many rows there are.
local function place(tensor)
  local columns = tensor:ndim() > 0 and tensor:size(-1) or 1
  local rows = tensor:reshape(-1, columns)
  for r = 1, rows:size(1) do
    local row = rows:narrow(1, r, 1)
    if row:nonfinite() > 0 then
      for column, v in ipairs(row:reshape(-1):totable()) do
        if v ~= v or math.abs(v) == math.huge then return r, column, v, rows:size(1) end
      end
    end
  end
end

-- The sample and the token or patch of a row: text rows stand one caption after the other, packed or padded; an image has its patches behind
-- its CLS. b: number in the part, from 1; nil where the rows are neither.
local function sample_of(part, row, rows, model)
  local lengths, at, total = part.lengths, row, 0
  local B = #lengths
  local function count_of(b) return model.config.packed and lengths[b] or part.T end
  for b = 1, B do total = total + count_of(b) end
  local patches = (model.config.image // model.config.patch) ^ 2 // 1 | 0
  if rows == total then
    for b = 1, B do
      if at <= count_of(b) then return b, ("token %d"):format(at) end
      at = at - count_of(b)
    end
  elseif rows == B * (patches + 1) or rows == B * patches then
    local each = rows // B
    local patch = (row - 1) % each + (each == patches and 1 or 0)
    return (row - 1) // each + 1, patch == 0 and "its CLS" or ("patch %d"):format(patch)
  elseif rows == B then
    return row
  end
end

-- "row 37 of 310 (sample 4 of the batch, images/05.png, token 5), column 2, is NaN"; batch: of the training step, or nil
local function position(found, job, batch)
  local row, column, value, rows = place(found.tensor)
  local text = ("row %d of %d"):format(row, rows)
  local b, where = sample_of(found.part, row, rows, job.model)
  if b then
    local sample = found.part.samples and found.part.samples[b] + 1 or b
    local id = batch and batch.index[sample] and ", " .. job.train:image_id(batch.index[sample]) or ""
    text = ("%s (sample %d of the batch%s%s)"):format(text, sample, id, where and ", " .. where or "")
  end
  return ("%s, column %d, is %s"):format(text, column, shown(value))
end

local function activation(found, job, batch)
  return ("first non-finite value in the %s of %s: %s"):format(found.what, found.path, position(found, job, batch))
end

local function weights(job)
  local bad, first, count = 0, nil, 0
  for _, p in ipairs(job.mix.parameters) do
    local n = p.tensor:nonfinite()
    if n > 0 then
      bad = bad + 1
      first, count = first or p, first and count or n
    end
  end
  if bad == 0 then return "weights finite" end
  return ("%d weight%s not finite, the first %s (%d of its %d values)"):format(bad, bad > 1 and "s" or "", first.name, count, first.tensor:numel())
end

-- Of the gradients that are not finite that of the parameter nearest to the loss: backward reached it first.
local function gradient(model)
  local worst, depth
  for _, p in ipairs(model.list) do
    local g = p.tensor.grad
    if g and g:nonfinite() > 0 and (not worst or start.depth_of(p.name, model.config) >= depth) then
      worst, depth = p, start.depth_of(p.name, model.config)
    end
  end
  if not worst then return nil end
  return ("activations are finite and, going backward, the first non-finite gradient is that of %s (%d of its %d values)"):format(
    worst.name, worst.tensor.grad:nonfinite(), worst.tensor:numel())
end

local function finite_up_to(largest) return ("modules' values are finite, the largest %.3g in %s, and the loss itself is not"):format(largest.value, largest.path) end

-- One task: its forward passes watched, then its loss, then its gradient.
local function look(job, task, work, batch, pass)
  local model, loss, entry = job.model, 0, {task = task, work = work, pass = pass}
  local found, message, largest = watch.run(model, function() loss = accumulate.evaluate(model, {entry}, job.micro)[1].loss end)
  if found then return activation(found, job, batch) end
  if message then error(message, 0) end
  if loss ~= loss or math.abs(loss) == math.huge then return finite_up_to(largest) end
  job.optimizer:zero_grad()
  entry.scale = 1
  accumulate.backward(model, {entry}, job.micro)
  return gradient(model)
end

-- The replay's own failure is told, but for an interrupt, which goes on.
local function told(fn)
  local ok, text = pcall(dist.alone, fn)
  if ok then return text end
  if system.interrupted() then error(text, 0) end
  return "its replay failed: " .. usage.strip(text)
end

function trace.step(job, works, batch, step)
  return told(function()
    local tasks = job.mix:active(step, job.total_steps)
    for i, first in ipairs(mix.first_passes(tasks)) do
      local task = tasks[i]
      local text = look(job, task, works[task.name], batch, first)
      if text then return ("in task %s the %s; %s"):format(task.name, text, weights(job)) end
    end
    return "run again, every value and gradient of each task by itself is finite; " .. weights(job)
  end)
end

function trace.evaluation(job, fn)
  return told(function()
    local found, message, largest = watch.run(job.model, fn)
    if message then error(message, 0) end
    return ("the %s; %s"):format(found and activation(found, job) or finite_up_to(largest), weights(job))
  end)
end

return trace

-- A model's predictions of a view.
--   predict(job, view[, starts]) -> predictions (vbl.tasks.predictions), loss, the loss's standard error (vbl.train.held_out), the mean chance level of a
--     contrastive task's batches, nil of others
--     starts: where its batches begin; all of the view by default
-- In eval mode; a task that draws (image-text matching without labels) draws once for all: the same at every epoch, whatever the run's seed and batch.
-- Texts are each sample's first caption, and the others too where the task scores every one. A sample whose image cannot be decoded is left out.
local vbl = require "vbl"
local held_out = require "vbl.train.held_out"
local safe_point = require "vbl.train.safe_point"

local FIRST = {caption = 1}

-- The batch without those samples in whose place another one's image came; nil of nothing.
local function whole_batch(view, first, count)
  local wanted, good = {}, {}
  for i = 1, count do wanted[i] = first + i - 1 end
  local batch = view:batch(wanted, FIRST)
  for b, i in ipairs(batch.index) do
    if i == wanted[b] then good[#good + 1] = i end
  end
  if #good == count then return batch end
  return #good > 0 and view:batch(good, FIRST) or nil
end

-- fn(out, lo, hi) for each micro-batch of the work.
local function each_part(job, work, fn)
  for lo = 1, work.n, job.micro do
    local hi = math.min(lo + job.micro - 1, work.n)
    fn(job.tasks[1]:forward(job.model, work, lo, hi, 0), lo, hi)
  end
end

-- The other captions of the batch's samples, with the same images.
local function add_captions(job, view, collector, batch, work)
  local task = job.tasks[1]
  for k = 2, task.captions and task:captions(view, batch) or 1 do
    local tokens, lengths = view:texts(batch.index, {caption = k})
    local seen = {tokens = tokens, lengths = lengths, images = work.batch.images}
    each_part(job, setmetatable({batch = seen}, {__index = work}), function(out, lo, hi) collector.add(view, batch, work, lo, hi, out, k) end)
  end
end

-- The sum of a batch's losses, how many (or how much weight) they are, and its chance level; its predictions join the collector. keys: what a contrastive task joins.
local function batch_loss(job, view, collector, first, count)
  local task, loss, keys = job.tasks[1], 0, {}
  local batch = whole_batch(view, first, count)
  if not batch then return 0, 0 end
  local work = task:prepare(view, batch, {seed = job.config.flags.seed, step = held_out.STEP - first, epoch = 0, test = true})
  each_part(job, work, function(out, lo, hi)
    collector.add(view, batch, work, lo, hi, out)
    if out.loss then loss = loss + out.loss:item() end
    for i, k in ipairs(out.keys or {}) do
      keys[i] = keys[i] or {}
      table.insert(keys[i], k)
    end
  end)
  local weight = work.count or work.n
  local chance
  if #keys > 0 then
    local joined, values = task:join({vbl.cat(keys[1], 1), vbl.cat(keys[2], 1)}, job.model)
    loss, chance = joined:item(), values["chance." .. task.name]
  end
  add_captions(job, view, collector, batch, work)
  return loss * weight, weight, chance
end

return function(job, view, starts)
  local model, training = job.model, job.model.training
  local collector, batch, total, level = job.tasks[1]:collector(), job.config.batch, nil, nil
  model:eval()
  local ok, result = pcall(vbl.no_grad, function()
    for _, first in ipairs(starts or held_out.starts(view:size(), batch)) do
      safe_point()
      vbl.scope(function()
        local sum, weight, chance = batch_loss(job, view, collector, first, math.min(batch, view:size() - first + 1))
        total = held_out.add(total, sum, weight)
        if chance then level = held_out.add(level, chance * weight, weight) end
      end)
    end
    return collector.finish()
  end)
  model:train(training)
  if not ok then error(result, 0) end
  return result, held_out.mean(total), held_out.error(total), level and held_out.mean(level)
end

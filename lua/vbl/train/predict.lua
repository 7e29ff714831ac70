-- A model's predictions of a view.
--   predict(job, view[, starts]) -> predictions (vbl.tasks.predictions), loss, the loss's standard error (vbl.train.held_out), the mean chance level of a
--     contrastive task's batches, nil of others
--     starts: where its batches begin; all of the view by default
-- In eval mode; a task that draws (image-text matching without labels) draws once for all: the same at every epoch, whatever the run's seed and batch.
-- Texts are each sample's first caption, and the others too where the task scores every one. A sample whose image cannot be decoded is left out.
-- Of several ranks (vbl.dist) each computes its share of a batch, and all have the whole of it.
local vbl = require "vbl"
local dist = require "vbl.dist"
local gathered = require "vbl.train.gathered"
local held_out = require "vbl.train.held_out"
local own_images = require "vbl.data.own_images"
local safe_point = require "vbl.train.safe_point"

local FIRST = {caption = 1}

-- The batch without those samples in whose place another one's image came; nil of nothing.
local function whole_batch(job, view, first, count)
  local wanted, good = {}, {}
  for i = 1, count do wanted[i] = first + i - 1 end
  local batch = own_images.settled(view:batch(wanted, {caption = 1, ranges = own_images.ranges(job.tasks, {{dist.share(count)}})}),
                                   function() return view:batch(wanted, FIRST) end)
  for b, i in ipairs(batch.index) do
    if i == wanted[b] then good[#good + 1] = i end
  end
  if #good == count then return batch end
  return #good > 0 and view:batch(good, FIRST) or nil
end

-- Column by column, the rows of lists of columns one below the other.
local function stacked(lists)
  local columns = {}
  for _, list in ipairs(lists) do
    for j, rows in ipairs(list) do
      columns[j] = columns[j] or {}
      table.insert(columns[j], rows)
    end
  end
  for j, parts in ipairs(columns) do columns[j] = #parts > 1 and vbl.cat(parts, 1) or parts[1] end
  return columns
end

-- What the task's forward gives for all samples of the work: {logits =, vectors =, keys =, loss = a number}, in micro-batches.
local function outputs_of(job, work)
  local logits, vectors, keys, loss = {}, {}, {}, 0
  local first, last = dist.share(work.n)
  for lo = first, last, job.micro do
    local out = job.tasks[1]:forward(job.model, work, lo, math.min(lo + job.micro - 1, last), 0)
    logits[#logits + 1], vectors[#vectors + 1], keys[#keys + 1] = {out.logits}, out.vectors or {}, out.keys or {}
    if out.loss then loss = loss + out.loss:item() end
  end
  return {logits = gathered(stacked(logits))[1], vectors = gathered(stacked(vectors)), keys = gathered(stacked(keys)), loss = dist.sum(loss)}
end

-- The other captions of the batch's samples, with the same images.
local function add_captions(job, view, collector, batch, work)
  local task = job.tasks[1]
  for k = 2, task.captions and task:captions(view, batch) or 1 do
    local tokens, lengths = view:texts(batch.index, {caption = k})
    local seen = {tokens = tokens, lengths = lengths, images = work.batch.images}
    collector.add(view, batch, work, 1, work.n, outputs_of(job, setmetatable({batch = seen}, {__index = work})), k)
  end
end

-- The sum of a batch's losses, how many (or how much weight) they are, and its chance level; its predictions join the collector.
local function batch_loss(job, view, collector, first, count)
  local task = job.tasks[1]
  local batch = whole_batch(job, view, first, count)
  if not batch then return 0, 0 end
  local work = task:prepare(view, batch, {seed = job.config.flags.seed, step = held_out.STEP - first, epoch = 0, test = true})
  local out = outputs_of(job, work)
  collector.add(view, batch, work, 1, work.n, out)
  local weight, loss, chance = work.count or work.n, out.loss, nil
  if #out.keys > 0 then
    local joined, values = task:join(out.keys, job.model)
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

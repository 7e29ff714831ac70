-- A model's predictions of a view.
--   predict(job, view[, starts]) -> predictions (vbl.tasks.predictions), loss, the loss's standard error (vbl.train.held_out)
--     starts: where its batches begin; all of the view by default
-- In eval mode; a task that draws (image-text matching without labels) draws once for all: the same at every epoch, of the run's seed.
local vbl = require "vbl"
local held_out = require "vbl.train.held_out"
local safe_point = require "vbl.train.safe_point"

-- The sum of a batch's losses and how many (or how much weight) they are; its predictions join the collector. keys: what a contrastive task joins.
local function batch_loss(job, view, collector, first, count)
  local task, loss, keys = job.tasks[1], 0, {}
  local batch = view:range(first, count)
  local work = task:prepare(view, batch, {seed = job.config.flags.seed, step = held_out.STEP - first, epoch = 0, test = true})
  for lo = 1, work.n, job.micro do
    local hi = math.min(lo + job.micro - 1, work.n)
    local out = task:forward(job.model, work, lo, hi, 0)
    collector.add(view, batch, work, lo, hi, out)
    if out.loss then loss = loss + out.loss:item() end
    for i, k in ipairs(out.keys or {}) do
      keys[i] = keys[i] or {}
      table.insert(keys[i], k)
    end
  end
  local weight = work.count or work.n
  if #keys > 0 then loss = task:join({vbl.cat(keys[1], 1), vbl.cat(keys[2], 1)}, job.model):item() end
  return loss * weight, weight
end

return function(job, view, starts)
  local model, training = job.model, job.model.training
  local collector, total, batch = job.tasks[1]:collector(), nil, job.config.batch
  model:eval()
  local ok, result = pcall(vbl.no_grad, function()
    for _, first in ipairs(starts or held_out.starts(view:size(), batch)) do
      safe_point()
      vbl.scope(function()
        total = held_out.add(total, batch_loss(job, view, collector, first, math.min(batch, view:size() - first + 1)))
      end)
    end
    return collector.finish()
  end)
  model:train(training)
  if not ok then error(result, 0) end
  return result, held_out.mean(total), held_out.error(total)
end

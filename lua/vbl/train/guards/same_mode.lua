-- The training loss as the test loss is taken: in eval mode, after the epoch, on one fixed corruption of the same training pairs each time, so
-- that a gap between both is over-fitting and not dropout, augmentation or a mean over an epoch in which the model changed.
--   same_mode.starts(job, most) -> {first, ...}: where whole batches of training samples begin, evenly over the set, neighbours within each as in
--     the test's batches (captions of one image stand side by side). At most `most` samples, and about 1 % of what the epoch costs
local same_mode = {}

-- A forward pass costs a third of a step's forward and backward: 3 % of the samples, looked at once, are 1 % of the epoch.
local SHARE = 0.03

function same_mode.starts(job, most)
  local batch, size = job.config.batch, job.train:size()
  local count = math.max(1, math.min(most, math.floor(SHARE * size)) // batch)
  local starts = {}
  for i = 0, count - 1 do starts[i + 1] = 1 + i * math.max(0, size - batch) // math.max(1, count - 1) end
  return starts
end

return same_mode

-- What changes a job's weights at the end of a step.
--   updates.optimizer(job) -> of the mix's parameters      updates.average(job) -> the average of the weights that is evaluated in their place; nil: none
local vbl = require "vbl"

local updates = {}

function updates.optimizer(job)
  local c = job.config
  return vbl.optim.adamw(job.mix.parameters, {
    lr = c.lr, betas = c.betas, eps = 1e-8, weight_decay = c.weight_decay, clip = c.clip, lr_scale = job.lr_scale,
  })
end

function updates.average(job)
  local decay = job.config.ema or 0
  return decay > 0 and vbl.optim.ema(job.model.list, decay) or nil
end

return updates

-- Three steps of a run as the trainer takes them, the third as one that is logged (each task's gradient apart): require "device_steps"(job)
local step_of = require "vbl.train.step"
local vbl = require "vbl"

return function(job)
  local order = job.train:order(3, 1)
  for step = 1, 3 do
    vbl.scope(function()
      local index = {}
      for i = 1, job.config.batch do index[i] = order[(step - 1) * job.config.batch + i] end
      step_of.settle(job, step_of.queue(job, job.train:batch(index, {epoch = 1}), step, {separate = step == 3}))
    end)
  end
end

-- `--plan`: what a run would do, counted, and nothing trained: parameters, FLOPs, memory, steps, the learning-rate curve.
local vbl = require "vbl"
local summary = require "vbl.models.summary"
local sched = require "vbl.sched"

local plan = {}

-- Forward passes of one sample in a step, and which of them are followed by a backward pass.
local passes = {mlm = 1, ap = 1, mim = 2}

function plan.text(job)
  local model, config = job.model, job.config
  local T = job.data:mean_length()
  local forward = model:flops(math.floor(T + 0.5))
  local step = 0
  for _, task in ipairs(job.tasks) do step = step + (task.batch or config.batch) * (passes[task.name] or 1) * 3 * forward end
  local P = model:num_parameters()
  local live = summary.activation_bytes(model, T) * job.micro * 2
  local lines = {model:summary(), ""}
  local function line(name, format, ...) lines[#lines + 1] = string.format("%-24s " .. format, name, ...) end
  line("training pairs", "%d, held out %d, about %.1f tokens a caption", job.train:size(), job.test:size(), T)
  line("optimizer steps", "%d (%d an epoch, %d epochs, batch %d in micro-batches of %d)", job.total_steps, job.epoch_steps, config.epochs, config.batch, job.micro)
  line("FLOPs", "%.2f GFLOP a sample forward, %.1f GFLOP a step, %.3g in all", forward / 1e9, step / 1e9, step * job.total_steps)
  line("memory", "%.0f MB parameters, gradients and moments; about %.0f MB activations", P * 16 / 1e6, live / 1e6)
  line("learning rate", "peak %g, warm-up %d steps, then cosine to %g", config.lr, job.warmup, config.lr * config.min_lr_fraction)
  for _, l in ipairs(sched.draw(job.schedule, job.total_steps, 60, 8)) do lines[#lines + 1] = l end
  return table.concat(lines, "\n")
end

return plan

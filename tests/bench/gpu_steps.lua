-- Steps of gpu.py on a device, timed, without PyTorch: to be traced (gpu_trace.c), or to try a change.
--   vbl tests/bench/gpu_steps.lua [model.dropout=0.1 ...] [batch=48] [steps=20] [rounds=3] [unmeasured=20] [graphs=true] [together=false] [sharing=true]
-- A line a round: ms a step, how long the host took to queue it, the losses, and the device's memory at the peak.
local vbl = require "vbl"
local gpu_batch = require "gpu_batch"
local gpu_step = require "gpu_step"

local config = vbl.config {
  model = {preset = "base", fusion = "interleaved", dropout = 0, heads = {"mlm", "ap"}},
  batch = 48,
  steps = 20,
  rounds = 3,
  unmeasured = 20,
  precision = "bf16",
  graphs = false,
  together = true,
  sharing = false,  -- the layers that passes have in common once, or by each as gpu.py's PyTorch does
}

vbl.set_device "cuda"
local model = vbl.models.vilbert(config.model)
model.sharing = config.sharing
local batch = gpu_batch(model.config, config.batch)
batch.images = vbl.randn(config.batch, 3, model.config.image, model.config.image)
local run = gpu_step(model, batch, config.precision, "cuda", config.together)

local function step()
  if not config.graphs then return run.step() end
  local _, losses, norm = vbl.cuda_graph(run.step)
  return losses, norm
end

run.timed(config.unmeasured, step)
for _ = 1, config.rounds do
  local ms, losses, queued = run.timed(config.steps, step)
  print(("batch %d: %.2f ms a step, queued in %.2f; MLM %.4f, AP %.4f, MIM %.4f; %.2f GB"):format(
    config.batch, ms, queued, losses.mlm, losses.ap, losses.mim, vbl.memory().device_peak / 1e9))
end

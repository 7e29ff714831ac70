-- vbl's side of gpu.py: one process that holds the model and answers lines of stdin.
--   vbl tests/bench/gpu.lua CONFIG.json     {model=, weights=, batch=, device=, precision=}: files that gpu.py wrote, names as in the peer
--   share 0 or 1     whether the layers that passes have in common are computed once from now on (vbl.models.trunk), or by each   -> {}
--   gradients PATH   losses and gradients of one step without an update; gradients go to PATH    -> {"mlm": loss, "ap": loss, "mim": loss}
--   steps N          N training steps                                                          -> {"ms": per step, "loss": of the last}
--   graphs N         the same, each step given to the device as one CUDA graph (vbl.cuda_graph)  -> and "whole": how many were that
local vbl = require "vbl"
local store = require "vbl.store.c"
local later = require "vbl.later"

local config = store.json_decode(store.read_file(arg[1]))
vbl.set_device(config.device)
local model = vbl.models.vilbert(config.model)
model:load(config.weights)
local b = vbl.load(config.batch)

-- All passes as one batch where the card holds what that takes, as the trainer decides.
local function fits_together()
  if config.device == "cpu" then return true end
  local planned = vbl.count_memory({device = "cuda"}, function()
    local twin = vbl.models.vilbert(config.model, "empty")
    twin.sharing = false
    local batch = setmetatable({images = vbl.empty(b.images:shape(), {dtype = b.images:dtype()})}, {__index = b})
    require "gpu_step"(twin, batch, config.precision, vbl.zeros(1):device(), true).step()
  end)
  return planned.peak < 0.95 * vbl.memory().device_limit
end

local together = fits_together()
local run = require "gpu_step"(model, b, config.precision, config.device, together)

local answers = {}

function answers.share(on)
  model.sharing = on == "1"
  return {}
end

function answers.gradients(path)
  local losses, gradients = vbl.autocast(config.precision, run.backward), {}
  for _, p in ipairs(model:parameters()) do
    if p.tensor.grad then gradients[p.name] = p.tensor.grad:to "cpu" end
  end
  vbl.save(path, gradients)
  for name, loss in pairs(losses) do losses[name] = later.number(loss) end
  return losses
end

local function steps(n, step)
  local ms, losses = run.timed(tonumber(n), step)
  local m = vbl.memory()
  return {ms = ms, loss = losses.mlm + losses.ap + losses.mim, peak = m.device_peak or m.peak, stops = m.device_stops, allocations = m.device_allocations}
end

function answers.steps(n) return steps(n, run.step) end

function answers.graphs(n)
  local whole = 0
  local found = steps(n, function()
    local why, losses, norm = vbl.cuda_graph(run.step)
    if not why then whole = whole + 1 end
    return losses, norm
  end)
  found.whole = whole
  return found
end

print(store.json_encode {ready = true, version = vbl.version, devices = #vbl.devices(), together = together})
io.stdout:flush()
for line in io.lines() do
  local name, argument = line:match "^(%a+) ?(.*)$"
  print(store.json_encode(answers[name](argument)))
  io.stdout:flush()
end

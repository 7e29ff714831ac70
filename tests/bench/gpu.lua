-- vbl's side of gpu.py: one process that holds the model and answers lines of stdin.
--   vbl tests/bench/gpu.lua CONFIG.json     {model=, weights=, batch=, device=, precision=}: files that gpu.py wrote, names as in the peer
--   gradients PATH   losses and gradients of one step without an update; gradients go to PATH    -> {"mlm": loss, "ap": loss, "mim": loss}
--   steps N          N training steps                                                          -> {"ms": per step, "loss": of the last}
local vbl = require "vbl"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local accumulate = require "vbl.train.accumulate"
local later = require "vbl.later"

local config = store.json_decode(store.read_file(arg[1]))
vbl.set_device(config.device)
local model = vbl.models.vilbert(config.model)
model:load(config.weights)
local optimizer = vbl.optim.adamw(model:parameters(), {lr = 1e-4, betas = {0.9, 0.98}, weight_decay = 0.01, clip = 0})

local b = vbl.load(config.batch)  -- tokens and lengths are read by the host, images lie on the device, as a loader leaves them
local B = b.images:size(1)
local images = b.images:to(config.device)
local function batch(tokens, lengths) return {tokens = b[tokens], lengths = b[lengths], images = images} end
local labels, ap_labels = b.mlm_labels:totable(), b.ap_labels:totable()
local count = 0
for _, row in ipairs(labels) do
  for _, label in ipairs(row) do count = count + (label >= 0 and 1 or 0) end
end
for i, label in ipairs(ap_labels) do ap_labels[i] = math.tointeger(label) end
local works = {
  mlm = {n = B, count = count, labels = b.mlm_labels, batch = batch("mlm_tokens", "lengths")},
  ap = {n = B, repeated = {}, labels = ap_labels, batch = batch("ap_tokens", "ap_lengths")},
  mim = {n = B, repeated = {}, mask = b.mask, batch = batch("tokens", "lengths")},
}
local tasks = {vbl.tasks.mlm {}, vbl.tasks.ap {head = "concat"}, vbl.tasks.mim {temperature = 0.07, positions = "unmasked"}}

local function backward()
  local losses = {}
  optimizer:zero_grad()
  for i, task in ipairs(tasks) do losses[task.name] = accumulate.backward(model, task, works[task.name], B, 2 * i, 1) end
  return losses
end

local answers = {}

function answers.gradients(path)
  local losses, gradients = vbl.autocast(config.precision, backward), {}
  for _, p in ipairs(model:parameters()) do
    if p.tensor.grad then gradients[p.name] = p.tensor.grad:to "cpu" end
  end
  vbl.save(path, gradients)
  for name, loss in pairs(losses) do losses[name] = later.number(loss) end
  return losses
end

function answers.steps(n)
  local started, losses, norm = system.monotonic(), nil, nil
  for _ = 1, tonumber(n) do
    losses = vbl.autocast(config.precision, vbl.scope, function()
      local found = backward()
      norm = optimizer:step(nil, {wait = false})
      return found
    end)
  end
  later.number(norm)  -- there once the device is done
  local ms = (system.monotonic() - started) * 1e3 / tonumber(n)
  local m = vbl.memory()
  return {ms = ms, loss = later.number(losses.mlm + losses.ap + losses.mim), peak = m.peak, stops = m.device_stops, allocations = m.device_allocations}
end

print(store.json_encode {ready = true, version = vbl.version, devices = #vbl.devices()})
io.stdout:flush()
for line in io.lines() do
  local name, argument = line:match "^(%a+) ?(.*)$"
  print(store.json_encode(answers[name](argument)))
  io.stdout:flush()
end

-- The step that gpu.py times and gpu_floor.lua counts: forward and backward of MLM, AP and MIM (four passes through the model), AdamW.
--   gpu_step(model, batch, precision, device, together) -> {optimizer =, backward = function() -> task -> loss, step = function() -> losses, norm,
--     timed = function(n, step) -> ms a step, task -> loss of the last (numbers), ms a step until all were queued}
--   together: all passes as one batch, as the trainer takes them where they fit (vbl.train.memory)
--   batch: tokens, mlm_tokens, ap_tokens, mlm_labels i32 [B, T]; lengths, ap_lengths, ap_labels i32 [B]; images [B, 3, H, W]; mask u8 [B, P]
local vbl = require "vbl"
local later = require "vbl.later"
local mix = require "vbl.train.mix"
local system = require "vbl.system.c"

-- Tokens and lengths are read by the host, images lie on the device, as a loader leaves them.
local function works_of(b, device)
  local B, count = b.images:size(1), 0
  local images, ap_labels = b.images:to(device), b.ap_labels:totable()
  local function batch(tokens, lengths) return {tokens = b[tokens], lengths = b[lengths], images = images} end
  for _, row in ipairs(b.mlm_labels:totable()) do
    for _, label in ipairs(row) do count = count + (label >= 0 and 1 or 0) end
  end
  for i, label in ipairs(ap_labels) do ap_labels[i] = math.tointeger(label) end
  return {
    mlm = {n = B, count = count, labels = b.mlm_labels, batch = batch("mlm_tokens", "lengths")},
    ap = {n = B, repeated = {}, labels = ap_labels, batch = batch("ap_tokens", "ap_lengths")},
    mim = {n = B, repeated = {}, mask = b.mask, batch = batch("tokens", "lengths")},
  }
end

return function(model, b, precision, device, together)
  local works = works_of(b, device)
  local tasks = {vbl.tasks.mlm {}, vbl.tasks.ap {head = "concat"}, vbl.tasks.mim {temperature = 0.07, positions = "unmasked"}}
  local self = {optimizer = vbl.optim.adamw(model:parameters(), {lr = 1e-4, betas = {0.9, 0.98}, weight_decay = 0.01, clip = 0})}

  local mixed = mix.new(tasks, model, {}, 0)
  mixed.at_once = together

  function self.backward()
    local losses = {}
    self.optimizer:zero_grad()
    for name, r in pairs(mixed:backward(works, works.mlm.n, 1, 1)) do losses[name] = r.loss end
    return losses
  end

  function self.step()
    local losses, norm
    vbl.autocast(precision, vbl.scope, function()
      losses = self.backward()
      norm = self.optimizer:step(nil, {wait = false})
    end)
    return losses, norm
  end

  function self.timed(n, step)
    local started, losses, norm = system.monotonic(), nil, nil
    for _ = 1, n do losses, norm = step() end
    local queued = system.monotonic() - started
    later.number(norm)  -- there once the device is done
    local ms, found = (system.monotonic() - started) * 1e3 / n, {}
    for name, loss in pairs(losses) do found[name] = later.number(loss) end
    return ms, found, queued * 1e3 / n
  end

  return self
end

-- What a training step asks of a device once its sizes have come up: no memory, and one stop of the host, where the gradients' norm is read.
-- On the emulated device of the tier unit (VBL_EMU_CACHE: its blocks are kept as a real device's are), on a GPU in the tier gpu.
local vbl = require "vbl"
local check = require "check"
local F = require "vbl.nn.functional"

local found, why = vbl.devices()
if not found[2] then check.skip("no device: " .. why) end

local function counts()
  local m = vbl.memory()
  return m.device_allocations, m.device_stops
end

local function trainer(precision)
  vbl.manual_seed(3)
  local model = vbl.models.vilbert {preset = "tiny", dim = 16, mlp = 24, layers = 1, attention_heads = 2, image = 32, patch = 16, vocab = 50, depth = 1,
                                    cross_attention_layers = {0}, dropout = 0.1, heads = {"mlm"}}
  local optimizer = vbl.optim.adamw(model:parameters(), {lr = 1e-3, clip = 0.5})
  local lengths = {{4, 3}, {5, 2}, {4, 3}, {5, 2}, {4, 3}, {5, 2}}
  return function(step)
    return vbl.autocast(precision, vbl.scope, function()
      model.rng.seed, model.rng.step = 5, step
      optimizer:zero_grad()
      local batch = {tokens = vbl.tensor({{2, 9, 8, 3, 4}, {2, 7, 3, 0, 0}}, {dtype = "i32", device = "cpu"}),
                     lengths = vbl.tensor(lengths[step], {dtype = "i32", device = "cpu"}), images = vbl.randn(2, 3, 32, 32)}
      local out = model:run(batch)
      local labels = vbl.tensor({1, 2, 3, -100, 5, 6, 7}, {dtype = "i32"})
      F.cross_entropy(model.heads.mlm(out.text), labels, {divisor = 6}):backward()
      return optimizer:step()
    end)
  end
end

for _, precision in ipairs {"f32", "bf16"} do
  check.group("steps in " .. precision, function()
    vbl.set_device "cuda"
    local step, made, stops = trainer(precision), {}, {}
    for i = 1, 6 do
      local allocations, stopped = counts()
      local norm = step(i)
      check.ok(norm > 0 and norm < math.huge)
      local allocations_after, stopped_after = counts()
      made[i], stops[i] = allocations_after - allocations, stopped_after - stopped
    end
    vbl.set_device "cpu"
    check.ok(made[1] > 0)
    for i = 3, 6 do
      check.equal(made[i], 0)
      check.equal(stops[i], 1)
    end
  end)
end

check.group("a gradient that is not finite", function()
  vbl.set_device "cuda"
  local w = vbl.ones(3, {requires_grad = true})
  local optimizer = vbl.optim.adamw({{name = "w", tensor = w}}, {lr = 0.1, clip = 1})
  local loss = (w / vbl.zeros(3)):sum()
  loss:backward()
  check.error(function() optimizer:step() end, "gradient of w has 3 NaN or Inf values; no weight was changed")
  check.equal(w[1], 1)
  vbl.set_device "cpu"
end)

-- AdamW over all pieces at once, against the CPU's, piece by piece: rules that differ, clipping on and off.
check.group("adamw on the device", function()
  for _, clip in ipairs {0, 0.3} do
    local result = {}
    for _, device in ipairs {"cpu", "cuda"} do
      vbl.set_device(device)
      vbl.manual_seed(8)
      local p = {a = vbl.randn(40, 7), b = vbl.randn(7), c = vbl.randn(3, 5), d = vbl.randn(5)}
      for _, t in pairs(p) do t:requires_grad_(true) end
      local optimizer = vbl.optim.adamw({{name = "a", tensor = p.a}, {name = "b", tensor = p.b}, {name = "c", tensor = p.c}, {name = "d", tensor = p.d}}, {lr = 0.05, clip = clip, weight_decay = 0.1})
      local norm
      for i = 1, 3 do
        optimizer:zero_grad()
        local loss = ((p.a + p.b):square():sum() + (i < 3 and (p.c * p.d):square():sum() or (p.c * 3):sum()))
        loss:backward()
        norm = optimizer:step()
      end
      result[device] = {norm = norm, p = p}
      vbl.set_device "cpu"
    end
    check.near(result.cuda.norm, result.cpu.norm, 1e-5 * result.cpu.norm)
    for name, t in pairs(result.cpu.p) do check.ok(result.cuda.p[name]:to("cpu"):allclose(t, {rtol = 1e-5, atol = 1e-6}), name) end
  end
end)

check.done()

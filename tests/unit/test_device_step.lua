-- What a training step asks of a device once its sizes have come up: no memory, and no stop of the host, which looks at a step's numbers when
-- the next one is queued; the numbers and the weights are those of a host that stops. On the emulated device of the tier unit (VBL_EMU_CACHE: its
-- blocks are kept as a real device's are; VBL_EMU_LAG: what it does is done late), on a GPU in the tier gpu.
local vbl = require "vbl"
local check = require "check"
local later = require "vbl.later"
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
  local images = vbl.randn(2, 3, 32, 32, {device = "cpu"})
  -- -> loss, norm; with stopping = false both come later
  return function(step, stopping)
    return vbl.autocast(precision, vbl.scope, function()
      model.rng.seed, model.rng.step = 5, step
      optimizer:zero_grad()
      local batch = {tokens = vbl.tensor({{2, 9, 8, 3, 4}, {2, 7, 3, 0, 0}}, {dtype = "i32", device = "cpu"}),
                     lengths = vbl.tensor(lengths[step], {dtype = "i32", device = "cpu"}), images = images:send "cuda"}
      local out = model:run(batch)
      local labels = vbl.tensor({1, 2, 3, -100, 5, 6, 7}, {dtype = "i32"})
      local loss = F.cross_entropy(model.heads.mlm(out.text), labels, {divisor = 6})
      loss:backward()
      local number = stopping and loss:item() or later.of(loss, true)
      return number, (optimizer:step(nil, {wait = stopping}))
    end)
  end, model
end

-- Six steps: what each asked for, and all numbers.
local function six_steps(precision, stopping)
  vbl.set_device "cuda"
  local step, model = trainer(precision)
  local made, stops, numbers, before = {}, {}, {}, {}
  for i = 1, 6 do
    local allocations, stopped = counts()
    local now = {step(i, stopping)}
    local allocations_after, stopped_after = counts()
    made[i], stops[i] = allocations_after - allocations, stopped_after - stopped
    for _, number in ipairs(before) do numbers[#numbers + 1] = later.number(number) end
    before = now
  end
  for _, number in ipairs(before) do numbers[#numbers + 1] = later.number(number) end
  vbl.set_device "cpu"
  return made, stops, numbers, model
end

for _, precision in ipairs {"f32", "bf16"} do
  check.group("steps in " .. precision, function()
    local made, stops, numbers, model = six_steps(precision, false)
    check.ok(made[1] > 0)
    for i = 3, 6 do
      check.equal(made[i], 0)
      check.equal(stops[i], 0)
    end
    local _, stopped, same, other = six_steps(precision, true)
    check.ok(stopped[6] >= 2)  -- the loss, the norm
    check.equal(#numbers, 12)
    for i, number in ipairs(numbers) do
      check.equal(number, same[i])
      check.ok(number > 0 and number < math.huge)
    end
    for i, p in ipairs(model.list) do check.ok(other.list[i].tensor:allclose(p.tensor, {rtol = 0, atol = 0}), p.name) end
  end)
end

-- One weight vector, steps that are not waited for.
local function queue()
  vbl.set_device "cuda"
  local w = vbl.ones(3, {requires_grad = true})
  local still = vbl.ones(2, {requires_grad = true})  -- gets no gradient
  local optimizer = vbl.optim.adamw({{name = "w", tensor = w}, {name = "still", tensor = still}}, {lr = 0.1, clip = 1})
  local function step(factor)
    optimizer:zero_grad()
    ;(w * factor):sum():backward()
    return optimizer:step(nil, {wait = false})
  end
  return w, optimizer, step
end

check.group("a gradient that is not finite, found out when the next step is queued", function()
  local w, optimizer, step = queue()
  check.near(later.number((step(2))), 2 * math.sqrt(3), 1e-6)
  local one = w:to "cpu"
  local bad, update = step(0 / 0)
  local good = step(3)
  check.ok(later.number(bad) ~= later.number(bad) and later.number(good) > 0)
  check.ok(w:allclose(one, {rtol = 0, atol = 0}), "neither step changed it")
  check.equal(optimizer:state().steps[1], 3)
  check.error(function() optimizer:refuse(update) end, "each value is finite")  -- the gradients are those of the step after
  check.equal(optimizer:state().steps[1], 1)
  local _, after = step(3)
  check.near(after:norms()[1], 3 * math.sqrt(3), 1e-5)
  check.equal(after:norms()[2], 0)
  check.ok(not w:allclose(one), "it goes on")
  check.equal(optimizer:state().steps[1], 2)
  _, update = step(1 / 0)
  check.error(function() optimizer:refuse(update) end, "gradient of w has 3 NaN or Inf values; no weight was changed")
  for _, leaves in ipairs {{{name = "w", tensor = w}}, {{name = "w", tensor = w}, {name = "other", tensor = vbl.ones(2, {requires_grad = true})}}} do
    check.error(function() vbl.optim.adamw(leaves):take_back(update) end, "expected an update of this optimizer")
  end
  vbl.set_device "cpu"
end)

check.group("a watched loss that is not finite", function()
  local w, optimizer, step = queue()
  local loss = later.of(vbl.full({1}, 1 / 0), true)
  local norm, update = step(2)
  check.near(later.number(norm), 2 * math.sqrt(3), 1e-6)
  check.equal(later.number(loss), math.huge)
  check.equal(w[1], 1)
  optimizer:take_back(update)
  check.equal(optimizer:state().steps[1], 0)
  step(2)
  check.ok(w[1] < 1)
  vbl.set_device "cpu"
end)

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

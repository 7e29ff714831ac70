-- The text stream beside the image stream, on two branches of a device (vbl.side_by_side): losses, gradient norms and weights are those of one after the
-- other, bit for bit, forward and backward. On the emulated device of the tier unit, which refuses what one branch touches and the other may not be
-- done with; there every wait of the branches is left out once, to see that it is missed where it is needed.
local vbl = require "vbl"
local check = require "check"
local F = require "vbl.nn.functional"

local found, why = vbl.devices()
if not found[2] then check.skip("no device: " .. why) end

local side_by_side = vbl.side_by_side
local function one_after_the_other(f, g) return f(), g() end

local sizes = {preset = "tiny", dim = 16, mlp = 24, layers = 3, attention_heads = 2, image = 32, patch = 16, vocab = 50, dropout = 0.1, heads = {"mlm"}}

local function model_of(fusion)
  local given = {}
  for _, t in ipairs {sizes, fusion} do
    for key, value in pairs(t) do given[key] = value end
  end
  vbl.manual_seed(3)
  return vbl.models.vilbert(given)
end

local interleaved = {fusion = "interleaved", coattention = {text = {1, 2}, vision = {0, 2}, dim = 16, heads = 2}}
local runs = {
  {"interleaved", interleaved, "f32", 1},
  {"interleaved, micro-batches", interleaved, "bf16", 2},
  {"stacked", {depth = 2, layers = 2, cross_attention_layers = {1}}, "bf16", 1},
  {"no fusion, norms before", {fusion = "interleaved", placement = "none", layers = 2, text_norm = "pre"}, "f32", 1},
}

-- Two steps of `micro` parts: losses and norms, and the model.
local function train(fusion, precision, micro)
  vbl.set_device "cuda"
  local model, numbers = model_of(fusion), {}
  local optimizer = vbl.optim.adamw(model:parameters(), {lr = 1e-2, clip = 0.5})
  local lengths = {{4, 3}, {2, 5}}
  local images = vbl.randn(2, 3, 32, 32, {device = "cpu"})
  for step = 1, 2 do
    optimizer:zero_grad()
    for part = 1, micro do
      vbl.autocast(precision, vbl.scope, function()
        model.rng.seed, model.rng.step = 5, step
        local batch = {tokens = vbl.tensor({{2, 9, 8, 3, 4}, {2, 7, 3, 9, 9}}, {dtype = "i32", device = "cpu"}),
                       lengths = vbl.tensor(lengths[step], {dtype = "i32", device = "cpu"}), images = images:send "cuda"}
        local out = model:run(batch, {pass = part})
        local labels, n = {}, out.text:size(1)
        for i = 1, n do labels[i] = i % 3 == 0 and -100 or i end
        local loss = F.cross_entropy(model.heads.mlm(out.text), vbl.tensor(labels, {dtype = "i32"}), {divisor = n}) + out.vision:square():mean()
        loss:backward()
        numbers[#numbers + 1] = loss:item()
      end)
    end
    numbers[#numbers + 1] = optimizer:step()
  end
  vbl.set_device "cpu"
  return numbers, model
end

-- A process of its own, for the waits that are left out.
if arg[1] == "once" then
  train(interleaved, "f32", 1)
  os.exit(0)
end

for _, run in ipairs(runs) do
  check.group(run[1] .. " in " .. run[3], function()
    vbl.side_by_side = side_by_side
    local beside, model = train(table.unpack(run, 2))
    vbl.side_by_side = one_after_the_other
    local after, same = train(table.unpack(run, 2))
    check.equal(#beside, 2 * (run[4] + 1))
    for i, number in ipairs(beside) do
      check.equal(number, after[i])
      check.ok(number - number == 0)
    end
    for i, p in ipairs(model.list) do check.ok(same.list[i].tensor:allclose(p.tensor, {rtol = 0, atol = 0}), p.name) end
  end)
end
vbl.side_by_side = side_by_side

check.group("what is beside", function()
  vbl.set_device "cuda"
  local x = vbl.full({3}, 2):requires_grad_(true)
  -- What a branch reads of the other's is there, though nobody says that it waits; sums meet in one leaf.
  local y
  local a, b = vbl.side_by_side(function()
    y = x * x
    return y + 1
  end, function() return y * x end)
  ;(a + b):sum():backward()
  check.equal(b[1], 8)
  check.equal(x.grad[2], 2 * 2 + 3 * 4)
  -- An error ends it, and what comes after is right.
  check.error(function()
    vbl.side_by_side(function() return x * 2 end, function() error("no text", 0) end)
  end, "no text")
  check.equal((x * 3):sum():item(), 18)
  -- Within another one, and with what no op tells of: an element, a change in place.
  local inner, number = vbl.side_by_side(function() return (vbl.side_by_side(function() return x + 1 end, function() return x + 2 end)) end, function()
    local z = (x * 5):detach()
    z[1] = 7
    return z:sum():item() + y[2]
  end)
  check.equal(inner[3], 3)
  check.equal(number, 7 + 20 + 4)
  check.error(function() vbl.side_by_side(function() end) end, "function expected")
  vbl.set_device "cpu"
end)

-- What compute(way) gives on the device, tensors, is the same beside each other and one after the other, bit for bit.
local function same_both_ways(compute)
  local found = {}
  for k, way in ipairs {side_by_side, one_after_the_other} do
    vbl.set_device "cuda"
    vbl.manual_seed(6)
    found[k] = {compute(way)}
    for i, t in ipairs(found[k]) do found[k][i] = t:to "cpu" end
    vbl.set_device "cpu"
  end
  for i, t in ipairs(found[1]) do check.ok(t:allclose(found[2][i], {rtol = 0, atol = 0})) end
end

-- The gradient of a sum goes to both its terms, y of branch 1 and z of branch 0. z's op reads it after a meeting that it brings about itself, for w's gradient was begun
-- in branch 1; then branch 1 adds y's other gradient to it in place.
check.group("a meeting within an op", function()
  same_both_ways(function(way)
    local p, w = vbl.randn(8, 8):requires_grad_(true), vbl.randn(8, 8):requires_grad_(true)
    local q, r = vbl.randn(8, 8), vbl.randn(8, 8)
    local y, v, z, u
    way(function() end, function()
      y = p * 2
      v = y:tanh()
    end)
    z = F.linear(q, w)
    way(function() end, function() u = F.linear(r, w) end)
    ;((y + z):sum() + v:sum() + u:sum()):backward()
    return p.grad, w.grad
  end)
end)

-- The gradient of a sum is one tensor for both its terms. The one whose backward runs last has it for itself and writes GELU's gradient into it, while the other branch
-- may still read it.
check.group("a gradient that two ops were given, changed in place by the last", function()
  same_both_ways(function(way)
    local x, w, v = vbl.randn(8, 8), vbl.randn(8, 8):requires_grad_(true), vbl.randn(8, 8):requires_grad_(true)
    local y, z = way(function() return F.linear(x, w, nil, {gelu = true}) end, function() return F.linear(x, v, nil, {gelu = true}) end)
    ;(y + z):square():sum():backward()
    return w.grad, v.grad
  end)
end)

-- What a branch brings from the host is waited for by the other, and what it has asked to be read later is read before the other changes it.
check.group("what goes between host and device in a branch", function()
  vbl.set_device "cuda"
  local host = vbl.arange(6, {device = "cpu", dtype = "f32"})
  local moved, element = nil, vbl.zeros(4)
  local _, sum = vbl.side_by_side(function()
    moved = host:to "cuda"
    element[2] = 5
  end, function() return (moved * 2):sum() + element:sum() end)
  check.equal(sum:item(), 35)
  local x, reading = vbl.full({1}, 3), nil
  vbl.side_by_side(function() reading = x:read_later() end, function() x:fill_(4) end)
  check.equal(reading:wait(), 3)
  vbl.set_device "cpu"
end)

-- Programs that nobody would write: ops on whatever tensors are there, of either branch or of before, views and changes in place, in a few rounds of side_by_side;
-- then backward from several of them. The same numbers as one after the other, and nothing that the emulation refuses.
local function program(seed, beside)
  local state = seed
  local function draw(n)
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 65536 % n + 1
  end
  vbl.manual_seed(seed)
  vbl.set_device "cuda"
  local leaves, pool = {}, {}
  for i = 1, 3 do
    leaves[i] = vbl.randn(4, 4):requires_grad_(true)
    pool[i] = leaves[i]
  end
  local function step()
    local x, y = pool[draw(#pool)], pool[draw(#pool)]
    local kind = draw(10)
    if kind == 1 then return x + y end
    if kind == 2 then return x * y end
    if kind == 3 then return x:matmul(y) * 0.5 end
    if kind == 4 then return x:transpose(1, 2):matmul(y) * 0.5 end
    if kind == 5 then return vbl.cat({x:narrow(1, 1, 2), y:narrow(1, 3, 2)}, 1) end
    if kind == 6 then return vbl.checkpoint(function(a) return (a * a):tanh() end, x) end
    if kind == 7 then
      local z = x:detach():clone()
      z:narrow(2, 1, 2):copy_(y:detach():narrow(2, 3, 2))
      return z + x
    end
    if kind == 9 then return F.linear(x, y, nil, {gelu = true}) end
    if kind == 8 then return x:reshape(2, 8):reshape(4, 4) - y end
    return (x:tanh() + x):sum(1, true) * y
  end
  local function steps()
    local made = {}
    for i = 1, draw(4) do made[i] = step() end
    for _, t in ipairs(made) do pool[#pool + 1] = t end
    return made[1]
  end
  for _ = 1, 3 do
    if beside then vbl.side_by_side(steps, steps) else one_after_the_other(steps, steps) end
  end
  local sum
  for _ = 1, 4 do
    local s = pool[draw(#pool)]:tanh():sum()
    sum = sum and sum + s or s
  end
  if sum.requires_grad then sum:backward() end
  local found = {sum:item()}
  for _, t in ipairs(leaves) do
    for _, row in ipairs(t.grad and t.grad:totable() or {}) do
      for _, v in ipairs(row) do found[#found + 1] = v end
    end
  end
  vbl.set_device "cpu"
  return found
end

check.group("random programs", function()
  local longest = 0
  for i = 1, 50 do
    local seed = i < 50 and i or 217  -- one branch changes in place what the other may still read
    local beside, after = program(seed, true), program(seed, false)
    longest = math.max(longest, #beside)
    local same = #beside == #after
    for i, v in ipairs(beside) do same = same and (v == after[i] or v ~= v and after[i] ~= after[i]) end
    check.ok(same, "program " .. seed)
  end
  check.equal(longest, 1 + 3 * 16)
end)

check.group("a wait that is left out", function()
  if not os.getenv "VBL_EMU_CACHE" then return end  -- a GPU forgets none
  local missed, tried = 0, 0
  for n = 4, 60, 10 do
    local command = ("VBL_EMU_DEAF=%d %s %s once 2>&1"):format(n, arg[-1], arg[0])
    local pipe = assert(io.popen(command))
    if pipe:read "a":find("that another stream may still be", 1, true) then missed = missed + 1 end
    pipe:close()
    tried = tried + 1
  end
  check.ok(missed >= tried // 4, missed)  -- the others are one half of a meeting that only the other branch needs
end)

-- A profile's times are the device's, of one branch: rows add up, products are in theirs, and the results are those without.
check.group("a profile of the device", function()
  vbl.set_device "cuda"
  local x, w = vbl.randn(40, 30), vbl.randn(20, 30, {requires_grad = true})
  local function step()
    local a, b
    vbl.side_by_side(function() a = vbl.nn.functional.linear(x, w) end, function() b = x:sum() end)
    local loss = (a * a):sum() + b
    loss:backward()
    return loss
  end
  local expected = step():item()
  local p, loss = vbl.profile(step)
  check.equal(loss:item(), expected)
  check.equal(p.clock, "cuda:0")
  check.equal(p.rows.gemm.calls, 2)
  check.ok(p.rows.gemm.forward > 0 and p.rows.gemm.backward > 0)
  local sum = 0
  for _, row in ipairs(p) do
    check.ok(row.seconds >= -1e-5, row.name)  -- to what events can tell
    sum = sum + row.seconds
  end
  check.ok(math.abs(sum - p.seconds) <= 1e-6 + 1e-3 * p.seconds, sum)
  check.ok(tostring(p):find(" ms of cuda:0", 1, true))
  check.error(function() vbl.profile(function() step() error("boom", 0) end) end, "boom")
  check.equal(step():item(), expected)
  check.error(function() vbl.profile(function() vbl.zeros(2, 3):matmul(vbl.zeros(2, 3)) end) end, "matmul")
  check.equal((vbl.profile(step)).rows.gemm.calls, 2)
  vbl.set_device "cpu"
end)

check.done()

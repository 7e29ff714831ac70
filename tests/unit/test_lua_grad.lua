-- Arithmetic and gradients from Lua: values by hand, backward, several roots, checkpoints.
local check = require "check"
local vbl = require "vbl"

local function list(t) return table.concat(t:reshape(-1):totable(), " ") end
local function near(t, want, tolerance)
  for i, v in ipairs(t:reshape(-1):totable()) do check.near(v, want[i], tolerance or 1e-6) end
end

check.group("arithmetic", function()
  local a, b = vbl.tensor {1, 2, 4}, vbl.tensor {2, 2, 2}
  check.equal(list(a + b), "3.0 4.0 6.0")
  check.equal(list(a - 1), "0.0 1.0 3.0")
  check.equal(list(1 - a), "0.0 -1.0 -3.0")
  check.equal(list(2 * a), "2.0 4.0 8.0")
  check.equal(list(a / b), "0.5 1.0 2.0")
  check.equal(list(a / 2), "0.5 1.0 2.0")
  check.equal(list(4 / a), "4.0 2.0 1.0")
  check.equal(list(a ^ 2), "1.0 4.0 16.0")
  check.equal(list(-a), "-1.0 -2.0 -4.0")
  check.equal(list(a:gt(b)), "0.0 0.0 1.0")
  check.equal(list(a:eq(2)), "0.0 1.0 0.0")
  check.equal(list(a:maximum(2)), "2.0 2.0 4.0")
  check.equal(list(vbl.tensor({1, 2}, {dtype = "i32"}) + 1), "2 3")
  check.error(function() return vbl.tensor({1}, {dtype = "i32"}) + 0.5 end, "0.5 is no i32")
  check.error(function() return a + vbl.zeros(2) end, "add")
  check.error(function() return a .. b end)
  check.equal(a == a:detach(), false)
  near(a:exp():log(), {1, 2, 4})
  near(a:sqrt(), {1, math.sqrt(2), 2})
  near(a:sigmoid(), {1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-4))})
  check.equal(list(vbl.cat({a, b})), "1.0 2.0 4.0 2.0 2.0 2.0")
  local parts = {}
  for i = 1, 30 do parts[i] = vbl.full({1, 2}, i) end
  check.equal(vbl.cat(parts)[{30, 2}], 30.0)
  check.equal(vbl.cat(parts, 2):size(2), 60)
  check.error(function() vbl.cat {} end, "one tensor or more")
end)

check.group("reductions, products, softmax", function()
  local m = vbl.tensor {{1, 5, 3}, {4, 2, 6}}
  check.equal(m:sum():item(), 21.0)
  check.equal(list(m:sum(1)), "5.0 7.0 9.0")
  check.equal(table.concat(m:mean(-1, true):shape(), ","), "2,1")
  local values, index = m:max(2)
  check.equal(list(values), "5.0 6.0")
  check.equal(list(index), "1 2")
  check.equal(m:min():item(), 1.0)
  near(m:var(2), {4, 4})
  near(m:std(), {math.sqrt(3.5)})
  check.equal(list(m:matmul(m:t())), "35.0 32.0 32.0 56.0")
  check.equal(list(vbl.matmul(m, vbl.eye(3))), list(m))
  near(m:softmax():sum(2), {1, 1})
  near(m:log_softmax():exp(), m:softmax():reshape(-1):totable())
  check.error(function() m:softmax(1) end, "last dim")
end)

check.group("variance far from 0, and of a constant", function()
  -- Two numbers whose mean f32 rounds: 2^20 + 1/8 and + 1/4 have 2^20 + 3/16 between them, a tie that falls on one of them.
  local far = vbl.tensor({{2 ^ 20 + 0.125, 2 ^ 20 + 0.25}, {-2 ^ 20 - 0.125, -2 ^ 20 - 0.25}}, {requires_grad = true})
  near(far:var(2), {1 / 128, 1 / 128}, 0)
  near(far:std(2), {math.sqrt(1 / 128), math.sqrt(1 / 128)}, 1e-8)
  far:var(2):sum():backward()
  near(far.grad, {-0.125, 0.125, 0.125, -0.125}, 0)
  for _, dtype in ipairs {"f32", "f64"} do
    local x = vbl.tensor({{3, 3, 3}, {1, 2, 3}}, {dtype = dtype, requires_grad = true})
    local y = x:std(2)
    check.equal(list(y), "0.0 1.0")
    y:sum():backward()
    near(x.grad, {0, 0, 0, -0.5, 0, 0.5})  -- 0 where there is none, as PyTorch
  end
  check.ok(vbl.tensor({1, 0 / 0}):std():item() ~= 0)
end)

check.group("backward", function()
  local x = vbl.tensor({1, 2, 3}, {requires_grad = true})
  check.equal(x.grad, nil)
  local y = (x * x):sum()
  y:backward()
  check.equal(list(x.grad), "2.0 4.0 6.0")
  check.equal(x.grad == x.grad, true)
  check.error(function() y:backward() end, "backward")
  local tripled = x * 3
  tripled:backward(vbl.tensor {1, 0, 2})
  check.equal(list(x.grad), "5.0 4.0 12.0")
  x.grad = nil
  check.equal(x.grad, nil)
  local a, b = (x * 2):sum(), x:square()
  vbl.backward({a, b}, {nil, vbl.ones(3)})
  check.equal(list(x.grad), "4.0 6.0 8.0")
  check.error(function() (x * 2):backward() end, "one element")
  check.error(function() vbl.backward {} end, "list")
  x.grad = nil
  vbl.backward {(x * 2):sum()}
  check.equal(list(x.grad), "2.0 2.0 2.0")
  check.error(function() vbl.backward {"no tensor"} end, "tensor")
  x.grad = nil
  local z = x:square():sum()
  z:backward(nil, {keep_graph = true})
  z:backward()
  check.equal(list(x.grad), "4.0 8.0 12.0")
  x.grad = nil
  local view = x:clone()[{{2, 3}}]
  view:sum():backward()
  check.equal(list(x.grad), "0.0 1.0 1.0")
end)

check.group("a power at 0, as PyTorch", function()
  local inf, nan = math.huge, "nan"
  -- base, exponent, gradients of the two
  for _, case in ipairs {{0, 0, 0, 0}, {0, 1, 1, 0}, {0, 2, 0, 0}, {0, 0.5, inf, 0}, {0, -1, -inf, -inf}, {-1, 0, 0, nan}, {-1, 2, -2, nan}, {inf, 0, 0, inf},
                         {0, inf, nan, 0}, {0, 0 / 0, nan, nan}, {1, 0, 0, 0}} do
    for _, dtype in ipairs {"f32", "f64"} do
      local a, b = vbl.tensor({case[1], 3}, {dtype = dtype, requires_grad = true}), vbl.tensor({case[2]}, {dtype = dtype, requires_grad = true})
      local y = a[{{1}}] ^ b
      y:backward()
      local da, db = a.grad:totable()[1], b.grad:item()
      check.ok((da == case[3] or case[3] == nan and da ~= da) and (db == case[4] or case[4] == nan and db ~= db),
               ("%g ^ %g in %s: got %g and %g, expected %s and %s"):format(case[1], case[2], dtype, da, db, case[3], case[4]))
    end
  end
  local x = vbl.tensor({0, 1, 2}, {requires_grad = true})
  vbl.nn.functional.sum(x ^ 0):backward()
  check.equal(list(x.grad), "0.0 0.0 0.0")
  x.grad = nil
  vbl.nn.functional.sum(0 ^ x):backward()
  check.equal(list(x.grad), "0.0 0.0 0.0")
end)

check.group("a tensor changed in place after the forward pass", function()
  local function refused(change)
    local a, b = vbl.tensor {1, 2, 3}, vbl.tensor {4, 5, 6}
    a:requires_grad_(true)
    local y = (a * b):sum()
    change(b, a)
    check.error(function() y:backward() end, "backward of mul", "[3]", "changed in place")
    check.equal(a.grad, nil)
  end
  refused(function(b) b:fill_(0) end)
  refused(function(b) b:zero_() end)
  refused(function(b) b[2] = 7 end)
  refused(function(b) b:narrow(1, 2, 1):copy_(vbl.tensor {9}) end)
  refused(function(_, a)
    a:mean():backward()
    vbl.optim.adamw({{name = "w", tensor = a}}, {lr = 0.1}):step()
    a.grad = nil
  end)
  -- What the formula does not read may change: the sum's backward needs no values.
  local a = vbl.tensor {1, 2, 3}
  a:requires_grad_(true)
  local y = a:sum()
  vbl.no_grad(function() a:fill_(0) end)
  y:backward()
  check.equal(a.grad:totable()[3], 1)
end)

check.group("a graph outlives its scope", function()
  local x = vbl.tensor({1, 2}, {requires_grad = true})
  local loss = vbl.scope(function() return (x:exp() * x):square():sum() end)
  vbl.scope(function() loss:backward() end)
  -- d/dx (x e^x)^2 = 2 x e^2x (1 + x)
  near(x.grad, {4 * math.exp(2), 12 * math.exp(4)}, 1e-3)
end)

check.group("checkpoint", function()
  local function block(w)
    return function(x, y) return (x * w):tanh() + y, x:matmul(y) end
  end
  local function run(checkpointed)
    vbl.manual_seed(3)
    local x, y = vbl.randn(4, 4, {requires_grad = true}), vbl.randn(4, 4, {requires_grad = true})
    local w = vbl.randn(4, {requires_grad = true})
    local a, b
    if checkpointed then
      a, b = vbl.checkpoint(block(w), x * 2, y)
    else
      a, b = block(w)(x * 2, y)
    end
    (a:square():sum() + b:sum()):backward()
    return {a, b, x.grad, y.grad, w.grad}
  end
  local plain, again = run(false), run(true)
  for i = 1, 5 do check.equal(plain[i]:allclose(again[i], {rtol = 0, atol = 0}), true) end
  check.equal(vbl.no_grad(function() return vbl.checkpoint(function(x) return x * 2 end, vbl.ones(1, {requires_grad = true})) end).requires_grad, false)
  local w = vbl.ones(2, {requires_grad = true})
  vbl.checkpoint(function(x) return x * w end, vbl.ones(2)):sum():backward()
  check.equal(list(w.grad), "1.0 1.0")
  local calls = 0
  local bad = vbl.checkpoint(function(x)
    calls = calls + 1
    if calls == 2 then error "second run" end
    return x * 2
  end, vbl.ones(1, {requires_grad = true}))
  check.error(function() bad:backward() end, "second run", "checkpoint")
  check.error(function() vbl.checkpoint(function() return 1 end, vbl.ones(1, {requires_grad = true})) end, "result 1", "number")
end)

-- The gradient of what only slices read is put together without zeros to add to; what no slice has read is 0, what two have is their sum.
check.group("slices", function()
  local function grad(parts, whole_at)
    local x = vbl.ones(3, 6, {requires_grad = true})
    local h, sum = x * 1, vbl.zeros(1)
    for i, part in ipairs(parts) do
      if whole_at == i then sum = sum + (h * 100):sum() end
      sum = sum + (h:narrow(part[1], part[2], part[3]) * part[4]):sum()
    end
    sum:backward()
    return x.grad
  end
  local function expected(parts, whole)
    local g = vbl.full({3, 6}, whole)
    for _, part in ipairs(parts) do
      local view = g:narrow(part[1], part[2], part[3])
      view:copy_(view + part[4])
    end
    return g
  end
  local cases = {
    {{2, 1, 2, 1}, {2, 3, 2, 2}, {2, 5, 2, 3}},                 -- all of it, in three
    {{2, 5, 2, 3}, {2, 2, 1, 2}},                               -- gaps before, between
    {{2, 2, 3, 1}, {2, 4, 3, 2}},                               -- an overlap
    {{2, 2, 3, 1}, {2, 2, 3, 5}},                               -- twice the same
    {{2, 1, 3, 1}, {1, 2, 1, 4}},                               -- another dim
    {{1, 3, 1, 1}, {1, 1, 1, 2}}, {{2, 1, 6, 7}}, {{2, 3, 0, 1}},
    {{2, 6, 1, 1}, {2, 5, 1, 2}, {2, 4, 1, 3}, {2, 3, 1, 4}, {2, 2, 1, 5}, {2, 1, 1, 6}, {1, 1, 1, 7}},
  }
  for k, parts in ipairs(cases) do
    check.ok(grad(parts):allclose(expected(parts, 0), {rtol = 0, atol = 0}), k)
    for at = 1, #parts do check.ok(grad(parts, at):allclose(expected(parts, 100), {rtol = 0, atol = 0}), k) end
  end
  local many = {}
  for i = 1, 12 do many[i] = {1, 2 * i, 1, i} end  -- more than are kept apart
  local x = vbl.ones(30, 2, {requires_grad = true})
  local h, sum = x * 1, vbl.zeros(1)
  for _, part in ipairs(many) do sum = sum + (h:narrow(1, part[2], 1) * part[4]):sum() end
  sum:backward()
  for i = 1, 30 do check.equal(x.grad[i][2], i % 2 == 0 and i <= 24 and i / 2 or 0) end
end)

check.group("a gradient that is read as a value is not written under its reader", function()
  local w = vbl.tensor({1, 2}):requires_grad_()
  w:sum():backward()
  ;(w * 2 + w * 3):backward(w.grad)  -- the seed is the buffer that is added to
  check.equal(table.concat(w.grad:totable(), " "), "6.0 6.0")
  local p, v = vbl.ones(2, {requires_grad = true}), vbl.ones(2, {requires_grad = true})
  ;(v * 3):sum():backward()
  local y = (v.grad * p):sum()
  ;(v * 5):sum():backward()
  check.error(function() y:backward() end, "was changed in place after the forward pass")
end)

check.group("a checkpoint's second run finds the inputs of the first, or says so", function()
  local w, x = vbl.ones(2, {requires_grad = true}), vbl.tensor {1, 2}
  local y = vbl.checkpoint(function(a, b) return (a * b):sum() end, x, w)
  x:fill_(100)
  check.error(function() y:backward() end, "input 1 was changed in place since the first run")
  y = vbl.checkpoint(function(a, b)
    a:copy_(a * 2)
    return (a * b):sum()
  end, vbl.tensor {1, 2}, w)
  check.error(function() y:backward() end, "input 1 was changed in place since the first run")
end)

check.done()

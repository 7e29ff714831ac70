-- Tensors in Lua: making, reading, views, indexing, in-place writes, printing, errors.
local check = require "check"
local vbl = require "vbl"

local function list(t) return table.concat(t:reshape(-1):totable(), " ") end

check.group("totable of long and strided rows", function()
  local x = vbl.rand(3, 600) * 250
  for _, dtype in ipairs {"f32", "f64", "bf16", "i32", "u8"} do
    for _, t in ipairs {x:to(dtype), x:to(dtype):narrow(2, 5, 300), x:to(dtype):transpose(1, 2), x:to(dtype):narrow(1, 2, 1)} do
      local rows, wrong = t:totable(), 0
      for i = 1, t:size(1) do
        for j = 1, t:size(2) do
          local v = rows[i][j]
          if v ~= t[i][j] or math.type(v) ~= math.type(t[i][j]) then wrong = wrong + 1 end
        end
      end
      check.equal(wrong, 0)
    end
  end
  check.equal(#x:expand(2, 3, 600):totable()[2][3], 600)
  check.equal(#vbl.zeros(3, 0):totable(), 3)
  check.equal(#vbl.zeros(3, 0):totable()[1], 0)
end)

check.group("constructors", function()
  local t = vbl.tensor {{1, 2, 3}, {4, 5, 6}}
  check.equal(table.concat(t:shape(), ","), "2,3")
  check.equal(t:dtype(), "f32")
  check.equal(t:device(), "cpu")
  check.equal(t:ndim(), 2)
  check.equal(t:numel(), 6)
  check.equal(t:size(-1), 3)
  check.equal(#t, 2)
  check.equal(vbl.tensor(2.5):item(), 2.5)
  check.equal(vbl.tensor(7, {dtype = "i32"}):item(), 7)
  check.equal(math.type(vbl.tensor(7, {dtype = "u8"}):item()), "integer")
  check.equal(list(vbl.zeros(2, 2)), "0.0 0.0 0.0 0.0")
  check.equal(list(vbl.ones({3}, {dtype = "i32"})), "1 1 1")
  check.equal(list(vbl.full({2}, 1.5)), "1.5 1.5")
  check.equal(list(vbl.eye(2)), "1.0 0.0 0.0 1.0")
  check.equal(list(vbl.arange(3, {dtype = "i32"})), "0 1 2")
  check.equal(list(vbl.arange(3, 0, -2, {dtype = "i32"})), "3 1")
  check.equal(vbl.arange(1, 0):numel(), 0)
  check.equal(list(vbl.linspace(0, 1, 3)), "0.0 0.5 1.0")
  check.equal(vbl.empty(2, 0, 3):numel(), 0)
  check.equal(vbl.zeros():ndim(), 0)
  check.equal(vbl.zeros({dtype = "f64"}):dtype(), "f64")
  check.equal(table.concat(vbl.tensor({{}, {}}):shape(), ","), "2,0")
  check.equal(vbl.zeros(2, {requires_grad = true}).requires_grad, true)
end)

check.group("constructor errors", function()
  check.error(function() vbl.tensor {{1, 2}, {3}} end, "test_lua_tensor.lua:", "ragged", "values[2] has 1")
  check.error(function() vbl.tensor {{1, 2}, 3} end, "values[2]", "expected a table of 2")
  check.error(function() vbl.tensor {1, "x"} end, "values[2]", "expected a number")
  check.error(function() vbl.tensor({1.5}, {dtype = "i32"}) end, "values[1]", "1.5 is no i32")
  check.error(function() vbl.tensor({256}, {dtype = "u8"}) end, "256 is no u8")
  check.error(function() vbl.zeros(2, {dtyp = "f32"}) end, "dtyp", "did you mean 'dtype'")
  check.error(function() vbl.zeros(2, {dtype = "f33"}) end, "did you mean 'f32'")
  check.error(function() vbl.zeros(2, {device = "cuda:99"}) end, "device 'cuda:99': ", "use cpu")
  check.error(function() vbl.zeros(-1) end, "expected 0 or more")
  check.error(function() vbl.zeros(1, 1, 1, 1, 1, 1, 1) end, "at most 6")
  check.error(function() vbl.zeros(2, {dtype = "i32", requires_grad = true}) end, "can require a gradient")
  check.error(function() return vbl.zeroes end, "vbl has no 'zeroes'", "zeros")
  check.error(function() return vbl.zeros(1).shap end, "did you mean 'shape'")
end)

check.group("random tensors", function()
  vbl.manual_seed(7)
  local a, b = vbl.rand(5), vbl.randn(1000)
  vbl.manual_seed(7)
  check.equal(list(vbl.rand(5)), list(a))
  local seed, draws = vbl.random_state()
  local c = vbl.randn(1000)
  check.equal(list(c), list(b))
  vbl.manual_seed(seed, draws)
  check.equal(list(vbl.randn(1000)), list(b))
  -- Element i depends on i and the draw alone, not on the size.
  vbl.manual_seed(7)
  check.equal(vbl.rand(8):narrow(1, 1, 5):allclose(a, {rtol = 0, atol = 0}), true)
  local mean, std = b:mean():item(), b:std():item()
  check.near(mean, 0, 5 / math.sqrt(1000))        -- five standard errors
  check.near(std, 1, 5 / math.sqrt(2 * 1000))
  local seen = {}
  for _, v in ipairs(vbl.randint(-2, 3, 400):totable()) do seen[v] = (seen[v] or 0) + 1 end
  for v = -2, 2 do check.near(seen[v], 80, 5 * math.sqrt(400 * 0.2 * 0.8)) end
  check.equal(seen[3], nil)
  local order = vbl.randperm(50):totable()
  table.sort(order)
  for i, v in ipairs(order) do check.equal(v, i - 1) end
  check.error(function() vbl.rand(2, {dtype = "i32"}) end, "real dtype")
end)

check.group("draws in narrow dtypes are what was asked for, or refused", function()
  vbl.manual_seed(1)
  local x = vbl.rand(20000, {dtype = "bf16"}):to("f64")
  check.ok(x:max():item() < 1 and x:min():item() == 0)
  check.equal((x * 256):to("i32"):to("f64"):eq(x * 256):sum():item(), 20000.0)
  check.near(x:mean():item(), 0.5 - 1 / 512, 5 / math.sqrt(12 * 20000))
  check.equal(vbl.randint(-256, 257, 9, {dtype = "bf16"}):dtype(), "bf16")
  check.error(function() vbl.randint(0, 258, 9, {dtype = "bf16"}) end, "randint: bf16 cannot hold each of 0 .. 257; draw them as i32")
  check.error(function() vbl.randint(-257, 0, 9, {dtype = "bf16"}) end, "randint: bf16 cannot hold each of -257 .. -1")
  check.error(function() vbl.randint(0, (1 << 24) + 2, 9, {dtype = "f32"}) end, "f32 cannot hold each of 0 .. 16777217")
  check.equal(vbl.randint(0, 1 << 31, 9, {dtype = "f64"}):dtype(), "f64")
  local order = vbl.randperm(257, {dtype = "bf16"}):to("f32"):totable()
  table.sort(order)
  for i, v in ipairs(order) do check.equal(v, i - 1.0) end
  check.error(function() vbl.randperm(258, {dtype = "bf16"}) end, "randperm: bf16 cannot hold each of 0 .. 257")
  check.equal(vbl.randperm(256, {dtype = "u8"}):to("f32"):max():item(), 255.0)
  check.error(function() vbl.randperm(257, {dtype = "u8"}) end, "randperm: u8 cannot hold each of 0 .. 256")
end)

check.group("views", function()
  local t = vbl.arange(24):reshape(2, 3, 4)
  check.equal(table.concat(t:permute(3, 1, 2):shape(), ","), "4,2,3")
  check.equal(t:permute(3, 1, 2)[{2, 1, 3}], t[{1, 3, 2}])
  check.equal(t:transpose(1, -1)[{4, 2, 1}], t[{1, 2, 4}])
  check.equal(list(t:narrow(2, 2, 1):select(1, 2)), "16.0 17.0 18.0 19.0")
  check.equal(list(t:narrow(2, -1, 1):select(1, 1)), "8.0 9.0 10.0 11.0")
  check.equal(table.concat(t:unsqueeze(-1):shape(), ","), "2,3,4,1")
  check.equal(table.concat(t:unsqueeze(1):squeeze():shape(), ","), "2,3,4")
  check.equal(table.concat(vbl.zeros(1, 3, 1):squeeze(1):shape(), ","), "3,1")
  check.equal(table.concat(vbl.zeros(3, 1):expand(2, -1, 4):shape(), ","), "2,3,4")
  check.equal(t:transpose(1, 2):is_contiguous(), false)
  check.equal(t:transpose(1, 2):contiguous():is_contiguous(), true)
  check.equal(list(t:transpose(1, 2):reshape(6, 4):select(1, 2)), "12.0 13.0 14.0 15.0")
  check.error(function() t:transpose(1, 2):view(24) end, "24")
  check.error(function() t:reshape(5, -1) end, "cannot reshape [2, 3, 4]")
  check.error(function() t:reshape(1 << 32, 1 << 32) end, "cannot reshape [2, 3, 4] of 24 elements to [4294967296, 4294967296]")
  check.error(function() vbl.zeros(0):reshape(1 << 32, 1 << 32) end, "cannot reshape")  -- whose product wraps to 0
  check.error(function() t:reshape(-1, -1) end, "only one size")
  check.error(function() t:size(4) end, "dim 4 is out of range")
  check.error(function() t:size(0) end, "count from 1")
  check.error(function() t:narrow(1, 2, 2) end, "narrow")
  local m = vbl.tensor {{1, 2}, {3, 4}}
  check.equal(list(m:t()), "1.0 3.0 2.0 4.0")
  t:select(1, 1):fill_(5)
  check.equal(t[{1, 3, 4}], 5.0)
end)

check.group("indexing", function()
  local t = vbl.tensor {{1, 2, 3}, {4, 5, 6}}
  check.equal(list(t[2]), "4.0 5.0 6.0")
  check.equal(t[2][-1], 6.0)
  check.equal(t[{1, 3}], 3.0)
  check.equal(list(t[{{}, 2}]), "2.0 5.0")
  check.equal(table.concat(t[{{}, {2}}]:shape(), ","), "2,1")
  check.equal(list(t[{{1, 2}, {2, -1}}]), "2.0 3.0 5.0 6.0")
  check.equal(list(t[{2}]), "4.0 5.0 6.0")
  check.error(function() return t[3] end, "index 3 is out of range", "size 2")
  check.error(function() return t[0] end, "count from 1")
  check.error(function() return t[{1, 1, 1}] end, "1 to 2 indices")
  check.error(function() return t[{{2, 1}}] end, "before first")
  check.error(function() return vbl.tensor(1)[1] end, "item")
  t[1] = 9
  t[{2, 2}] = 0
  t[{{}, {3}}] = vbl.tensor {{7}, {8}}
  check.equal(list(t), "9.0 9.0 7.0 4.0 0.0 8.0")
  t[{{}, {1, 2}}] = vbl.tensor {1, 2}
  check.equal(list(t), "1.0 2.0 7.0 1.0 2.0 8.0")
  check.error(function() t[1] = vbl.zeros(2) end, "cannot write [2] into [3]")
  check.error(function() t[1] = "x" end, "number or tensor")
  check.error(function() t.gradient = 1 end, "gradient")
end)

check.group("conversion and copies", function()
  local t = vbl.tensor {-1.5, 2.7, 300}
  check.equal(list(t:to "i32"), "-1 2 300")
  check.equal(list(t:to "u8"), "0 2 255")
  check.equal(t:to "f32" == t, true)
  check.equal(t:to "cpu" == t, true)
  check.equal(t:to("f64"):dtype(), "f64")
  check.equal(list(t:to("f64") + t:to("f64")), list((t + t):to "f64"))
  check.error(function() t:to "cuda:99" end, "device 'cuda:99': ", "use cpu")
  local c = t:clone()
  c:zero_()
  check.equal(list(t), "-1.5 2.7000000476837 300.0")
  check.equal(list(vbl.zeros(2, 2):copy_(vbl.tensor({1, 2}, {dtype = "i32"}))), "1.0 2.0 1.0 2.0")
  check.equal(t:detach() == t, false)
  check.equal(vbl.tensor({{1, 2}, {3, 4}}):totable()[2][1], 3.0)
  check.equal(t:allclose(t + 1e-6), true)
  check.equal(t:allclose(t + 0.1), false)
  check.equal(vbl.tensor({0 / 0, 1 / 0, 1}):nonfinite(), 2)
  check.equal(vbl.tensor({0 / 0}):allclose(vbl.tensor {0 / 0}), false)
  check.equal(vbl.tensor({1 / 0}):allclose(vbl.tensor {1 / 0}), true)
  check.equal(vbl.tensor({1 / 0}):allclose(vbl.tensor {-1 / 0}), false)
  check.error(function() vbl.zeros(2):item() end, "one element")
  check.error(function() vbl.zeros(2):allclose(vbl.zeros(3)) end, "differ")
end)

check.group("printing", function()
  check.equal(tostring(vbl.tensor(0.5)), "0.5")
  check.equal(tostring(vbl.tensor {{1, 2}, {3, 4}}), "f32[2,2] cpu mean 2.5 std 1.118\n{{1, 2},\n {3, 4}}")
  check.equal(tostring(vbl.tensor {{1, -20}, {3.5, 0 / 0}}):match "\n(.*)", "{{  1, -20},\n {3.5, NaN}}")
  check.equal(tostring(vbl.tensor {{{1, 10}}, {{100, 1}}}):match "\n(.*)", "{{{  1,  10}},\n {{100,   1}}}")
  check.ok(tostring(vbl.zeros(64, 197, 8)):find("f32[64,197,8] cpu mean 0 std 0", 1, true))
  check.ok(#tostring(vbl.zeros(64, 197, 768)) < 400)
  check.ok(tostring(vbl.tensor {0 / 0, -1 / 0, 1}):find("1 NaN, 1 Inf", 1, true))
  check.ok(tostring(vbl.tensor {0 / 0, -1 / 0, 1}):find("{NaN, -Inf, 1}", 1, true))
  check.equal(tostring(vbl.zeros(0, 3)), "f32[0,3] cpu {}")
  check.equal(tostring(vbl.tensor({1, 2}, {dtype = "i32"})), "i32[2] cpu mean 1.5 std 0.5\n{1, 2}")
end)

check.group("release", function()
  local t = vbl.ones(3)
  local view = t:narrow(1, 1, 2)
  t:release()
  t:release()
  check.error(function() return t + 1 end, "released", ":release()")
  check.equal(view:numel(), 2)
  check.ok(tostring(t):find "released")
  local closed
  do
    local c <close> = vbl.ones(3)
    closed = c
  end
  check.error(function() closed:shape() end, "released")
end)

check.group("copies between views that overlap", function()
  for _, dtype in ipairs {"f32", "f64", "i32", "u8", "bf16"} do
    local t = vbl.arange(6, {dtype = dtype})
    t[{{2, 6}}] = t[{{1, 5}}]
    local list = t:to("f64"):totable()
    for i, value in ipairs {0, 0, 1, 2, 3, 4} do check.equal(list[i], value + 0.0) end
  end
  local long = vbl.arange(20000)
  long[{{2, 20000}}] = long[{{1, 19999}}]  -- more than a thread's piece
  local wrong = 0
  for i, value in ipairs(long:totable()) do wrong = wrong + (value == math.max(0, i - 2) and 0 or 1) end
  check.equal(wrong, 0)
  local columns = vbl.arange(12):reshape(6, 2)
  columns:narrow(1, 2, 5):select(2, 1):copy_(columns:narrow(1, 1, 5):select(2, 1))
  check.equal(table.concat(columns:select(2, 1):contiguous():totable(), " "), "0.0 0.0 2.0 4.0 6.0 8.0")
  local square = vbl.tensor {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}
  square:copy_(square:t())
  check.equal(table.concat(square:reshape(9):totable(), " "), "1.0 4.0 7.0 2.0 5.0 8.0 3.0 6.0 9.0")
  square:copy_(square)
  check.equal(square:sum():item(), 45)
end)

check.group("an expanded tensor takes one number, and no tensor", function()
  local t = vbl.zeros(1, 3)
  check.error(function() t:expand(2, 3):copy_(vbl.ones(2, 3)) end, "cannot write a tensor into an expanded one, whose elements along dim 1 are one in memory")
  check.error(function() t:expand(2, 3)[{{1, 2}}] = vbl.ones(2, 3) end, "cannot write a tensor into an expanded one")
  check.equal(t:sum():item(), 0.0)
  t:expand(2, 3):fill_(2)
  t:expand(1, 3):copy_(t + 1)
  check.equal(t:sum():item(), 9.0)
end)

check.group("a tensor of doubles becomes one of another dtype that computes", function()
  local x = vbl.tensor({1, 2, 3}, {dtype = "f64"})
  check.equal(x:to("f32"):sum():item(), 6)
  check.equal((x:to("bf16") * 2):sum():item(), 12)
  check.equal(x:to("f32"):to("f64"):sum():item(), 6)
  local w = vbl.tensor({1, 2}, {dtype = "f64"}):requires_grad_()
  w:to("f32"):pow(2):sum():backward()
  check.equal(table.concat(w.grad:totable(), " ") .. w.grad:dtype(), "2.0 4.0f64")
end)

check.group("a NaN of any bits stays one", function()
  local F = vbl.nn.functional
  local nan = require("vbl.store.c").safetensors_load
  for payload = 0, 3 do
    local bits = string.pack("<I4I4I4", 0x3f800000, 0x7fc00000 + payload, 0x40000000)
    local path = os.tmpname()
    local header = '{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}'
    local file = io.open(path, "wb")
    file:write(string.pack("<I8", #header), header, bits)
    file:close()
    local x = nan(path).x
    os.remove(path)
    for _, y in ipairs {F.softmax(x:reshape(1, 3)), F.log_softmax(x:reshape(1, 3)), x:sigmoid():narrow(1, 2, 1)} do
      for _, value in ipairs(y:reshape(y:numel()):totable()) do check.ok(value ~= value, payload) end
    end
  end
  check.error(function() F.cross_entropy(vbl.zeros(1, 2), vbl.tensor({0}, {dtype = "i32"}), {divisor = 0 / 0}) end, "divisor: expected a number, got nan")
  check.error(function() F.bce_with_logits(vbl.zeros(1, 2), vbl.zeros(1, 2), {divisor = 0 / 0}) end, "divisor: expected a number, got nan")
end)

check.group("integers beside reals are held exactly or refused", function()
  local F, big = vbl.nn.functional, vbl.tensor({{16777217, 3}}, {dtype = "i32"})
  local said = "has the integer 16777217, which f32 does not hold"
  local whole = vbl.cat({big, vbl.tensor({{7}}, {dtype = "u8"})}, 2)
  check.equal(whole:dtype() .. " " .. list(whole), "i32 16777217 3 7")
  check.equal(list(vbl.cat({big, vbl.ones(1, 1, {dtype = "f64"})}, 2)), "16777217.0 3.0 1.0")
  check.error(function() vbl.cat({vbl.ones(1, 1), big}, 2) end, "cat: input 2 " .. said)
  check.error(function() vbl.cat({big, vbl.ones(1, 1, {dtype = "bf16"})}, 2) end, "cat: input 1 " .. said)
  check.error(function() vbl.matmul(big, vbl.ones(2, 1)) end, "matmul: input 1 " .. said, 'convert it with :to("f32")')
  check.error(function() vbl.matmul(big, big:t()) end, "matmul: input 1 " .. said)
  check.error(function() return big + vbl.zeros(1, 2) end, "add: input 1 " .. said)
  check.error(function() return vbl.zeros(2, 2):eq(big:expand(2, 2):t()) end, "eq: input 2 " .. said)
  local first = vbl.tensor({0}, {dtype = "i32"})
  check.error(function() F.embedding(big, first) end, "embedding: input 1 " .. said)
  check.error(function() F.gather_rows(big, first) end, "gather_rows: input 1 " .. said)
  check.equal(list(big:to("f32") + vbl.zeros(1, 2)), "16777216.0 3.0")
  check.equal(list(vbl.tensor({-2147483648, 16777216, 33554436}, {dtype = "i32"}) + vbl.zeros(3)), "-2147483648.0 16777216.0 33554436.0")
end)

check.group("ends, counts and numbers as they are given", function()
  check.equal(vbl.linspace(0, 1, 50, {dtype = "f64"})[50], 1)
  check.equal(vbl.linspace(3, 1, 1)[1], 3)
  check.error(function() vbl.ones(1, 1):expand(1 << 32, 1 << 32) end, "cannot expand")
  local b = vbl.full({1}, 2, {dtype = "bf16"})
  check.near((b / 0.1):to("f64")[1], 20, 1e-6)
  check.near((0.1 / b):to("f64")[1], 0.05, 1e-8)
  check.near(b:minimum(0.1):to("f64")[1], 0.1, 1e-8)
end)

check.done()

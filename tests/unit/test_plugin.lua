-- Plug-ins (include/vbl.h): the example's measure and op beside the built-in ones, and what a wrong plug-in says (tests/plugin/bad.c).
local check = require "check"
local system = require "vbl.system.c"
local vbl = require "vbl"
local F = vbl.nn.functional

local folder = system.executable():match "^(.*)/[^/]*$" .. "/plugin"
package.cpath = folder .. "/?.so;" .. package.cpath
require "example"
require "bad.answers"
require "bad.op_answers"

-- The measure again, with the tensors' own algebra.
local function centred_cosine(X, Y)
  local x, y = X:to "f64", Y:to "f64"
  x, y = x - x:mean(1, true), y - y:mean(1, true)
  return ((x * y):sum(2) / ((x * x):sum(2) * (y * y):sum(2)):sqrt()):mean():item()
end

check.group("a measure", function()
  vbl.manual_seed(3)
  local X, Y = vbl.randn(40, 6), vbl.randn(40, 6)
  local value, record = vbl.measure.centred_cosine(X, Y)
  check.near(value, centred_cosine(X, Y), 1e-12)
  check.equal(record.status, "OK")
  check.equal(record.n, 40)
  check.equal(record.skipped, 0)
  check.equal(record.chance, nil)
  check.near(vbl.measure.centred_cosine(vbl.measure.prepare(X), Y), value, 0)
  check.near(vbl.measure.centred_cosine(X:t():contiguous():t(), Y), value, 0)
  local some, rest = vbl.measure.centred_cosine(X, Y, {least = 2})
  check.ok(some ~= value and rest.skipped > 0 and rest.skipped < 40)
  local undefined, why = vbl.measure.centred_cosine(X, Y, {least = 1e9})
  check.ok(undefined ~= undefined and why.status == "ZERO_VARIANCE" and why.skipped == nil)
  check.equal(select(2, vbl.measure.centred_cosine(X, vbl.randn(40, 5))).status, "NOT_COMPARABLE")
  check.error(function() vbl.measure.centred_cosine(X, vbl.randn(39, 6)) end, "centred_cosine", "[39, 6]")
  check.error(function() vbl.measure.centred_cosine(X:narrow(1, 1, 1), Y:narrow(1, 1, 1)) end, "at least 2 rows")
  check.error(function() vbl.measure.centred_cosine(X, Y, {least = -1}) end, "test_plugin.lua:", "'least'", "0 to inf", "-1")
  check.error(function() vbl.measure.centred_cosine(X, Y, {lest = 1}) end, "did you mean 'least'")
  check.error(function() vbl.measure.centred_cosin(X, Y) end, "centred_cosine")
end)

check.group("in report, matrix and self-test, as the built-in ones", function()
  vbl.manual_seed(4)
  local X = vbl.randn(60, 6)
  local Y, Z = X + vbl.randn(60, 6), vbl.randn(60, 6)
  local report = vbl.measure.report(X, Y, {"centred_cosine", {"centred_cosine", least = 1, label = "long rows"}, "cka"}, {null = 99})
  local row = report:row "centred_cosine"
  check.near(row.value, centred_cosine(X, Y), 1e-12)
  check.equal(row.p, 1 / 100)
  check.ok(row.lo < row.value and row.value < row.hi and row.calibrated > 0.3, tostring(report))
  check.near(row.chance, 0, 4 * row.null_sd)
  check.ok(report:row("long rows").value ~= row.value)
  local layers = vbl.measure.report_layers({{name = "a", x = X, y = Y}, {name = "b", x = X, y = Z}}, "centred_cosine", {null = 99, interval = false})
  check.equal(layers:row("centred_cosine", "max").at, "a")
  check.ok(layers:row("centred_cosine", "b").p > 0.01)
  local map = vbl.measure.matrix({X, Y, Z}, {X, Y, Z}, "centred_cosine")
  check.near(map[{1, 1}], 1, 1e-12)
  check.near(map[{1, 2}], row.value, 1e-12)
  check.equal(map[{1, 2}], map[{2, 1}])
  check.equal(vbl.measure.passed "centred_cosine", true)
  local passed, reason = vbl.measure.passed "wrong"
  check.ok(not passed and reason:find "status OK", reason)
  local all = vbl.measure.selftest {quiet = true}
  check.ok(tostring(all):find "centred_cosine +ok +ok +ok +ok +ok", tostring(all))
  check.equal(all.failed, 1)
end)

check.group("an op: against the formula, in every form of input", function()
  vbl.manual_seed(5)
  for _, dtype in ipairs {"f32", "f64", "bf16"} do
    local x = vbl.randn(3, 4):to(dtype)
    local want = x:to(dtype == "f64" and "f64" or "f32"):relu():square()
    check.ok(F.squared_relu(x):allclose(want, {rtol = 1e-6, atol = 0}), dtype)
    check.ok(F.squared_relu(x:t(), {scale = -2}):allclose(want:t() * -2, {rtol = 1e-6, atol = 0}), dtype)
  end
  check.equal(F.squared_relu(vbl.tensor({-2, 3}, {dtype = "i32"}))[2], 9.0)
  check.equal(F.squared_relu(vbl.zeros(0, 3)):numel(), 0)
  check.ok(F.squared_relu(vbl.tensor {0 / 0, 1})[1] ~= F.squared_relu(vbl.tensor {0 / 0, 1})[1])
  check.error(function() F.squared_relu(vbl.ones(2), {scal = 1}) end, "did you mean 'scale'")
  check.error(function() F.squared_relu() end, "squared_relu", "x: expected a tensor", "no value")
end)

check.group("an op: gradients", function()
  vbl.manual_seed(6)
  local x = vbl.randn({3, 5}, {dtype = "f64"})
  check.ok(vbl.gradcheck(function(t) return F.squared_relu(t, {scale = 3}) end, {x}) < 1e-6)
  check.ok(vbl.gradcheck(function(t) return F.squared_relu(t:t():matmul(t)) end, {x}) < 1e-6)
  local a, b = vbl.randn(3, 5):requires_grad_(), vbl.randn(3, 5)
  ;(F.squared_relu(a) * b + a):sum():backward()  -- two ways into one leaf
  check.ok(a.grad:allclose(a:detach():relu() * b * 2 + 1, {rtol = 1e-6, atol = 1e-6}))
  local half = vbl.randn(4):to("bf16"):requires_grad_()
  F.squared_relu(half):sum():backward()
  check.equal(half.grad:dtype(), "f32")
  check.error(function() vbl.gradcheck(function(t) return F.wrong_op2(t) end, {vbl.ones({2}, {dtype = "f64"})}) end, "input 1 at {1}: gradient", "differences give")
  check.error(function() vbl.gradcheck(F.squared_relu, {vbl.ones(2)}) end, "f64")
  check.error(function() vbl.gradcheck(function(t) return t:detach() end, {x}) end, "backward")
end)

check.group("what wrong definitions say", function()
  local function refused(module, ...) check.error(function() require("bad." .. module) end, "test_plugin.lua:", ...) end
  refused("abi", "made for version 2 of vbl.h", "has version 1")
  refused("name", "has no name")
  refused("letters", "'two words'")
  refused("help", "wrong", "has no help")
  refused("compute", "wrong", "has no compute")
  refused("flags", "flags 0x200")
  refused("rows", "least_rows")
  refused("options", "'how'", "its default 7 is outside its range, 0 to 5")
  refused("taken", "vbl.measure.cka exists already")
  refused("function", "vbl.measure.report exists already")
  refused("op_abi", "made for version 0 of vbl.h")
  refused("op_inputs", "inputs: expected 1 to 6 names")
  refused("op_forward", "has no forward")
  refused("op_taken", "vbl.nn.functional.linear exists already")
  check.equal(vbl.measure.plugins().cka, nil)
end)

check.group("what wrong answers say", function()
  local X = vbl.randn(10, 2)
  local function answers(how, ...) check.error(function() vbl.measure.wrong(X, X, {how = how}) end, "test_plugin.lua:", "wrong: ", ...) end
  answers(0, "answers nan with status OK")
  answers(1, "answers inf with status OK")
  answers(2, "status 99")
  answers(3, "X has 2 columns, which is too few")
  answers(4, "left no message")
  check.error(function() vbl.measure.report(X, X, {{"wrong", how = 1}}) end, "answers inf")
  local function gives(how, ...)
    check.error(function()
      local x = vbl.ones(2, 2):requires_grad_()
      F.wrong_op2(x, {how = how}):sum():backward()
    end, "test_plugin.lua:", "wrong_op2: ", ...)
  end
  gives(1, "9 dims")
  gives(2, "size -4 in dim 1")
  gives(3, "the shape does not please")
  gives(4, "NaN in its output, element 0 of [2, 2]")
  gives(5, "backward of wrong_op2", "NaN in the gradient of x, element 0")
  require "bad.op_flat"
  check.error(function() F.wrong_op(vbl.ones(2):requires_grad_()):sum():backward() end, "requires a gradient")
end)

check.group("help and completion know them", function()
  local help = require "vbl.help"
  check.ok(help "squared_relu":find("squared_relu(x, [{scale = 1.0}]) -> y", 1, true), help "squared_relu")
  local listed = table.concat(help.names "", " ")
  check.ok(listed:find "measure.centred_cosine" and listed:find "vbl.nn.functional.squared_relu")
end)

check.done()

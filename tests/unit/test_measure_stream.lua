-- cka_stream against cka on all rows: batches of any size, merged states, saved states, many layers, hard means, wrong calls.
local vbl = require "vbl"
local check = require "check"
local measure = require "vbl.measure"

vbl.manual_seed(2)
local n = 700
local X = vbl.randn(n, 9):to("f64")
local Y = vbl.randn(n, 13):to("f64")
Y = vbl.cat({Y:narrow(2, 1, 9) + X * 0.4, Y:narrow(2, 10, 4)}, 2)

local function stream_of(x, y, batch)
  local s = measure.cka_stream(x:size(2), y:size(2))
  for i = 1, x:size(1), batch do
    local rows = math.min(batch, x:size(1) - i + 1)
    s:add(x:narrow(1, i, rows), y:narrow(1, i, rows))
  end
  return s
end

check.group("streaming = all at once", function()
  for _, shift in ipairs {0, 1000} do
    local x, y = X + shift, Y - shift
    for _, batch in ipairs {1, 7, 512, 700} do
      local value, record = stream_of(x, y, batch):value()
      check.near(value, measure.cka(x, y), 1e-10)
      check.equal(record.status, "OK")
      check.equal(record.n, n)
      check.near(stream_of(x, y, batch):value {estimator = "biased"}, measure.cka(x, y, {estimator = "biased"}), 1e-10)
    end
  end
  check.near(stream_of(X:to("f32"), Y:to("bf16"), 100):value(), measure.cka(X:to("f32"):to("f64"), Y:to("bf16"):to("f64")), 1e-10)
  local strided = X:transpose(1, 2):contiguous():transpose(1, 2)
  check.equal(stream_of(strided, Y, 100):value(), stream_of(X, Y, 100):value())
end)

check.group("merge(a, b) = all; a state saved and loaded goes on", function()
  local a = stream_of(X:narrow(1, 1, 300) + 5, Y:narrow(1, 1, 300), 100)
  local b = stream_of(X:narrow(1, 301, 400) + 5, Y:narrow(1, 301, 400), 90)
  local path = os.tmpname() .. ".safetensors"
  b:save(path)
  local loaded = measure.cka_stream_load(path)
  os.remove(path)
  check.equal(loaded:value(), b:value())
  a:merge(loaded)
  check.equal(a:rows(), n)
  check.near(a:value(), measure.cka(X + 5, Y), 1e-10)
  local empty = measure.cka_stream(9, 13)
  empty:merge(a)
  check.equal(empty:value(), a:value())
  a:merge(measure.cka_stream(9, 13))
  check.equal(a:rows(), n)
  local alone = measure.cka_stream_from(a:state())
  alone:add(X:narrow(1, 1, 5), Y:narrow(1, 1, 5))
  check.equal(a:rows(), n)  -- a copy
end)

check.group("all pairs of a stack of layers", function()
  local layers = {X, Y, X:narrow(2, 1, 4), vbl.ones(n, 3)}
  local s = measure.cka_stream(9, 13, 4, 3)
  s:add(table.unpack(layers))
  local values, statuses = s:matrix()
  for i = 1, 3 do
    for j = 1, 3 do check.near(values[{i, j}], measure.cka(layers[i], layers[j]), 1e-10) end
  end
  check.equal(statuses[1][4], "ZERO_VARIANCE")
  check.ok(values[{1, 4}] ~= values[{1, 4}])
end)

check.group("wrong calls leave the state as it was", function()
  local s = stream_of(X, Y, 700)
  local value, bad = s:value(), X:clone()
  bad[{3, 2}] = 0 / 0
  check.error(function() s:add(bad, Y) end, "matrix 1: NaN at row 3 of 700, column 2 of 9")
  check.error(function() s:add(X, Y:narrow(1, 1, 5)) end, "expected [700, 13], got [5, 13]")
  check.error(function() s:add(X) end, "expected 2 matrices, got 1")
  check.error(function() s:merge(measure.cka_stream(9, 12)) end, "different widths")
  check.error(function() s:merge(s) end, "twice")
  check.error(function() measure.cka_stream(9, 13):value() end, "at least 4 rows, got 0")
  check.error(function() measure.cka_stream(9) end, "at least two")
  check.error(function() measure.cka_stream_from {widths = vbl.ones(2):to("f64"), rows = vbl.ones(1):to("f64"), sums = vbl.ones(3):to("f64")} end, "got 3")
  check.equal(s:value(), value)
  check.equal(tostring(s), "cka_stream of 2 matrices, 700 rows")
  s:release()
  check.error(function() s:rows() end, "released")
end)

check.done()

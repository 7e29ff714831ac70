-- The measures against independent oracles (tests/golden/measure_oracles.py, measure_oracles.md): the oracles' numbers on data by formula,
-- odd shapes, more features than rows, duplicates, offsets, f32 and bf16 numbers, to 1e-9; and the deterministic fixture.
local vbl = require "vbl"
local check = require "check"
local measure = require "vbl.measure"
local fixture = require "vbl.measure.fixture"

-- measure_oracles.py's `number`: a sum of four uniforms from an integer hash, about normal.
local function number(i, j, s)
  local total = 0
  for r = 0, 3 do
    local h = (i * 73856093 + j * 19349663 + s * 83492791 + r * 2971215073) & 0xffffffff
    for _, m in ipairs {0x7FEB352D, 0x846CA68B} do h = ((h ~ (h >> 16)) * m) & 0xffffffff end
    total = total + (h ~ (h >> 16)) / 2 ^ 32
  end
  return 2 * (total - 2)
end

-- X, and Y that holds some of X's columns and noise; `change(value, i, j)` for each of the two.
local function related(n, dx, dy, s, row, change)
  local x, y = {}, {}
  for i = 0, n - 1 do
    local a, b, from = {}, {}, row and row(i) or i
    for j = 0, dx - 1 do a[j + 1] = number(from, j, s) end
    for j = 0, dy - 1 do b[j + 1] = 0.75 * a[j % dx + 1] + number(from, j, s + 1) end
    x[i + 1], y[i + 1] = a, b
  end
  for i = 1, n do
    for j = 1, dx do x[i][j] = change and change(x[i][j], 1, j) or x[i][j] end
    for j = 1, dy do y[i][j] = change and change(y[i][j], 2, j) or y[i][j] end
  end
  return {vbl.tensor(x, {dtype = "f64"}), vbl.tensor(y, {dtype = "f64"})}
end

local function of_dtype(set, dtype) return {set[1]:to(dtype), set[2]:to(dtype)} end

local sets = {
  odd = related(31, 7, 11, 1), wide = related(13, 29, 23, 3), thin = related(17, 1, 1, 5),
  duplicates = related(27, 5, 6, 7, function(i) return i % 3 == 1 and i - 1 or i end),
  ["offset, one constant column"] = related(25, 6, 6, 9, nil, function(v, side, j)
    if side == 2 then return v - 4096 end
    return j == 3 and 7 or v + 1024
  end),
  f32 = of_dtype(related(29, 8, 8, 11), "f32"), bf16 = of_dtype(related(29, 8, 8, 11), "bf16"),
}

local function options(row, n, y)
  local opts = {}
  for key, value in pairs(row.opts) do
    local modulus = type(value) == "string" and value:match "^i %% (%d)$"
    if modulus then
      opts[key] = {}
      for i = 0, n - 1 do opts[key][i + 1] = i % tonumber(modulus) end
    elseif value == "axes" then
      opts[key] = vbl.eye(y:shape()[2])
    elseif key ~= "labels" then
      opts[key] = value
    end
  end
  return opts
end

local function labels_of(y)
  local n = y:shape()[1]
  local column, sorted = {}, {}
  for i = 1, n do
    column[i] = y[{i, 1}]
    sorted[i] = column[i]
  end
  table.sort(sorted)
  local median = (sorted[(n + 1) // 2] + sorted[n // 2 + 1]) / 2
  for i = 1, n do column[i] = column[i] > median and 1 or 0 end
  return column
end

local function value_of(row)
  local x, y = sets[row.set][1], sets[row.set][2]
  local d = math.min(x:shape()[2], y:shape()[2])
  if row.joint then x, y = x:narrow(2, 1, d), y:narrow(2, 1, d) end
  local opts, record, value = options(row, x:shape()[1], y), nil, nil
  if row.measure == "linear_probe" then
    value, record = measure.linear_probe(x, labels_of(y), opts)
  elseif row.matrices == 1 then
    value, record = measure[row.measure](x, opts)
  else
    value, record = measure[row.measure](x, y, opts)
  end
  return row.field == "value" and value or record[row.field]
end

check.group("oracles", function()
  local rows = vbl.load "tests/golden/measures.json"
  check.ok(#rows > 400, "rows of the golden file: " .. #rows)
  for _, row in ipairs(rows) do
    local got = value_of(row)
    local ok = math.abs(got - row.want) <= 1e-9 * math.max(1, math.abs(row.want))
    check.ok(ok, ("%s on %s: got %.15g, the oracle's %.15g"):format(row.measure, row.set, got, row.want))
  end
end)

check.group("fixture", function()
  for _, line in ipairs(fixture.lines()) do
    local off = fixture.difference(line[2], line[3])
    check.ok(off <= fixture.tolerance, ("%s: got %s, expected %s"):format(line[1], tostring(line[2]), tostring(line[3])))
  end
end)

-- What fixture.run, and with it `vbl test measures`, makes of a number that is off, missing or NaN.
check.group("the fixture can fail", function()
  check.ok(fixture.difference(0.1 + 2e-9, 0.1) > fixture.tolerance)
  check.ok(fixture.difference(0 / 0, 0.1) > fixture.tolerance)
  check.ok(fixture.difference({1, 2}, {1, 2, 3}) > fixture.tolerance)
  check.ok(fixture.difference({1, 3}, {1, 2}) > fixture.tolerance)
end)

check.done()

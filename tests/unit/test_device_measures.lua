-- Measures of features on a device whose memory the host cannot read (emulated in the tier unit, a GPU in the tier gpu), against the CPU's.
-- Sums of the device are in f64, in another order: 1e-12 of the value is some thousand roundings. Lists have to be equal.
local vbl = require "vbl"
local check = require "check"
local c = require "vbl.measure.c"
local m = vbl.measure

local found, why = vbl.devices()
if not found[2] then check.skip("no device: " .. why) end

-- Several blocks of rows in the emulation (of 48), widths that fill no tile; `shared` of what Y holds is X's.
local function pair(n, dx, dy, shared)
  vbl.manual_seed(n + dx)
  local x, noise = vbl.randn(n, dx), vbl.randn(n, dy)
  return x, shared and x:matmul(vbl.randn(dx, dy)) * 0.3 + noise or noise
end

local function cuda(...)
  local list = {}
  for i, t in ipairs {...} do list[i] = t:to "cuda" end
  return table.unpack(list)
end

-- The value and what the record says of it, on both sides.
local function same(name, x, y, opts, tolerance)
  local dx, dy = cuda(x, y)
  local expected, record = m[name](x, y, opts)
  local value, found_record = m[name](dx, dy, opts)
  check.equal(found_record.status, record.status, name)
  if expected == expected then
    check.ok(math.abs(value - expected) <= (tolerance or 1e-12) * math.max(1, math.abs(expected)), ("%s: %.17g, CPU %.17g"):format(name, value, expected))
  end
  for _, field in ipairs {"duplicates_x", "duplicates_y", "ties", "n", "dx", "dy", "k"} do
    check.equal(found_record[field], record[field], name .. " " .. field)
  end
  if record.chance then check.near(found_record.chance, record.chance, 1e-9 * math.max(1, math.abs(record.chance))) end
  check.equal(table.concat(found_record.warnings, " "), table.concat(record.warnings, " "))
end

-- on_host: these are rows that the device leaves to the host.
local function same_lists(x, opts, what, on_host)
  local p <close> = m.prepare(x:to "cuda", "X")
  local expected, lists = m.neighbours(x, opts):totable(), m.neighbours(p, opts):totable()
  check.equal(tostring(p):find("copied", 1, true) ~= nil, on_host or false, what)
  for i, row in ipairs(expected) do
    if table.concat(row, " ") ~= table.concat(lists[i], " ") then
      return check.ok(false, ("%s, row %d: %s, CPU %s"):format(what, i, table.concat(lists[i], " "), table.concat(row, " ")))
    end
  end
  check.ok(true)
end

check.group("neighbour lists", function()
  for _, metric in ipairs {"cosine", "ip", "euclidean"} do
    for _, case in ipairs {{5, 3, 1}, {47, 7, 10}, {100, 33, 10}, {100, 5, 40}} do
      local x = pair(case[1], case[2], 1)
      same_lists(x + 0.5, {k = case[3], metric = metric}, ("%s, n = %d, k = %d"):format(metric, case[1], case[3]))
    end
  end
  same_lists(pair(262, 3, 1), {k = 256}, "k = 256")
  same_lists(pair(60, 6, 1), {k = 59}, "all rows")
  same_lists(pair(60, 8, 1):to("bf16"), {k = 5}, "bf16")
end)

-- Equal rows, rows that only f64 tells apart, and more of both than piles have room for, in which case the host decides.
check.group("near rows", function()
  local x = pair(40, 9, 1)
  local twice = vbl.cat({x, x, x:narrow(1, 1, 20)}, 1)
  for _, metric in ipairs {"cosine", "euclidean"} do same_lists(twice, {k = 7, metric = metric}, "copies") end
  local near = vbl.cat({x, x * (1 + 1e-6), x + 1e-6 * vbl.randn(40, 9)}, 1)
  same_lists(near, {k = 7}, "near copies")
  local many = vbl.cat({vbl.ones(90, 9), x}, 1)
  same_lists(many, {k = 3}, "ninety equal rows", true)
  x[{1, 1}] = 1e6
  same_lists(x, {k = 3, metric = "ip"}, "one long row", true)
  check.error(function() m.neighbours(vbl.zeros(4, 2):to "cuda", {k = 1}) end, "row 1 is zero")
  check.error(function() m.neighbours(x:to "cuda", {k = 40}) end, "k = 40")
end)

-- Products are in TF32, whose rounding changes the order in a cluster: all that it can be decides what f64 looks at again. Where these are more
-- than piles have room for, products in f32 tell enough of them apart.
check.group("rows that TF32 does not tell apart", function()
  local function clusters(count, rows, width, spread)
    local centres, list = vbl.randn(count, width), {}
    for i = 1, rows do list[i] = centres + spread * vbl.randn(count, width) end
    return vbl.cat(list, 1)
  end
  for _, width in ipairs {9, 64} do
    local few, many = clusters(4, 30, width, 1e-3), clusters(2, 90, width, 1e-2)
    for _, metric in ipairs {"cosine", "ip", "euclidean"} do
      same_lists(few, {k = 7, metric = metric}, ("clusters of width %d, %s"):format(width, metric))
      same_lists(many, {k = 3, metric = metric}, ("larger ones of width %d, %s"):format(width, metric))
    end
  end
end)

-- Against a mean a thousand times as long as what differs no product of the rows as they are says anything: without it they do, on the
-- device. Of rows whose lengths differ it is the mean of the unit rows that says what they have in common.
check.group("what all rows have in common", function()
  local x = pair(200, 12, 1) * 0.01 + 10
  for _, metric in ipairs {"cosine", "ip", "euclidean"} do same_lists(x, {k = 3, metric = metric}, "a common mean, " .. metric) end
  local lengths = {}
  for i = 1, 200 do lengths[i] = 10 ^ (i % 31 - 15) end
  lengths = vbl.tensor(lengths):view(200, 1)
  same_lists(x * lengths, {k = 3}, "a common mean and lengths that differ")
  same_lists(pair(200, 12, 1) * lengths, {k = 3}, "lengths that differ")
  for _, by in ipairs {1e-38, 1e36} do
    for _, metric in ipairs {"cosine", "ip", "euclidean"} do same_lists(x * (by / 10), {k = 3, metric = metric}, ("rows of %g, %s"):format(by, metric)) end
  end
end)

check.group("measures of neighbours", function()
  local x, y = pair(70, 11, 6, true)
  for _, name in ipairs {"mknn", "mknn_thesis", "knn_jaccard", "rank_sim", "joint_rank_jaccard", "cycle_knn", "lcs_knn", "edit_knn"} do
    same(name, x, y, {k = 7})
  end
  same("cknna", x, y, {k = 7})
  same("cknna", x, y, {k = 7, variant = "local"})
  same("second_order_cosine", x, y, {k = 7})
  local copies = vbl.cat({x, x}, 1)
  same("mknn", copies, vbl.cat({y, y}, 1), {k = 4, ties = "fractional"})
  local on_host, on_device = c.null("mknn", x, y, {k = 5}, {draws = 5}), c.null("mknn", x:to "cuda", y:to "cuda", {k = 5}, {draws = 5})
  check.equal(table.concat(on_device, " "), table.concat(on_host, " "))
end)

check.group("kernels and products", function()
  for _, case in ipairs {{70, 11, 6}, {40, 66, 50}, {4, 2, 2}} do
    local x, y = pair(case[1], case[2], case[3], true)
    for _, estimator in ipairs {"debiased", "biased"} do
      same("cka", x, y, {estimator = estimator})
      same("hsic", x, y, {estimator = estimator})
      same("cka", x + 1000, y, {estimator = estimator}, 1e-9)  -- the data's own rounding: the same numbers, sums of squares of 1e6
      if case[1] > 4 then same("cka", x, y, {estimator = estimator, kernel = "rbf"}) end
    end
    same("procrustes", x, y, {}, 1e-9)  -- a nuclear norm is good to the root of rounding where values are near 0
    same("procrustes", x, y, {form = "distance"}, 1e-9)
  end
  local x, y = pair(60, 9, 7, true)
  for _, name in ipairs {"svcca", "cca", "linear_r2", "rsa", "dcor", "pwcca"} do same(name, x, y, {}, 1e-9) end
  same("svcca", x, y, {dims = 3}, 1e-9)
  same("svcca", x, y, {threshold = 0.7}, 1e-9)
  same("cca", x, y, {of = "rho2"}, 1e-9)
  -- Two equal columns: the leading directions can be had from Xc'Xc, the correlations of all cannot.
  local flat = vbl.cat({x, x:narrow(2, 1, 1)}, 2)
  same("svcca", flat, y, {threshold = 0.9}, 1e-9)
  same("cca", flat, y, {}, 1e-9)
  check.ok(m.canonical_correlations(x:to "cuda", y:to "cuda"):allclose(m.canonical_correlations(x, y), {rtol = 1e-9, atol = 1e-9}))
  same("cosine", pair(30, 8, 8, true))
  same("cka", x, vbl.zeros(60, 7))
  same("cka", vbl.full({60, 9}, 0.1), y)
  local host = m.cka(x, y)
  check.near(m.cka(x:to "cuda", y), host, 1e-12)
  check.near(m.cka(x, y:to "cuda"), host, 1e-12)
  check.near(m.cka(x:t():contiguous():to("cuda"):t(), y:to "cuda"), host, 1e-12)
end)

check.group("tables", function()
  local xs, ys, dxs, dys = {}, {}, {}, {}
  for i = 1, 3 do
    xs[i], ys[i] = pair(50, 4 + 3 * i, 12 - i, true)
    dxs[i], dys[i] = cuda(xs[i], ys[i])
  end
  for _, name in ipairs {"cka", "mknn", "procrustes", "svcca", "cosine", "cknna"} do
    for _, lists in ipairs {{xs, ys, dxs, dys}, {xs, xs, dxs, dxs}, {xs, ys, dxs, ys}} do
      local expected, statuses = m.matrix(lists[1], lists[2], name, name:find "kn" and {k = 5} or nil)
      local values, device_statuses = m.matrix(lists[3], lists[4], name, name:find "kn" and {k = 5} or nil)
      for i = 1, 3 do check.equal(table.concat(device_statuses[i], " "), table.concat(statuses[i], " ")) end
      if name ~= "cosine" then check.ok(values:allclose(expected, {rtol = 1e-9, atol = 1e-9}), name) end
    end
  end
end)

-- A wide matrix keeps a table's pairs from being multiplied there; the narrow ones' are, but only by the thread that the device is asked from.
check.group("a table of narrow and wide matrices", function()
  local xs, dxs = {}, {}
  for i, d in ipairs {7, 60, 9, 5} do
    xs[i] = pair(50, d, 4)
    dxs[i] = xs[i]:to "cuda"
  end
  check.ok(m.matrix(dxs, dxs, "procrustes"):allclose(m.matrix(xs, xs, "procrustes"), {rtol = 1e-9, atol = 1e-9}))
end)

-- As many rows as make several blocks of a GPU's (8192 of similarities, 1024 of kernels).
if found[2].isa ~= "emulated" then
  check.group("many rows", function()
    local x = pair(20000, 48, 1)
    for _, metric in ipairs {"cosine", "euclidean"} do same_lists(x, {k = 10, metric = metric}, metric .. ", 20000 rows") end
    same_lists(x:narrow(1, 1, 9000), {k = 256}, "k = 256, 9000 rows")
    same("cka", pair(3000, 3100, 40, true))
    same("cka", pair(3000, 96, 80, true))
    same("procrustes", x, x:narrow(2, 1, 30) * 2, {}, 1e-6)  -- the CPU multiplies this many in f32
    local xs, dxs = {}, {}
    for i = 1, 4 do xs[i] = pair(2500, 60 + i, 1) dxs[i] = xs[i]:to "cuda" end
    for _, name in ipairs {"cka", "svcca", "mknn"} do check.ok(m.matrix(dxs, dxs, name):allclose(m.matrix(xs, xs, name), {rtol = 1e-6, atol = 1e-7}), name) end
  end)
end

check.group("tables of directions that Xc'Xc does not show", function()
  local xs, dxs = {}, {}
  for i = 1, 3 do
    local x = pair(40, 5 + i, 1)
    xs[i] = i == 2 and vbl.cat({x, x:narrow(2, 1, 1)}, 2) or x
    dxs[i] = xs[i]:to "cuda"
  end
  for _, name in ipairs {"cca", "svcca"} do
    check.ok(m.matrix(dxs, dxs, name):allclose(m.matrix(xs, xs, name), {rtol = 1e-9, atol = 1e-9}), name)
  end
end)

check.group("what stays on the device", function()
  local x, y = pair(50, 8, 6, true)
  local a <close> = m.prepare(x:to "cuda", "X")
  local b <close> = m.prepare(y:to "cuda", "Y")
  local place = "prepared matrix [50, 8] on cuda:0"
  m.cka(a, b)
  m.hsic(a, b, {estimator = "biased"})
  m.procrustes(a, b)
  m.svcca(a, b)
  m.cca(a, b)
  for _, name in ipairs {"mknn", "knn_jaccard", "rank_sim", "cycle_knn", "lcs_knn", "edit_knn", "cknna"} do m[name](a, b, {k = 4}) end
  for _, name in ipairs {"cka", "procrustes", "mknn", "svcca"} do m.matrix({a, a}, {b, b}, name) end
  m.neighbours(a, {k = 3, metric = "euclidean"})
  c.null("mknn", a, b, {k = 4}, {draws = 3})
  check.equal(tostring(a), place)
  m.cosine(a, a)
  check.equal(tostring(a), place .. ", copied to the host")
  check.near((m.cka(a, b)), (m.cka(x, y)), 1e-12)
end)

check.group("tokens", function()
  vbl.manual_seed(3)
  local text, vision = vbl.randn(5, 7, 6), vbl.randn(5, 9, 6)
  for j = 1, 6 do text[{2, 3, j}] = 0 end
  local opts = {text_lengths = {7, 5, 1, 4, 6}}
  for _, o in ipairs {{}, opts, {skip_cls = false, text_lengths = opts.text_lengths, patch_lengths = {9, 1, 4, 9, 0}}} do
    for _, dtype in ipairs {"f32", "bf16"} do
      local a, b = text:to(dtype), vision:to(dtype)
      local tp, pt, tp_record, pt_record = m.max_sim(a, b, o)
      local found = {m.max_sim(a:to "cuda", b:to "cuda", o)}
      for i, value in ipairs {tp, pt} do check.near(found[i], value, 1e-12) end
      for i, record in ipairs {tp_record, pt_record} do
        check.near(found[i + 2].chance, record.chance, 1e-12)
        check.equal(found[i + 2].skipped, record.skipped)
      end
    end
  end
  check.near((m.max_sim(text:transpose(2, 3):contiguous():to("cuda"):transpose(2, 3), vision:to "cuda")), (m.max_sim(text, vision)), 1e-12)
  check.near((m.max_sim(text:to "cuda", vision)), (m.max_sim(text, vision)), 1e-12)
  text[{4, 6, 2}] = 0 / 0
  check.near((m.max_sim(text:to "cuda", vision:to "cuda", opts)), (m.max_sim(text, vision, opts)), 1e-12)  -- past the length
  check.error(function() m.max_sim(text:to "cuda", vision:to "cuda") end, "NaN or Inf in the text tokens of sample 4")
end)

check.group("streams", function()
  local x, y = pair(90, 9, 5, true)
  local host, device, mixed, other = m.cka_stream(9, 5), m.cka_stream(9, 5), m.cka_stream(9, 5), m.cka_stream(9, 5)
  for first = 1, 90, 30 do
    local a, b = x:narrow(1, first, 30) + 5, y:narrow(1, first, 30)
    local da, db = cuda(a, b)
    host:add(a, b)
    device:add(da, db);
    (first == 31 and mixed or other):add(first == 61 and a or da, first == 61 and b or db)
  end
  mixed:merge(other)
  local expected, saved = host:matrix(), c.cka_stream_from(device:state())
  for name, s in pairs {device = device, mixed = mixed, saved = saved} do
    check.equal(s:rows(), 90)
    check.ok(s:matrix():allclose(expected, {rtol = 1e-10, atol = 1e-12}), name)
  end
  check.near((device:value {estimator = "biased"}), (m.cka(x + 5, y, {estimator = "biased"})), 1e-10)
  x[{4, 2}] = 1 / 0
  check.error(function() device:add(x:to "cuda", y:to "cuda") end, "matrix 1: Inf at row 4 of 90, column 2 of 9")
  check.error(function() device:add(y:to "cuda", y:to "cuda") end, "matrix 1: expected [90, 9], got [90, 5]")
  check.equal(device:rows(), 90)
end)

check.group("one matrix, and what is refused", function()
  local x = pair(40, 6, 1)
  for _, name in ipairs {"participation_ratio", "effective_rank", "twonn"} do
    check.near((m[name](x:to "cuda")), (m[name](x)), 1e-9)
  end
  local p <close> = m.prepare(x:to "cuda", "X")
  check.ok(p:components(2):abs():allclose(m.prepare(x, "X"):components(2):abs(), {rtol = 1e-9, atol = 1e-9}))
  x[{7, 3}] = 0 / 0
  check.error(function() m.cka(x:to "cuda", x:to "cuda") end, "NaN at row 7 of 40, column 3 of 6")
  check.error(function() m.mknn(pair(9, 2, 1):to "cuda", pair(8, 2, 1):to "cuda", {k = 2}) end, "[9, 2]", "[8, 2]")
end)

check.done()

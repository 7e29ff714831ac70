-- Every measure on every degenerate input: the status, or that the call is refused, is written down here. A value that the data leave
-- undefined is NaN with its status and never a number in its place; a number comes with OK.
local vbl = require "vbl"
local check = require "check"
local measure = require "vbl.measure"

vbl.manual_seed(5)
local function normal(n, d) return vbl.randn(n, d):to("f64") end
local x12, y12 = normal(12, 3), normal(12, 3)

local function with(t, fn)
  local copy = t:clone()
  fn(copy)
  return copy
end
local function set_row(t, i, value) for j = 1, t:shape()[2] do t[{i, j}] = value end end
local function set_column(t, j, value) for i = 1, t:shape()[1] do t[{i, j}] = value end end
local function doubled(t)
  return with(t, function(c)
    for i = 2, 12, 2 do for j = 1, 3 do c[{i, j}] = t[{i - 1, j}] end end
  end)
end

-- name -> X, Y, k
local cases = {
  {"n=1", x12:narrow(1, 1, 1), y12:narrow(1, 1, 1), 1},
  {"n=2", x12:narrow(1, 1, 2), y12:narrow(1, 1, 2), 1},
  {"n=3", x12:narrow(1, 1, 3), y12:narrow(1, 1, 3), 1},
  {"n=4", x12:narrow(1, 1, 4), y12:narrow(1, 1, 4), 1},
  {"k=0", x12, y12, 0},
  {"k=n-1", x12, y12, 11},
  {"k=n", x12, y12, 12},
  {"constant", with(x12, function(c) for j = 1, 3 do set_column(c, j, j / 3) end end), y12, 3},
  {"zeros", vbl.zeros(12, 3), y12, 3},
  {"constant_column", with(x12, function(c) set_column(c, 2, 1 / 3) end), y12, 3},
  {"half_duplicated", doubled(x12), doubled(y12), 3},
  {"zero_row", with(x12, function(c) set_row(c, 5, 0) end), y12, 3},
  {"NaN", with(x12, function(c) c[{7, 2}] = 0 / 0 end), y12, 3},
  {"Inf", with(x12, function(c) c[{7, 2}] = -math.huge end), y12, 3},
  {"d=1", normal(12, 1), normal(12, 1), 3},
  {"d>n", normal(6, 9), normal(6, 9), 2},
  {"one_direction", vbl.rand(12, 1):to("f64") + 1, vbl.rand(12, 1):to("f64") + 1, 3},
  {"dx!=dy", x12, normal(12, 2), 3},
  {"n!=n", x12, y12:narrow(1, 1, 11), 3},
}

-- Measure, options, and where it is not "OK": status = "inputs"; `error`: the call is refused. All refuse NaN, Inf and, where they take two
-- matrices, different n; those lines are not repeated. k: takes the case's k; one: reads X alone.
local measures = {
  {"cosine", {}, {ZERO_ROW = "zeros", NOT_COMPARABLE = "dx!=dy"}},
  {"hsic", {}, {error = "n=1 n=2 n=3"}},
  {"hsic", {estimator = "biased"}, {error = "n=1"}},
  {"cka", {}, {error = "n=1 n=2 n=3", ZERO_VARIANCE = "constant zeros"}},
  {"cka", {estimator = "biased"}, {error = "n=1", ZERO_VARIANCE = "constant zeros"}},
  {"cka", {kernel = "rbf"}, {error = "n=1 n=2 n=3", ZERO_VARIANCE = "constant zeros"}},
  {"cka", {kernel = "rbf", estimator = "biased"}, {error = "n=1 n=2", ZERO_VARIANCE = "constant zeros"}},
  {"cka_minibatch", {batch = 4}, {error = "n=1 n=2 n=3", ZERO_VARIANCE = "constant zeros"}},
  {"dcor", {}, {error = "n=1", ZERO_VARIANCE = "constant zeros"}},
  {"dcor", {estimator = "corrected"}, {error = "n=1 n=2 n=3", ZERO_VARIANCE = "constant zeros"}},
  {"mknn", {}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"mknn_thesis", {}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"knn_jaccard", {}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"rank_sim", {}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"joint_rank_jaccard", {}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"cycle_knn", {}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"lcs_knn", {}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"edit_knn", {}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"second_order_cosine", {}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"mknn", {ties = "fractional"}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"mknn", {metric = "euclidean"}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros"}, k = true},
  {"mknn", {metric = "ip"}, {error = "n=1 k=0 k=n", ALL_TIED = "constant zeros"}, k = true},
  {"cknna", {}, {error = "n=1 n=2 n=3 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"cknna", {variant = "local"}, {error = "n=1 n=2 n=3 k=0 k=n", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}, k = true},
  {"cca", {}, {error = "n=1", RANK_SATURATED = "n=2 n=3 n=4 d>n", ZERO_VARIANCE = "constant zeros"}},
  {"cca", {of = "rho2"}, {error = "n=1", RANK_SATURATED = "n=2 n=3 n=4 d>n", ZERO_VARIANCE = "constant zeros"}},
  {"svcca", {}, {error = "n=1", RANK_SATURATED = "n=2 n=3 d>n", ZERO_VARIANCE = "constant zeros"}},
  {"svcca", {dims = 1}, {error = "n=1", RANK_SATURATED = "n=2", ZERO_VARIANCE = "constant zeros"}},
  {"pwcca", {}, {error = "n=1", RANK_SATURATED = "n=2 n=3 n=4 d>n", ZERO_VARIANCE = "constant zeros"}},
  {"procrustes", {}, {error = "n=1", ZERO_VARIANCE = "constant zeros"}},
  {"procrustes", {form = "distance"}, {error = "n=1", ZERO_VARIANCE = "constant zeros"}},
  {"procrustes", {form = "normalised_distance"}, {error = "n=1", ZERO_VARIANCE = "constant zeros"}},
  {"procrustes", {form = "angular"}, {error = "n=1", ZERO_VARIANCE = "constant zeros"}},
  {"aligned_cosine", {}, {error = "n=1", ZERO_VARIANCE = "constant zeros"}},
  {"rsa", {}, {error = "n=1 n=2", ALL_TIED = "constant zeros", ZERO_ROW = "zero_row d=1 one_direction"}},
  {"rsa", {rdm = "cosine"}, {error = "n=1 n=2", ALL_TIED = "constant zeros one_direction", ZERO_ROW = "zero_row"}},
  {"rsa", {rdm = "euclidean"}, {error = "n=1 n=2", ALL_TIED = "constant zeros"}},
  {"rsa", {rdm = "sqeuclidean"}, {error = "n=1 n=2", ALL_TIED = "constant zeros"}},
  {"rsa", {rdm = "euclidean", compare = "kendall"}, {error = "n=1 n=2", ALL_TIED = "constant zeros"}},
  {"linear_r2", {}, {error = "n=1", RANK_SATURATED = "n=2 n=3 n=4 d>n", ZERO_VARIANCE = "constant zeros"}},
  {"ridge_r2_cv", {folds = 3}, {error = "n=1 n=2 n=3 n=4", ZERO_VARIANCE = "constant zeros"}},
  {"ridge_r2_cv", {folds = 2, lambda = 0}, {error = "n=1 n=2 n=3", ZERO_VARIANCE = "constant zeros"}},
  {"wasserstein", {}, {NOT_COMPARABLE = "dx!=dy"}},
  {"sinkhorn", {eps = 1}, {NOT_COMPARABLE = "dx!=dy"}},
  {"sliced_wasserstein", {projections = 8}, {NOT_COMPARABLE = "dx!=dy"}},
  {"gw_identity", {}, {error = "n=1", ZERO_VARIANCE = "constant zeros"}},
  {"gw_identity", {normalise = false}, {error = "n=1"}},
  {"modality_gap", {}, {ZERO_ROW = "zeros", NOT_COMPARABLE = "dx!=dy"}},
  {"alignment", {}, {ZERO_ROW = "zeros", NOT_COMPARABLE = "dx!=dy"}},
  {"retrieval", {}, {ZERO_ROW = "zeros zero_row", NOT_COMPARABLE = "dx!=dy"}},
  {"uniformity", {}, {error = "n=1", ZERO_ROW = "zeros"}, one = true},
  {"effective_rank", {}, {error = "n=1 n=2", ZERO_VARIANCE = "constant zeros"}, one = true},
  {"effective_rank", {of = "eigenvalue"}, {error = "n=1 n=2", ZERO_VARIANCE = "constant zeros"}, one = true},
  {"participation_ratio", {}, {error = "n=1 n=2", ZERO_VARIANCE = "constant zeros"}, one = true},
  {"stable_rank", {}, {error = "n=1 n=2", ZERO_VARIANCE = "constant zeros"}, one = true},
  {"pca_dims", {}, {error = "n=1 n=2", ZERO_VARIANCE = "constant zeros"}, one = true},
  {"twonn", {}, {error = "n=1 n=2", NOTHING_VALID = "constant zeros"}, one = true},
  {"twonn", {fit = "linear"}, {error = "n=1 n=2", NOTHING_VALID = "constant zeros"}, one = true},
}

-- {measure, options, expected[case name]}
local function expectation(row)
  local expected = {NaN = "error", Inf = "error", ["n!=n"] = not row.one and "error" or nil}
  for status, names in pairs(row[3]) do
    for name in names:gmatch "%S+" do expected[name] = status end
  end
  return expected
end

local function call(row, case)
  local opts = {}
  for key, value in pairs(row[2]) do opts[key] = value end
  if row.k then opts.k = case[4] end
  if row.one then return pcall(measure[row[1]], case[2], opts) end
  return pcall(measure[row[1]], case[2], case[3], opts)
end

local function check_cell(row, case, want)
  local ok, value, record = call(row, case)
  local status = ok and record.status or "error"
  local label = ("%s on %s: %s (%s), expected %s"):format(row[1], case[1], status, tostring(value), want)
  check.ok(status == want, label)
  if ok then check.ok((value == value and math.abs(value) < math.huge) == (status == "OK"), label .. ": a number goes with OK, NaN with a status") end
end

check.group("every measure, every degenerate input", function()
  for _, row in ipairs(measures) do
    local expected = expectation(row)
    for _, case in ipairs(cases) do check_cell(row, case, expected[case[1]] or "OK") end
  end
end)

-- The rows of `measures` that this names, each once.
local function warned(warning, case_name, skip)
  local case
  for _, c in ipairs(cases) do if c[1] == case_name then case = c end end
  for _, row in ipairs(measures) do
    local ok, _, record = call(row, case)
    if ok and not skip(row) then
      check.ok(table.concat(record.warnings, " "):find(warning, 1, true), ("%s on %s: no %s"):format(row[1], case_name, warning))
    end
  end
end

check.group("warnings", function()
  warned("DUPLICATE_ROWS", "half_duplicated", function() return false end)
  warned("K_IS_ALL", "k=n-1", function(row) return not row.k end)
  warned("D_GE_N", "d>n", function(row)
    local biased = row[2].estimator == "biased" and row[1] == "cka" and row[2].kernel == nil
    return not (biased or row[1] == "procrustes" or row[1] == "aligned_cosine" or row[1] == "dcor" and row[2].estimator == nil)
  end)
  warned("ZERO_ROWS_SKIPPED", "zero_row", function(row)
    return not (row[1] == "cosine" or row[1] == "alignment" or row[1] == "modality_gap" or row[1] == "uniformity")
  end)
  local _, record = measure.twonn(doubled(x12))
  check.equal(record.skipped, 6)
  check.equal(record.duplicates_x, 6)
  _, record = measure.sinkhorn(x12, y12, {eps = 1e-4})
  check.equal(record.status, "NOT_CONVERGED")
end)

check.group("messages", function()
  check.error(function() measure.rsa(cases[13][2], y12) end, "X: NaN at row 7 of 12, column 2 of 3")
  check.error(function() measure.rsa(x12, cases[14][2]) end, "Y: Inf at row 7 of 12, column 2 of 3")
  check.error(function() measure.dcor(x12, y12:narrow(1, 1, 11)) end, "X is [12, 3] and Y is [11, 3]")
  for _, k in ipairs {0, 12, -1} do
    check.error(function() measure.knn_jaccard(x12, y12, {k = k}) end, ("knn_jaccard: k = %d: expected 1 to n - 1 = 11 neighbours"):format(k))
  end
  check.error(function() measure.cka(x12:narrow(1, 1, 1), y12:narrow(1, 1, 1)) end, "cka: expected at least 4 rows, got 1")
  check.error(function() measure.cka(vbl.zeros(0, 3), vbl.zeros(0, 3)) end, "at least 1 row")
end)

-- Least-norm fits: a column that is the sum of the others predicts no better and no worse.
check.group("ridge without penalty on dependent columns", function()
  local x, y = normal(20, 3), normal(20, 2)
  for i = 1, 20 do x[{i, 3}] = x[{i, 1}] + x[{i, 2}] end
  local plain = measure.ridge_r2_cv(x:narrow(2, 1, 2), y, {folds = 4, lambda = 0})
  check.near(measure.ridge_r2_cv(x, y, {folds = 4, lambda = 0}), plain, 1e-9)
end)

-- Equal rows tie in every distance matrix, so that RSA does not depend on the order of the rows.
check.group("RSA of duplicates, shuffled", function()
  local x, y, order = doubled(x12), doubled(y12), {}
  for i = 1, 12 do order[i] = (i * 5) % 12 + 1 end
  local function shuffled(t) return with(t, function(c) for i = 1, 12 do for j = 1, 3 do c[{i, j}] = t[{order[i], j}] end end end) end
  for _, rdm in ipairs {"correlation", "cosine", "euclidean"} do
    for _, compare in ipairs {"spearman", "kendall"} do
      local opts = {rdm = rdm, compare = compare}
      check.near(measure.rsa(shuffled(x), shuffled(y), opts), measure.rsa(x, y, opts), 1e-12)
    end
  end
end)

-- Spearman and Kendall tau-b of the pairs i < j by their definitions, from whole numbers.
local function ranks_by_count(v)
  local count, below, ranks, distinct = {}, 0, {}, {}
  for _, x in ipairs(v) do count[x] = (count[x] or 0) + 1 end
  for x in pairs(count) do distinct[#distinct + 1] = x end
  table.sort(distinct)
  for _, x in ipairs(distinct) do count[x], below = below + (count[x] + 1) / 2, below + count[x] end
  for i, x in ipairs(v) do ranks[i] = count[x] end
  return ranks
end
local function spearman(a, b)
  local u, v, mean, aa, bb, ab = ranks_by_count(a), ranks_by_count(b), (#a + 1) / 2, 0, 0, 0
  for i = 1, #a do aa, bb, ab = aa + (u[i] - mean) ^ 2, bb + (v[i] - mean) ^ 2, ab + (u[i] - mean) * (v[i] - mean) end
  return ab / math.sqrt(aa * bb)
end
local function kendall(a, b)
  local apart_a, apart_b, sum = 0, 0, 0
  local function sign(x) return x > 0 and 1 or x < 0 and -1 or 0 end
  for i = 1, #a do
    for j = i + 1, #a do
      local s, t = sign(a[i] - a[j]), sign(b[i] - b[j])
      apart_a, apart_b, sum = apart_a + s * s, apart_b + t * t, sum + s * t
    end
  end
  return sum / math.sqrt(apart_a * apart_b)
end
local function pairs_of(n, distance)
  local list = {}
  for i = 1, n do for j = i + 1, n do list[#list + 1] = distance(i, j) end end
  return list
end

check.group("RSA of classes: all pairs of two classes are equally far apart", function()
  local n, classes, label, x, y = 40, 7, {}, {}, {}
  for i = 1, n do
    label[i], x[i], y[i] = i * i % classes + (i % 5 == 0 and 1 or 0), {}, {}
    for j = 1, 6 do x[i][j] = (i * (2 * j + 1) + label[i] * j * j) % 11 end
    for j = 1, classes + 1 do y[i][j] = label[i] == j - 1 and 1 or 0 end
  end
  local a = pairs_of(n, function(i, j)
    local sum = 0
    for q = 1, 6 do sum = sum + (x[i][q] - x[j][q]) ^ 2 end
    return sum
  end)
  local b = pairs_of(n, function(i, j) return label[i] == label[j] and 0 or 2 end)
  local X, Y = vbl.tensor(x, {dtype = "f64"}), vbl.tensor(y, {dtype = "f64"})
  for _, rdm in ipairs {"euclidean", "sqeuclidean"} do
    check.near(measure.rsa(X, Y, {rdm = rdm}), spearman(a, b), 1e-12)
    check.near(measure.rsa(X, Y, {rdm = rdm, compare = "kendall"}), kendall(a, b), 1e-12)
  end
  local null, squared = measure.null("rsa", X, Y, {rdm = "euclidean"}, {draws = 19}), measure.null("rsa", X, Y, {rdm = "sqeuclidean"}, {draws = 19})
  check.equal(table.concat(null, " "), table.concat(squared, " "))
  -- Two columns leave a centred row two directions.
  local two, other = vbl.zeros(5, 2):to("f64"), vbl.zeros(5, 2):to("f64")
  local function side(t) return pairs_of(5, function(i, j) return (t[{i, 1}] > t[{i, 2}]) == (t[{j, 1}] > t[{j, 2}]) and 0 or 2 end) end
  for q = 1, 2 do
    for i = 1, 5 do two[{i, q}] = math.sin(i * q + 1) end
    for i = 1, 5 do other[{i, q}] = math.cos(i * (q + 1)) end
  end
  check.near(measure.rsa(two, other), spearman(side(two), side(other)), 1e-12)
  check.near(measure.rsa(two, other, {compare = "kendall"}), kendall(side(two), side(other)), 1e-12)
end)

check.group("RSA of rows that are all equally far apart", function()
  local other = normal(20, 20)
  for _, rdm in ipairs {"correlation", "cosine", "euclidean", "sqeuclidean"} do
    for _, compare in ipairs {"spearman", "pearson", "kendall"} do
      for _, x in ipairs {vbl.eye(20), vbl.eye(20):to("f64") / 3} do
        local value, record = measure.rsa(x, other, {rdm = rdm, compare = compare})
        check.ok(value ~= value)
        check.equal(record.status, "ALL_TIED")
      end
    end
  end
end)

check.group("RSA of directions does not hang on lengths, even where squares overflow", function()
  for _, rdm in ipairs {"correlation", "cosine"} do
    local plain = measure.rsa(x12, y12, {rdm = rdm})
    for _, e in ipairs {-500, 800} do check.equal(measure.rsa(x12 * 2.0 ^ e, y12, {rdm = rdm}), plain) end
  end
end)

-- Rows at angles of 1e-8, whose 1 - cos is below what 1 - <u, v> can hold; their order is that of angles of 1e-3 to (1e-3)^2.
check.group("RSA of rows that nearly share one direction", function()
  local z = normal(15, 8)
  local function beside_one(scale) return vbl.cat({z * scale, vbl.ones(15, 1):to("f64")}, 2) end
  check.ok(measure.rsa(beside_one(1e-8), beside_one(1e-3), {rdm = "cosine"}) > 1 - 1e-3)
end)

-- Each row twice, and then three times as long: its neighbour lies in its own direction, in both spaces.
check.group("second_order_cosine of rows in one direction: no distance, whatever rounding leaves", function()
  for _, scale in ipairs {1, 3} do
    local function twins(rows)
      local list = {}
      for i, row in ipairs(rows:totable()) do
        list[2 * i - 1], list[2 * i] = row, {}
        for j, v in ipairs(row) do list[2 * i][j] = scale * v end
      end
      return vbl.tensor(list, {dtype = "f64"})
    end
    local x, y = twins(normal(20, 16)), twins(normal(20, 16))
    for _, metric in ipairs {"cosine", scale == 1 and "euclidean" or nil} do
      local value, record = measure.second_order_cosine(x, y, {k = 1, metric = metric})
      check.ok(value ~= value)
      check.equal(record.status, "NOTHING_VALID")
      check.equal(record.skipped, 40)
    end
  end
end)

check.done()

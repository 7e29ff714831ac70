-- Every measure on the same numbers in other clothes: f32 and bf16 tensors, strides with NaN in the holes, transposes, prepared matrices,
-- another number of threads. Values must be those of the dense f64 tensor: to the last bit, but for threads, whose products are summed in
-- another order.
local vbl = require "vbl"
local check = require "check"
local measure = require "vbl.measure"
local system = require "vbl.system.c"

vbl.manual_seed(11)
-- More rows than one tile (128) and than one batch; numbers of bf16, so that every dtype holds them exactly.
local N, D = 150, 6
local x = vbl.randn(N, D):to("bf16"):to("f64")
local y = (x:to("f32") * 0.5 + vbl.randn(N, D)):to("bf16"):to("f64")

local names = {"cosine", "hsic", "cka", "cka_minibatch", "dcor", "mknn", "mknn_thesis", "knn_jaccard", "rank_sim", "joint_rank_jaccard",
               "cycle_knn", "lcs_knn", "edit_knn", "second_order_cosine",
               "cknna", "cca", "svcca", "pwcca", "procrustes", "aligned_cosine", "rsa", "linear_r2", "ridge_r2_cv",
               "wasserstein", "sinkhorn", "sliced_wasserstein", "gw_identity", "modality_gap", "alignment", "retrieval"}
local single = {"uniformity", "effective_rank", "participation_ratio", "stable_rank", "pca_dims", "twonn"}
local options = {cka = {{}, {estimator = "biased"}, {kernel = "rbf"}}, rsa = {{}, {rdm = "euclidean", compare = "kendall"}},
                 procrustes = {{}, {form = "distance"}}, mknn = {{}, {metric = "euclidean"}, {metric = "ip"}, {ties = "fractional"}},
                 sinkhorn = {{eps = 40}}, sliced_wasserstein = {{projections = 32}},
                 cknna = {{}, {variant = "local"}}, dcor = {{}, {estimator = "corrected"}}}

local function all(a, b)
  local values = {}
  for _, name in ipairs(names) do
    for i, opts in ipairs(options[name] or {{}}) do values[name .. " " .. i] = (measure[name](a, b, opts)) end
  end
  for _, name in ipairs(single) do values[name .. " 1"] = (measure[name](a)) end
  return values
end

local threads = system.threads()
system.set_threads(1)
local expected = all(x, y)

local function compare(label, values, tolerance)
  for name, want in pairs(expected) do
    local off = math.abs(values[name] - want)
    check.ok(off <= tolerance * math.max(1, math.abs(want)), ("%s, %s: %.17g, expected %.17g"):format(name, label, values[name], want))
  end
end

check.group("values are numbers", function()
  for name, value in pairs(expected) do check.ok(value == value and value ~= 0, name .. ": " .. value) end
end)

check.group("dtypes", function()
  compare("f32", all(x:to "f32", y:to "f32"), 0)
  compare("bf16", all(x:to "bf16", y:to "bf16"), 0)
  compare("f32 and bf16", all(x:to "f32", y:to "bf16"), 0)
end)

-- Every second row and every third column of a matrix of NaN.
local function with_holes(t)
  local big = vbl.full({2 * N, 3 * D}, 0 / 0, {dtype = "f64"})
  for i = 1, N do
    for j = 1, D do big[{2 * i - 1, 3 * j - 2}] = t[{i, j}] end
  end
  return big:reshape(N, 2, D, 3):select(2, 1):select(3, 1)
end

check.group("strides", function()
  compare("holes of NaN", all(with_holes(x), with_holes(y)), 0)
  compare("transposed storage", all(x:transpose(1, 2):contiguous():transpose(1, 2), y:transpose(1, 2):contiguous():transpose(1, 2)), 0)
end)

check.group("prepared matrices, shared by all measures", function()
  local p <close> = measure.prepare(x)
  local q <close> = measure.prepare(y)
  compare("prepared", all(p, q), 0)
  compare("prepared, again", all(p, q), 0)
end)

check.group("threads", function()
  system.set_threads(threads)
  compare(threads .. " threads", all(x, y), 1e-13)
end)

check.done()

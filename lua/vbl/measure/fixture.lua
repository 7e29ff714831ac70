-- The deterministic fixture of the measures: X [24,6], Y [24,8] and tokens by formula, and what numpy and scipy make of them in f64.
--   fixture.inputs() -> X, Y, text tokens [2,5,4], image tokens [2,7,4]; fixture.folds: the fold of each row
--   fixture.lines() -> array of {name, got, expected}    one for every number; a list of numbers is one line
--   fixture.run()   -> prints them with their differences; the number of lines that are off by more than 1e-9
-- `vbl test measures` prints it. Neighbours are told here by rows from 0, as numpy tells them.
local vbl = require "vbl"
local measure = require "vbl.measure"

local fixture = {tolerance = 1e-9, folds = {}}
local N, DX, DY, K = 24, 6, 8, 5

local function matrix(rows, columns, at)
  local list = {}
  for i = 0, rows - 1 do
    list[i + 1] = {}
    for j = 0, columns - 1 do list[i + 1][j + 1] = at(i, j) end
  end
  return vbl.tensor(list, {dtype = "f64"})
end

local function x_at(i, j) return math.sin(0.7 * (i + 1) * (j + 1)) + 0.1 * (i % 3) end
local function y_at(i, j) return math.cos(0.3 * (i + 1) * (j + 2)) + 0.5 * x_at(i, j % DX) end

-- [2, count, 4]
local function tokens(count, at)
  return matrix(2 * count, 4, function(row, j) return at(row // count, row % count, j) end):reshape(2, count, 4)
end

function fixture.inputs()
  local x, y = matrix(N, DX, x_at), matrix(N, DY, y_at)
  local text = tokens(5, function(b, t, j) return math.sin(1.1 * (b + 1) + 0.5 * (t + 1) * (j + 1)) end)
  local vision = tokens(7, function(b, p, j) return math.cos(0.9 * (b + 1) - 0.4 * (p + 1) * (j + 1)) end)
  return x, y, text, vision
end

local function field(call, name) return function(...) return (select(2, call(...)))[name] end end

-- The lines of one matrix or of pairs: {name, measure, options, expected}; `joint`: X against Y's first six columns; `swap`: Y, X;
-- `self`: X, X or Y, Y; `field`: of the record.
for i = 0, N - 1 do fixture.folds[i + 1] = i % 4 end
local k5, one_hot = {k = K}, {directions = true}
local measures = {
  {"cosine, X and Y[:, :6]", "cosine", {}, 0.556719500374, joint = true},
  {"HSIC, biased", "hsic", {estimator = "biased"}, 1.842516473875},
  {"CKA, linear, biased", "cka", {estimator = "biased"}, 0.498263944708},
  {"HSIC, debiased, X Y", "hsic", {}, 1.061993988353},
  {"HSIC, debiased, X X", "hsic", {}, 2.505660246431, self = "x"},
  {"HSIC, debiased, Y Y", "hsic", {}, 3.356447392482, self = "y"},
  {"CKA, linear, debiased", "cka", {}, 0.366202280616},
  {"CKA, RBF, median of i < j", "cka", {kernel = "rbf", estimator = "biased"}, 0.533024110110},
  {"CKA, RBF, median with the diagonal", "cka", {kernel = "rbf", estimator = "biased", bandwidth = "median_full"}, 0.533620269422},
  {"CKA, RBF, half the median", "cka", {kernel = "rbf", estimator = "biased", fraction = 0.5}, 0.566550165359},
  {"CKA, RBF, debiased", "cka", {kernel = "rbf"}, 0.349028344505},
  {"CKA, 3 batches of 8", "cka_minibatch", {batch = 8}, 0.115215827326},
  {"mutual kNN, k = 5", "mknn", k5, 0.375},
  {"mutual kNN, thesis", "mknn_thesis", k5, 0.480839155754},
  {"kNN Jaccard", "knn_jaccard", k5, 0.246197089947},
  {"rank similarity", "rank_sim", k5, 0.294550905884},
  {"joint rank-Jaccard", "joint_rank_jaccard", k5, 0.080067987128},
  {"cycle kNN", "cycle_knn", k5, 1},
  {"cycle kNN, Y and X", "cycle_knn", k5, 0.958333333333, swap = true},
  {"LCS kNN", "lcs_knn", k5, 1.583333333333},
  {"edit kNN", "edit_knn", k5, 0.1},
  {"second-order cosine", "second_order_cosine", k5, 0.768041136214},
  {"CKNNA, eps = 0", "cknna", k5, 0.404589534601},
  {"CKNNA, eps = 1e-6", "cknna", {k = K, eps = 1e-6}, 0.404582648491},
  {"CKNNA, local", "cknna", {k = K, variant = "local"}, 0.367843244573},
  {"CCA, mean rho", "cca", {}, 0.680431742695},
  {"CCA, mean rho^2", "cca", {of = "rho2"}, 0.562694539154},
  {"PWCCA, weights of X", "pwcca", {}, 0.756689748721},
  {"PWCCA, weights of Y", "pwcca", {side = "y"}, 0.719477859402},
  {"SVCCA, 0.99", "svcca", {}, 0.798709025059},
  {"SVCCA, 0.9", "svcca", {threshold = 0.9}, 0.780618490750},
  {"Procrustes, distance", "procrustes", {form = "distance"}, 8.799321752221},
  {"Procrustes, similarity", "procrustes", {}, 0.647929642720},
  {"Procrustes, normalised distance", "procrustes", {form = "normalised_distance"}, 0.839130928139},
  {"Procrustes, angular", "procrustes", {form = "angular"}, 0.865933116675},
  {"aligned cosine", "aligned_cosine", {}, 0.638617618437},
  {"RSA, correlation, Spearman", "rsa", {}, 0.291709307801},
  {"RSA, correlation, Pearson", "rsa", {compare = "pearson"}, 0.353406369557},
  {"RSA, cosine, Spearman", "rsa", {rdm = "cosine"}, 0.319137569384},
  {"RSA, cosine, Pearson", "rsa", {rdm = "cosine", compare = "pearson"}, 0.369718935864},
  {"RSA, euclidean, Spearman", "rsa", {rdm = "euclidean"}, 0.302521938899},
  {"RSA, euclidean, Pearson", "rsa", {rdm = "euclidean", compare = "pearson"}, 0.343986681537},
  {"RSA, sqeuclidean, Spearman", "rsa", {rdm = "sqeuclidean"}, 0.302521938899},
  {"RSA, sqeuclidean, Pearson", "rsa", {rdm = "sqeuclidean", compare = "pearson"}, 0.347350080922},
  {"RSA, correlation, Kendall tau-b", "rsa", {compare = "kendall"}, 0.196310935441},
  {"distance correlation", "dcor", {}, 0.769885378639},
  {"distance correlation, corrected", "dcor", {estimator = "corrected"}, 0.346901152740},
  {"linear R2, X to Y", "linear_r2", {}, 0.534461077071},
  {"linear R2, Y to X", "linear_r2", {}, 0.621192481191, swap = true},
  {"ridge R2, lambda 1, folds i % 4", "ridge_r2_cv", {folds = 4, lambda = 1, assignment = fixture.folds}, 0.200020350684},
  {"Wasserstein 2", "wasserstein", {}, 1.548334530789, joint = true},
  {"Wasserstein 1", "wasserstein", {p = 1}, 1.490136863445, joint = true},
  {"Sinkhorn, cost <P, C>, eps 0.5", "sinkhorn", {eps = 0.5, form = "cost"}, 2.552870611850, joint = true},
  {"Sinkhorn, dual value", "sinkhorn", {eps = 0.5, form = "dual"}, 3.418814881109, joint = true},
  -- 2.105478839945 is sometimes quoted: alternating the potentials of a cloud against itself still lacks 7e-9 after 20,000 steps. At the
  -- fixed points, which averaging the potentials reaches, it is this.
  {"Sinkhorn, divergence", "sinkhorn", {eps = 0.5}, 2.105478832963, joint = true},
  {"sliced Wasserstein, six axes", "sliced_wasserstein", one_hot, 0.276631190904, joint = true},
  {"Gromov-Wasserstein, identity", "gw_identity", {normalise = false}, 1.474651896803},
  {"modality gap", "modality_gap", {}, 0.184386341355, joint = true},
  {"alignment", "alignment", {}, 0.886560999253, joint = true},
  {"uniformity of X", "uniformity", {}, -2.321424481542, one = true},
  {"retrieval X to Y, R@1", "retrieval", {}, 0.208333333333, joint = true},
  {"retrieval Y to X, R@1", "retrieval", {}, 0.166666666667, joint = true, field = "r1_yx"},
  {"retrieval X to Y, R@5", "retrieval", {}, 0.875, joint = true, field = "r5"},
  {"retrieval Y to X, R@5", "retrieval", {}, 0.833333333333, joint = true, field = "r5_yx"},
  {"retrieval X to Y, R@10", "retrieval", {}, 1, joint = true, field = "r10"},
  {"retrieval Y to X, R@10", "retrieval", {}, 1, joint = true, field = "r10_yx"},
  {"median rank X to Y", "retrieval", {}, 3.5, joint = true, field = "median_rank"},
  {"MRR X to Y", "retrieval", {}, 0.415443121693, joint = true, field = "mrr"},
  {"effective rank", "effective_rank", {}, 4.963924938566, one = true},
  {"effective rank of eigenvalues", "effective_rank", {of = "eigenvalue"}, 4.070404673005, one = true},
  {"participation ratio", "participation_ratio", {}, 3.695036960606, one = true},
  {"stable rank", "stable_rank", {}, 2.832533478520, one = true},
  {"PCA dims, 95 %", "pca_dims", {}, 4, one = true},
  {"TwoNN, maximum likelihood", "twonn", {}, 0.925849459561, one = true},
  {"TwoNN, least squares", "twonn", {fit = "linear"}, 0.829390712595, one = true},
}

local function measured(row, x, y)
  local fn, opts = measure[row[2]], row[3]
  if opts == one_hot then opts = {directions = vbl.eye(DX)} end
  if row.field then fn = field(fn, row.field) end
  if row.one then return (fn(x, opts)) end
  local a, b = x, row.joint and y:narrow(2, 1, DX) or y
  if row.swap then a, b = b, a end
  if row.self then a, b = row.self == "x" and x or y, row.self == "x" and x or y end
  return (fn(a, b, opts))
end

-- The numbers that are data, spectra and lists.
local function parts(x, y)
  local lists = {x = measure.neighbours(x, k5), y = measure.neighbours(y, k5)}
  local function row(side, i)
    local list = {}
    for r = 1, K do list[r] = lists[side][{i + 1, r}] - 1 end
    return list
  end
  local function length(t) return math.sqrt(measure.singular_values(t):square():sum():item()) end
  return {
    {"X[0, 0]", x[{1, 1}], 0.644217687238}, {"X[23, 5]", x[{24, 6}], 0.465801355789}, {"Y[23, 7]", y[{24, 8}], 0.121906406523},
    {"sum X", x:sum():item(), 17.352287570492}, {"sum Y", y:sum():item(), 9.430399916069},
    {"neighbours of X, row 0", row("x", 0), {9, 18, 6, 15, 8}}, {"neighbours of X, row 23", row("x", 23), {14, 5, 17, 8, 1}},
    {"neighbours of Y, row 0", row("y", 0), {21, 19, 9, 18, 12}}, {"neighbours of Y, row 23", row("y", 23), {17, 2, 5, 14, 16}},
    {"CCA, rho", measure.canonical_correlations(x, y):totable(),
     {0.9901536064, 0.9037202763, 0.8308748784, 0.8165216059, 0.4649258636, 0.0763942255}},
    {"TwoNN, n / sum ln mu", measure.twonn(x) * N / (N - 1), 0.966103783890},  -- vbl's has n - 1, which is unbiased
    {"nuclear norm of Xc'Yc", measure.procrustes(x, y) * length(x) * length(y), 64.278172942140},
    {"singular values of Xc", measure.singular_values(x):totable(),
     {5.156701959, 4.8079221217, 3.6274655565, 3.3032885191, 1.1327229917, 0.5104446083}},
  }
end

local function sequences(text, vision)
  local tp, pt = measure.max_sim(text, vision)
  local masked_tp, masked_pt = measure.max_sim(text, vision, {text_lengths = {4, 3}})
  return {{"max_sim tp", tp, 0.647960628459}, {"max_sim pt", pt, 0.593476110213}, {"max_sim tp, text lengths 4, 3", masked_tp, 0.663751989704},
          {"max_sim pt, text lengths 4, 3", masked_pt, 0.395730621454}}
end

function fixture.lines()
  local x, y, text, vision = fixture.inputs()
  local lines = {}
  for _, line in ipairs(parts(x, y)) do lines[#lines + 1] = line end
  for _, row in ipairs(measures) do lines[#lines + 1] = {row[1], measured(row, x, y), row[4]} end
  for _, line in ipairs(sequences(text, vision)) do lines[#lines + 1] = line end
  return lines
end

-- The largest difference; NaN counts as infinite.
function fixture.difference(got, expected)
  if type(got) ~= "table" then return got == got and math.abs(got - expected) or math.huge end
  local most = #got == #expected and 0 or math.huge
  for i, value in ipairs(got) do most = math.max(most, fixture.difference(value, expected[i] or math.huge)) end
  return most
end

local function show(value)
  if type(value) ~= "table" then return ("%.12f"):format(value) end
  local list = {}
  for i, v in ipairs(value) do list[i] = math.type(v) == "integer" and tostring(v) or ("%.10g"):format(v) end
  return table.concat(list, " ")
end

function fixture.run()
  local failed, lines = 0, fixture.lines()
  print(("%-34s %18s %18s %10s"):format("measure", "vbl", "expected", "difference"))
  for _, line in ipairs(lines) do
    local off = fixture.difference(line[2], line[3])
    local ok = off <= fixture.tolerance
    if not ok then failed = failed + 1 end
    print(("%-34s %18s %18s %10.1e  %s"):format(line[1], show(line[2]), show(line[3]), off, ok and "pass" or "FAIL"))
  end
  print(("%d of %d lines within %g"):format(#lines - failed, #lines, fixture.tolerance))
  return failed
end

return fixture

-- vbl.measure and vbl.analysis from Lua: dtypes, strides, options, records, errors, prepared matrices, the log line. The numbers
-- themselves are checked in test_measure_fixture.c and test_measure_laws.c.
local vbl = require "vbl"
local check = require "check"
local measure = require "vbl.measure"
local analysis = require "vbl.analysis"

-- The fixture of test_measure_fixture.c.
local N, DX, DY = 24, 6, 8
local xt, yt = {}, {}
for i = 0, N - 1 do
  local x, y = {}, {}
  for j = 0, DX - 1 do x[j + 1] = math.sin(0.7 * (i + 1) * (j + 1)) + 0.1 * (i % 3) end
  for j = 0, DY - 1 do y[j + 1] = math.cos(0.3 * (i + 1) * (j + 2)) + 0.5 * x[j % DX + 1] end
  xt[i + 1], yt[i + 1] = x, y
end
local X, Y = vbl.tensor(xt, {dtype = "f64"}), vbl.tensor(yt, {dtype = "f64"})
local Y6 = Y:narrow(2, 1, 6)  -- strided

check.group("one value of every measure", function()
  local k5 = {k = 5}
  local cases = {
    {"hsic", 1.061993988353}, {"hsic", 1.842516473875, {estimator = "biased"}}, {"cka", 0.366202280616},
    {"cka", 0.533024110110, {kernel = "rbf", estimator = "biased"}},
    {"cka", 0.533620269422, {kernel = "rbf", estimator = "biased", bandwidth = "median_full"}},
    {"cka", 0.566550165359, {kernel = "rbf", estimator = "biased", fraction = 0.5}}, {"cka_minibatch", 0.115215827326, {batch = 8}},
    {"mknn", 0.375, k5}, {"mknn", 0.375, {k = 5, ties = "fractional"}}, {"mknn_thesis", 0.480839155754, k5},
    {"knn_jaccard", 0.246197089947, k5}, {"rank_sim", 0.294550905884, k5}, {"joint_rank_jaccard", 0.080067987128, k5},
    {"cycle_knn", 1, k5}, {"lcs_knn", 1.583333333333, k5}, {"edit_knn", 0.1, k5}, {"second_order_cosine", 0.768041136214, k5},
    {"cknna", 0.404589534601, k5}, {"cknna", 0.367843244573, {k = 5, variant = "local"}}, {"cca", 0.680431742695},
    {"cca", 0.562694539154, {of = "rho2"}}, {"svcca", 0.798709025059}, {"svcca", 0.780618490750, {threshold = 0.9}},
    {"pwcca", 0.756689748721}, {"pwcca", 0.719477859402, {side = "y"}}, {"procrustes", 0.647929642720},
    {"procrustes", 8.799321752221, {form = "distance"}}, {"procrustes", 0.839130928139, {form = "normalised_distance"}},
    {"procrustes", 0.865933116675, {form = "angular"}}, {"aligned_cosine", 0.638617618437}, {"rsa", 0.291709307801},
    {"rsa", 0.196310935441, {compare = "kendall"}}, {"rsa", 0.343986681537, {rdm = "euclidean", compare = "pearson"}},
    {"linear_r2", 0.534461077071}, {"dcor", 0.769885378639}, {"dcor", 0.346901152740, {estimator = "corrected"}},
    {"gw_identity", 1.474651896803, {normalise = false}},
  }
  for _, c in ipairs(cases) do check.near(measure[c[1]](X, Y, c[3]), c[2], 1e-9) end
  local folds = {}
  for i = 0, N - 1 do folds[i + 1] = i % 4 end
  check.near(measure.ridge_r2_cv(X, Y, {folds = 4, lambda = 1, assignment = folds}), 0.200020350684, 1e-9)
  check.near(measure.ridge_r2_cv(X, Y, {folds = 4, lambda = 1, assignment = vbl.tensor(folds, {dtype = "i32"})}), 0.200020350684, 1e-9)
end)

check.group("one space, one matrix", function()
  local cases = {{"cosine", 0.556719500374}, {"modality_gap", 0.184386341355}, {"alignment", 0.886560999253}, {"retrieval", 0.208333333333},
                 {"wasserstein", 1.548334530789}, {"wasserstein", 1.490136863445, {p = 1}}, {"sinkhorn", 2.105478832963, {eps = 0.5}},
                 {"sinkhorn", 2.552870611850, {eps = 0.5, form = "cost"}}}
  for _, c in ipairs(cases) do check.near(measure[c[1]](X, Y6, c[3]), c[2], 1e-9) end
  check.near(measure.sliced_wasserstein(X, Y6, {directions = vbl.eye(6)}), 0.276631190904, 1e-9)
  check.error(function() measure.sliced_wasserstein(X, Y6, {directions = vbl.eye(5)}) end, "expected [m, 6], got [5, 5]")
  -- 2^61 projections of six columns are as many bytes as none, modulo 2^64.
  check.error(function() measure.sliced_wasserstein(X, Y6, {projections = 1 << 61}) end, "expected 1 to 10^6")
  -- In a table each pair has the columns that it has, not those of the first.
  local c = require "vbl.measure.c"
  local narrow, wide = c.prepare(X), c.prepare(vbl.randn(X:size(1), 500))
  check.error(function() c.table("sliced_wasserstein", {narrow, wide}, {narrow, wide}, {directions = vbl.eye(6)}) end, "expected [m, 500], got [6, 6]")
  local one = {{"uniformity", -2.321424481542}, {"effective_rank", 4.963924938566}, {"effective_rank", 4.070404673005, {of = "eigenvalue"}},
               {"participation_ratio", 3.695036960606}, {"stable_rank", 2.832533478520}, {"pca_dims", 4}, {"twonn", 0.925849459561},
               {"twonn", 0.829390712595, {fit = "linear"}}}
  for _, c in ipairs(one) do check.near(measure[c[1]](X, c[3]), c[2], 1e-9) end
  local _, r = measure.retrieval(X, Y6)
  check.near(r.mrr, 0.415443121693, 1e-9)
  check.equal(r.median_rank, 3.5)
end)

check.group("twonn: the slope over all ratios but the last, whose quantile 1 has no logarithm", function()
  local d2 = {}
  for i = 1, N do
    d2[i] = {}
    for j = 1, N do
      local sum = 0
      for q = 1, DX do sum = sum + (xt[i][q] - xt[j][q]) ^ 2 end
      if j ~= i then table.insert(d2[i], sum) end
    end
    table.sort(d2[i])
    d2[i] = math.log(d2[i][2] / d2[i][1]) / 2
  end
  table.sort(d2)
  local top, bottom = 0, 0
  for i = 1, N - 1 do top, bottom = top - math.log(1 - i / N) * d2[i], bottom + d2[i] ^ 2 end
  check.near(measure.twonn(X, {fit = "linear", discard = 0}), top / bottom, 1e-9)
  check.near(measure.twonn(X, {fit = "linear", discard = 0.5 / N}), top / bottom, 1e-9)
end)

check.group("dtypes, strides, prepared matrices", function()
  local value, record = measure.cka(X, Y)
  check.near(measure.cka(X:to("f32"), Y:to("f32")), value, 1e-5)
  check.near(measure.cka(X:to("bf16"), Y:to("bf16")), value, 1e-2)
  check.near(measure.cka(X:transpose(1, 2):contiguous():transpose(1, 2), Y), value, 1e-15)
  local p <close> = measure.prepare(X)
  check.equal(measure.cka(p, Y), value)
  check.equal(tostring(p), "prepared matrix [24, 6]")
  check.equal(record.status, "OK")
  check.equal(record.n, 24)
  check.equal(record.dy, 8)
  check.equal(record.chance, 0)
  local released = measure.prepare(X)
  released:release()
  released:release()
  check.error(function() measure.cka(released, Y) end, "released")
end)

check.group("max_sim", function()
  local t, v = {}, {}
  for b = 1, 2 do
    t[b], v[b] = {}, {}
    for i = 1, 5 do
      t[b][i] = {}
      for j = 1, 4 do t[b][i][j] = math.sin(1.1 * b + 0.5 * i * j) end
    end
    for p = 1, 7 do
      v[b][p] = {}
      for j = 1, 4 do v[b][p][j] = math.cos(0.9 * b - 0.4 * p * j) end
    end
  end
  t, v = vbl.tensor(t, {dtype = "f64"}), vbl.tensor(v, {dtype = "f64"})
  local tp, pt, record = measure.max_sim(t, v)
  check.near(tp, 0.647960628459, 1e-9)
  check.near(pt, 0.593476110213, 1e-9)
  check.equal(record.status, "OK")
  tp, pt = measure.max_sim(t, v, {text_lengths = vbl.tensor({4, 3}, {dtype = "i32"})})
  check.near(tp, 0.663751989704, 1e-9)
  check.near(pt, 0.395730621454, 1e-9)
  local empty
  tp, pt, empty = measure.max_sim(t, v, {text_lengths = {4, 1}})
  check.equal(empty.skipped, 1)
  check.equal(empty.warnings[1], "ROWS_SKIPPED")
  tp, pt, record = measure.max_sim(t, v:narrow(3, 1, 3))
  check.ok(tp ~= tp and pt ~= pt)
  check.equal(record.status, "NOT_COMPARABLE")
  check.error(function() measure.max_sim(vbl.full({3, 2, 4}, 0 / 0), vbl.ones(3, 2, 4)) end, "NaN or Inf in the text tokens of sample 1")
  check.error(function() measure.max_sim(t, v, {text_lengths = {4, 6}}) end, "length 6 of sample 2", "0 to 5")
end)

check.group("attention and probe", function()
  local p = vbl.tensor({{{{0.5, 0.25, 0.25, 0}, {0.25, 0.25, 0.25, 0.25}}, {{1, 0, 0, 0}, {0, 1, 0, 0}}}})
  local value, record = measure.attention_entropy(p)
  check.near(record.heads[1], (1.039720771 / math.log(4) + 1) / 2, 1e-7)
  check.equal(record.heads[2], 0)
  check.near(value, record.heads[1] / 2, 1e-12)
  local labels = {}
  for i = 1, N do labels[i] = xt[i][1] > 0 and 1 or 0 end
  local score, probe = measure.linear_probe(X, labels, {metric = "auroc"})
  check.ok(score > 0.5 and score <= 1)
  check.equal(probe.chance, 0.5)
  check.equal(probe.train + probe.validation + probe.test, N)
  check.error(function() measure.linear_probe(X, {1, 0}) end, "expected 24 integers")
end)

check.group("wrong calls", function()
  check.error(function() measure.cka(X, Y, {estimater = "biased"}) end, "estimater", "did you mean 'estimator'")
  check.error(function() measure.cka(X, Y, {estimator = "biassed"}) end, "biassed", "did you mean 'biased'")
  check.error(function() measure.mknn(X, Y, {k = 24}) end, "k = 24", "n - 1 = 23")
  check.error(function() measure.mknn(X, Y, {k = 2.5}) end, "an integer")
  check.error(function() measure.cka(X, Y:narrow(1, 1, 23)) end, "[24, 6]", "[23, 8]")
  check.error(function() measure.cka(X:reshape(4, 6, 6), Y) end, "expected a matrix [n, d], got [4, 6, 6]")
  check.error(function() measure.cka(X) end, "tensor")
  check.error(function() measure.cka(X, Y, {}, 1) end, "cka(X, Y")
  check.error(function() return measure.ckaa end, "did you mean", "cka")
  local bad = X:clone()
  bad[{3, 2}] = 0 / 0
  check.error(function() measure.cka(bad, Y) end, "X: NaN at row 3 of 24, column 2 of 6")
end)

check.group("the layer analysis and its line", function()
  vbl.manual_seed(1)
  local text, vision = vbl.randn(64, 16), vbl.randn(64, 16)
  local tokens = {text = vbl.randn(64, 5, 16), vision = vbl.randn(64, 9, 16)}
  local layers = analysis.layers {
    {name = "layer0", text = text, vision = vision:narrow(2, 1, 8), text_tokens = tokens.text, vision_tokens = tokens.vision:narrow(3, 1, 8)},
    {name = "layer1", coattention = true, text = text, vision = text + vision, text_tokens = tokens.text, vision_tokens = tokens.vision,
     lengths = vbl.full({64}, 4, {dtype = "i32"})},
    {name = "layer2", text = text, vision = vbl.ones(64, 16), max_sim_tp = 0.25, max_sim_pt = 0.5},
  }
  local l = layers[2]
  check.equal(analysis.line(l), string.format(
    "layer layer1 (co-attn-True): cosine=%.4f, CKA=%.4f, max_sim_tp=%.4f, max_sim_pt=%.4f, SVCCA=%.4f, mknn=%.4f, jaccard=%.4f, rank=%.4f, procrustes=%.4f",
    l.cosine, l.cka, l.max_sim_tp, l.max_sim_pt, l.svcca, l.mknn, l.jaccard, l.rank, l.procrustes))
  check.ok(l.cka > 0.3 and l.mknn > l.records.mknn.chance)
  for _, name in ipairs(analysis.names) do
    check.ok(l[name] == l.records[name].value, name)
    check.ok(l.records[name].chance ~= nil, name .. " has no chance level")
  end
  check.equal(l.max_sim_tp, (measure.max_sim(tokens.text, tokens.vision, {text_lengths = vbl.full({64}, 3, {dtype = "i32"})})))
  check.ok(analysis.line(layers[1]):find("cosine=nan(NOT_COMPARABLE), CKA=", 1, true))
  check.ok(analysis.line(layers[1]):find("max_sim_tp=nan(NOT_COMPARABLE)", 1, true))
  check.ok(analysis.line(layers[3]):find("CKA=nan(ZERO_VARIANCE), max_sim_tp=0.2500, max_sim_pt=0.5000, SVCCA=nan(ZERO_VARIANCE), mknn=nan(ALL_TIED)", 1, true))
end)

check.group("what a call prepares ends with it", function()
  local system = require "vbl.system.c"
  local x, y = vbl.randn(4000, 256), vbl.randn(4000, 256)
  collectgarbage "stop"
  vbl.measure.cka(x, y)
  local before = system.rss_bytes()
  for _ = 1, 20 do vbl.measure.cka(x, y) end
  local grown = system.rss_bytes() - before
  collectgarbage "restart"
  -- Both matrices are 8 MB in f32: left to the collector they would be 320 MB.
  check.ok(grown < 60e6, ("grew by %.0f MB"):format(grown / 1e6))
end)

check.done()

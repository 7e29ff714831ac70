-- vbl.measure.report, report_layers and matrix: the statistics of calibrate, the null of independent data, coverage of the interval,
-- groups, the search over layers, the object, wrong calls. The draws themselves: test_measure_draws.c.
local vbl = require "vbl"
local check = require "check"
local measure = require "vbl.measure"
local calibrate = require "vbl.measure.calibrate"

vbl.manual_seed(5)
local function pair(n, d, share)
  local x = vbl.randn(n, d)
  return x, vbl.randn(n, d) + x * share
end

check.group("p, quantile, calibrated value", function()
  local null = {}
  for i = 1, 19 do null[i] = i / 20 end
  local right = calibrate.against(0.96, null, {null = "permutation", distance = false, best = 1}, 0.05)
  check.near(right.p, 1 / 20, 1e-12)  -- nothing of 19 reaches it
  check.near(right.null_mean, 0.5, 1e-12)
  check.near(right.null_q95, 0.905, 1e-12)
  check.near(right.calibrated, (0.96 - 0.95) / (1 - 0.95), 1e-12)  -- tau: 19th of 20
  check.near(right.corrected, 0.92, 1e-12)
  local equal = calibrate.against(0.5, null, {null = "permutation", distance = false, best = 1}, 0.05)
  check.near(equal.p, (1 + 10) / 20, 1e-12)  -- the draw that equals it counts
  check.equal(equal.calibrated, 0.0)
  local left = calibrate.against(0.04, null, {null = "permutation", distance = true, best = 0}, 0.05)
  check.near(left.p, 1 / 20, 1e-12)
  check.near(left.null_q95, 0.095, 1e-12)
  check.near(left.calibrated, (0.05 - 0.04) / 0.05, 1e-12)
  check.equal(calibrate.against(0.5, null, {null = "permutation", distance = false}, 0.05).calibrated, nil)
  check.equal(next(calibrate.against(0 / 0, null, {null = "permutation"}, 0.05)), nil)
  local q = calibrate.fdr {0.01, 0.04, 0.03, 0.5}
  check.near(q[1], 0.04, 1e-12)
  check.near(q[2], 0.16 / 3, 1e-12)
  check.near(q[3], 0.16 / 3, 1e-12)  -- the step-up minimum
  check.near(q[4], 0.5, 1e-12)
end)

check.group("a report", function()
  local x, y = pair(60, 6, 0.8)
  local opts = {null = 50, draws = 20, seed = 3, k = 7}
  local r = measure.report(x, y, {"cka", "mknn", {"mknn", k = 3, label = "mknn@3"}, {"procrustes", form = "distance"}, "modality_gap", "cosine"}, opts)
  check.equal(#r.rows, 6)
  local cka = r:row "cka"
  check.equal(cka.value, (measure.cka(x, y)))
  check.near(cka.p, 1 / 51, 1e-12)
  check.ok(cka.lo < cka.value and cka.value < cka.hi)
  check.ok(cka.calibrated > 0 and cka.calibrated < cka.value)
  check.ok(math.abs(cka.null_mean) < 0.03)
  check.equal(r:row("mknn").k, 7)
  check.equal(r:row("mknn@3").k, 3)
  check.near(r:row("mknn").null_mean, 7 / 59, 0.02)
  local distance = r:row "procrustes(form=distance)"
  check.equal(distance.tail, "left")
  check.near(distance.p, 1 / 51, 1e-12)
  check.ok(distance.value < distance.null_q95 and distance.calibrated > 0)
  check.equal(r:row("modality_gap").null, "swap")
  check.equal(r:row("modality_gap").calibrated, nil)
  local again = measure.report(x, y, "cka", opts):row "cka"
  check.ok(again.null_mean == cka.null_mean and again.lo == cka.lo and again.hi == cka.hi)
  check.ok(measure.report(x, y, "cka", {null = 50, draws = 20, seed = 4}):row("cka").null_mean ~= cka.null_mean)
  check.ok(tostring(r):find("mknn@3", 1, true) and tostring(r):find("calibrated", 1, true))
  check.equal(r:totable()[1].measure, "cka")
end)

check.group("what is undefined or has no null says so", function()
  local x, y = pair(30, 4, 0.5)
  local r = measure.report(x, vbl.ones(30, 4), {"cka", "mknn"}, {null = 10, draws = 10})
  check.equal(r:row("cka").status, "ZERO_VARIANCE")
  check.equal(r:row("cka").p, nil)
  check.ok(tostring(r):find("ZERO_VARIANCE", 1, true) and tostring(r):find("ALL_TIED", 1, true))
  local one = measure.report(x, nil, {"effective_rank"}, {draws = 10}):row "effective_rank"
  check.equal(one.null, "none")
  check.ok(one.lo <= one.hi)
  local k = measure.report(x, y, {{"mknn", k = 20}}, {null = 10, draws = 10}):row "mknn(k=20)"
  check.ok(k.note:find("no interval: on 15 of the rows", 1, true) and k.note:find("k = 20", 1, true))
  check.error(function() measure.report(x, y, "ckaa") end, "ckaa", "did you mean 'cka'")
  check.error(function() measure.report(x, y, {"cka", "cka"}) end, "asked for twice")
  check.error(function() measure.report(x, y, "cka", {nul = 3}) end, "nul", "did you mean 'null'")
  check.error(function() measure.report(x, y, "cka", {interval = "bootstrap"}) end, "replacement")
  check.error(function() measure.report(x, nil, "cka") end, "Y is missing")
  check.error(function() measure.report(x, y, "cka", {groups = {1, 2}}) end, "expected 30 integers")
end)

check.group("groups: shuffling single copies would find agreement in copies", function()
  local n, copies = 30, 4
  local x, y, labels = {}, {}, {}
  local gx, gy = vbl.randn(n, 5):totable(), vbl.randn(n, 5):totable()
  for i = 1, n * copies do
    local item = (i - 1) // copies + 1
    x[i], y[i], labels[i] = gx[item], gy[item], item
  end
  x, y = vbl.tensor(x), vbl.tensor(y)
  local loose = measure.report(x, y, "cka", {null = 200, interval = false}):row "cka"
  local tight = measure.report(x, y, "cka", {null = 200, interval = false, groups = labels}):row "cka"
  check.ok(loose.null_sd < 0.5 * tight.null_sd, "groups do not widen the null")
  check.ok(tight.p > 0.02)
  labels[1] = 999  -- a single and a triple: nothing of their size to change places with
  check.ok(measure.report(x, y, "cka", {null = 5, interval = false, groups = labels}):row("cka").note:find("4 rows belong to groups", 1, true))
end)

check.group("groups: an image's rows are each other's answers, in one fold whole, and chance is that of whole images", function()
  local x, y, labels = {}, {}, {}
  vbl.manual_seed(8)
  local images, words = vbl.randn(40, 6), vbl.randn(40, 6)
  for i = 1, 120 do labels[i] = (i - 1) // 3 end
  local function rows_of(t) return vbl.nn.functional.gather_rows(t, vbl.tensor(labels, {dtype = "i32"})) end
  x, y = rows_of(images) + vbl.randn(120, 6) * 0.01, rows_of(words) + vbl.randn(120, 6) * 0.01  -- unrelated
  local same = rows_of(images)
  local found = measure.report(same, x, "retrieval", {null = 39, interval = false, groups = labels}):row "retrieval"
  check.near(found.value, 1, 1e-12)
  check.near(found.chance, 3 / 120, 1e-12)
  check.near(found.p, 1 / 40, 1e-12)
  local r = measure.report(x, y, {"mknn", "cka"}, {null = 39, draws = 20, k = 2, groups = vbl.tensor(labels, {dtype = "i32"})})
  local wide, other = rows_of(vbl.randn(40, 80)) + vbl.randn(120, 80) * 0.01, rows_of(vbl.randn(40, 4))
  local function ridge(given) return measure.report(wide, other, "ridge_r2_cv", {null = 0, interval = false, groups = given}):row("ridge_r2_cv").value end
  check.ok(ridge() > 0.9 and ridge(labels) < 0.2, "rows of one image in two folds tell each other")
  for _, name in ipairs {"mknn", "cka"} do
    check.equal(r:row(name).chance, r:row(name).null_mean)
    check.equal(r:row(name).chance_source, "mean of 39 permutations of groups")
    check.ok(r:row(name).p > 0.025)
  end
  check.ok(r:row("mknn").chance > 0.5)  -- both neighbours are of the image
  check.equal(measure.report(x, y, "mknn", {null = 0, interval = false, groups = labels}):row("mknn").chance, nil)
  -- Labels that are all different say nothing.
  local alone = {}
  for i = 1, 120 do alone[i] = i end
  check.near(measure.report(x, y, "mknn", {null = 9, interval = false, k = 2, groups = alone}):row("mknn").chance, 2 / 119, 1e-12)
  local sizes = {}
  for g = 1, 15 do
    for _ = 1, g do sizes[#sizes + 1] = g end
  end
  local fixed = measure.report(x, x, "cka", {null = 9, interval = false, groups = sizes}):row "cka"
  check.equal(fixed.p, nil)
  check.ok(fixed.note:find("there is no p", 1, true))
  check.error(function() measure.report(x, y, "cka", {groups = 3}) end, "groups: expected 120 integers, the label of each row, got number")
  labels[7] = "a"
  check.error(function() measure.report(x, y, "cka", {groups = labels}) end, "groups: expected integers, got a for row 7")
end)

check.group("folds of groups: whole, of the shares that were asked for, the same for a seed", function()
  local folds, labels = require("vbl.measure.groups").folds, {}
  for i = 1, 200 do labels[i] = i * i % 61 end
  local fold, count, of = folds(labels, 3, 4, {0.6, 0.2, 0.2}), {0, 0, 0}, {}
  for i, f in ipairs(fold) do
    count[f + 1] = count[f + 1] + 1
    check.equal(of[labels[i]] or f, f)
    of[labels[i]] = f
  end
  for i, wanted in ipairs {120, 40, 40} do check.near(count[i], wanted, 8) end  -- a group has at most 7 rows
  check.equal(table.concat(folds(labels, 3, 4, {0.6, 0.2, 0.2})), table.concat(fold))
  check.ok(table.concat(folds(labels, 3, 5, {0.6, 0.2, 0.2})) ~= table.concat(fold))
  check.error(function() folds({1, 1, 2, 2}, 3, 0) end, "groups: 2 groups cannot be divided into 3 parts")
end)

check.group("p does not hang on the scale of the data", function()
  local x, y = pair(80, 5, 0.4)
  local p = measure.report(x, y, "hsic", {null = 99, interval = false}):row("hsic").p
  check.ok(p < 0.05)
  for _, s in ipairs {1e-4, 1e4} do check.near(measure.report(x * s, y * s, "hsic", {null = 99, interval = false}):row("hsic").p, p, 0.0101) end
end)

check.group("subsets of groups: the rows that were taken make the interval, not those that were asked for", function()
  local x, y, labels = vbl.randn(40, 3), vbl.randn(40, 3), {}
  for i = 1, 40 do labels[i] = (i - 1) // 8 end
  local values, rows = measure.subsample("cosine", x, y, nil, {draws = 30, rows = 20, groups = labels})
  check.equal(#values, 30)
  check.equal(rows, 16.0)  -- two groups of eight
  local row = measure.report(x, y, "cosine", {null = 0, draws = 30, groups = labels}):row "cosine"
  local lo, hi = require("vbl.measure.calibrate").interval(row.value, values, 40, 16, 0.05)
  check.near(row.lo, lo, 1e-12)
  check.near(row.hi, hi, 1e-12)
  check.error(function() measure.subsample("cosine", x, vbl.randn(39, 3), nil, {}) end, "X has 40 rows and Y has 39")
end)

check.group("matrix: all have the same rows, since labels are given once", function()
  local a, b, labels = vbl.randn(12, 3), vbl.randn(20, 3), {}
  for i = 1, 12 do labels[i] = i // 2 end
  check.error(function() measure.matrix({a, b}, {b}, "retrieval", {groups = labels}) end, "matrix 2 of the first list has 20 rows", "has 12")
  check.error(function() measure.matrix({a}, {a, b}, "cka") end, "matrix 2 of the second list has 20 rows")
end)

check.group("the 90 % interval of a mean covers it in about 90 % of samples", function()
  -- cosine of 2-D unit vectors, the sine of angles about 0: a mean of independent numbers without skew, expectation 0. The normal's quantile for
  -- Student's, and those of 400 draws, cost 1.5 %: 88.5 % of samples; 150 of them: sd of the share 2.6 %.
  local covered, trials, n = 0, 150, 80
  for trial = 1, trials do
    local t, x, y = vbl.rand(n):totable(), {}, {}
    for i = 1, n do x[i], y[i] = {1, 0}, {math.sin(t[i] - 0.5), math.cos(t[i] - 0.5)} end
    x, y = vbl.tensor(x), vbl.tensor(y)
    local r = measure.report(x, y, "cosine", {null = 0, draws = 400, alpha = 0.1, seed = trial}):row "cosine"
    if r.lo < 0 and 0 < r.hi then covered = covered + 1 end
  end
  check.near(covered / trials, 0.885, 0.08)
end)

check.group("p of independent data is uniform", function()
  local low, trials = 0, 100
  for trial = 1, trials do
    local x, y = pair(20, 3, 0)
    local row = measure.report(x, y, "cka", {null = 39, interval = false, seed = trial}):row "cka"
    if row.p <= 0.25 then low = low + 1 end
  end
  check.near(low / trials, 0.25, 3 * math.sqrt(0.25 * 0.75 / trials))
end)

check.group("layers: one permutation, the search inside the null", function()
  local x = vbl.randn(50, 4)
  local layers = {}
  for i = 1, 6 do layers[i] = {name = "layer" .. i - 1, x = x, y = vbl.randn(50, 4)} end
  layers[7] = {name = "layer6", x = x, y = x + vbl.randn(50, 4) * 0.3}
  local r = measure.report_layers(layers, {"cka", {"procrustes", form = "distance"}}, {null = 99, interval = false, seed = 1})
  check.equal(#r.rows, 7 * 2 + 4)
  local best, mean = r:row("cka", "max"), r:row("cka", "mean")
  check.equal(best.at, "layer6")
  check.equal(best.value, r:row("cka", "layer6").value)
  check.near(best.p, 0.01, 1e-12)
  check.ok(best.null_mean > 2 * r:row("cka", "layer6").null_sd / 3 and best.null_mean > mean.null_mean + 0.01, "the max of 7 layers is as the max of one")
  check.equal(r:row("procrustes(form=distance)", "min").at, "layer6")
  for _, row in ipairs(r.rows) do
    if row.q then check.ok(row.q >= row.p - 1e-15 and row.q <= 1) end
  end
  check.equal(best.q, nil)
  -- The same draws for every layer: a layer twice has the same null.
  local twice = measure.report_layers({layers[1], layers[1]}, "cka", {null = 20, interval = false})
  check.equal(twice.rows[1].null_mean, twice.rows[2].null_mean)
  check.equal(twice:row("cka", "max").null_mean, twice.rows[1].null_mean)
  check.error(function() measure.report_layers({layers[1], {name = "short", x = x:narrow(1, 1, 49), y = x:narrow(1, 1, 49)}}, "cka", {null = 1, interval = false}) end,
    "short has 49 rows")
end)

check.group("layers without a value: max and mean say over how many they are", function()
  local x, layers = vbl.randn(40, 4), {}
  for i = 1, 3 do layers[i] = {name = "layer" .. i - 1, x = x, y = i == 2 and vbl.ones(40, 4) or x + vbl.randn(40, 4)} end
  local r = measure.report_layers(layers, {"cka", "cosine"}, {null = 9, interval = false})
  check.equal(r:row("cka", "layer1").status, "ZERO_VARIANCE")
  check.equal(r:row("cka", "max").note, "over 2 of 3 layers")
  check.equal(r:row("cka", "mean").note, "over 2 of 3 layers")
  check.ok(tostring(r):find("at layer%d, over 2 of 3 layers"))
  check.equal(r:row("cosine", "max").note, nil)  -- all three have one
end)

check.group("matrix", function()
  local list, other = {}, {}
  for i = 1, 3 do list[i], other[i] = vbl.randn(40, 5), vbl.randn(40, 7) end
  other[3] = vbl.ones(40, 7)
  local values, statuses = measure.matrix(list, other, "mknn", {k = 4})
  check.equal(values:size(1) * 10 + values:size(2), 33)
  check.equal(values[{2, 1}], (measure.mknn(list[2], other[1], {k = 4})))
  check.equal(statuses[1][3], "ALL_TIED")
  local v = values[{1, 3}]
  check.ok(v ~= v)
  local within = measure.matrix(list, list, "cka")
  for i = 1, 3 do
    check.near(within[{i, i}], 1, 1e-12)
    check.equal(within[{i, 1}], within[{1, i}])
  end
  check.error(function() measure.matrix(list, other, "stable_rank") end, "one matrix")
  check.error(function() measure.matrix({}, other, "cka") end, "at least one")
end)

check.group("saving", function()
  local x, y = pair(30, 4, 0.5)
  local r = measure.report(x, y, {"cka", "mknn"}, {null = 10, draws = 10})
  local base = os.tmpname()
  r:save(base .. ".json")
  local back = vbl.load(base .. ".json")
  check.equal(back.rows[1].measure, "cka")
  check.near(back.rows[1].value, r.rows[1].value, 1e-15)
  check.equal(back.settings.null, 10)
  r:save(base .. ".tsv")
  local lines = vbl.load(base .. ".tsv", {header = true})
  check.equal(lines[2].measure, "mknn")
  check.near(tonumber(lines[1].value), r.rows[1].value, 1e-15)
  check.error(function() r:save(base .. ".txt") end, ".json, .tsv or .csv")
  for _, suffix in ipairs {"", ".json", ".tsv"} do os.remove(base .. suffix) end
end)

check.group("no interval reaches beyond the best value", function()
  vbl.manual_seed(4)
  local x = vbl.randn(12, 6)
  local y = x + vbl.randn(12, 6) * 0.3
  local r = measure.report(x, y, {"cka", "svcca", {"procrustes", form = "distance"}}, {null = 0})
  local distance = r.rows[3]
  check.ok(r:row("cka").hi <= 1 and r:row("svcca").hi <= 1 and distance.lo >= 0 and distance.lo <= distance.value, tostring(r))
  check.ok(r:row("cka").lo <= r:row("cka").value and r:row("cka").value <= r:row("cka").hi)
end)

check.group("an interval holds its estimate, where few of the subsets differ from the rest too", function()
  local calibrate, values = require "vbl.measure.calibrate", {}
  for i = 1, 100 do values[i] = i == 1 and 0.9 or 1 end
  local lo, hi = calibrate.interval(1, values, 40, 20, 0.05)
  check.ok(lo <= 1 and hi >= 1, ("[%.4f, %.4f]"):format(lo, hi))
  for i = 1, 100 do values[i] = i == 1 and 0.1 or 0 end
  lo, hi = calibrate.interval(0, values, 40, 20, 0.05)
  check.ok(lo <= 0 and hi >= 0, ("[%.4f, %.4f]"):format(lo, hi))
end)

check.done()

-- Laws of unrelated data that test_measure_null.c leaves out: fixed seeds, bands of three standard errors, a stated slack where a law is
-- asymptotic.
local vbl = require "vbl"
local check = require "check"
local measure = require "vbl.measure"

vbl.manual_seed(21)
local function normal(n, d) return vbl.randn(n, d):to("f64") end

-- Mean of draw() over `draws` calls within three standard errors and `slack` of `want`.
local function check_mean(name, draws, want, slack, draw)
  local sum, squares = 0, 0
  for _ = 1, draws do
    local value = draw()
    sum, squares = sum + value, squares + value * value
  end
  local mean = sum / draws
  local band = 3 * math.sqrt(math.max(0, squares / draws - mean * mean) / (draws - 1)) + slack
  check.ok(math.abs(mean - want) <= band, ("%s: mean %.5f, expected %.5f +- %.5f"):format(name, mean, want, band))
end

check.group("modality gap of one uniform law: E gap^2 = 2/n", function()
  check_mean("gap^2", 60, 2 / 100, 0, function() return (measure.modality_gap(normal(100, 16), normal(100, 16))) ^ 2 end)
end)

check.group("uniformity on the sphere: -2t + log 0F1(; d/2; t^2), t = 2", function()
  -- The mean over pairs of exp(-t d^2) is unbiased; its logarithm is low by half the relative variance, which is below the slack.
  check_mean("d = 3", 12, -2.0798, 0.002, function() return (measure.uniformity(normal(400, 3))) end)
  check_mean("d = 32", 12, -3.7518, 0.002, function() return (measure.uniformity(normal(300, 32))) end)
  check_mean("d = 768", 4, -3.98958, 0.0005, function() return (measure.uniformity(normal(100, 768))) end)
end)

check.group("retrieval: R@K = K/n, median (n+1)/2, MRR = H_n/n", function()
  local n, harmonic = 60, 0
  for i = 1, n do harmonic = harmonic + 1 / i end
  local want = {r1 = 1 / n, r5 = 5 / n, r10 = 10 / n, median_rank = (n + 1) / 2, mrr = harmonic / n, r5_yx = 5 / n, mrr_yx = harmonic / n}
  local records = {}
  for q = 1, 60 do records[q] = select(2, measure.retrieval(normal(n, 24), normal(n, 24))) end
  for field, value in pairs(want) do
    local q = 0
    check_mean(field, 60, value, 0, function()
      q = q + 1
      return records[q][field]
    end)
  end
end)

-- 1 / sqrt((1 + n/PRx)(1 + n/PRy)), PR = (tr C)^2 / tr C^2 of the population.
check.group("biased CKA of unrelated data with a decaying spectrum", function()
  local n, d, scale, squares, fourths = 200, 40, {}, 0, 0
  for j = 1, d do
    scale[j] = j ^ -0.5
    squares, fourths = squares + scale[j] ^ 2, fourths + scale[j] ^ 4
  end
  local ratio, spectrum = squares ^ 2 / fourths, vbl.tensor(scale, {dtype = "f64"})
  check_mean("CKA", 20, 1 / (1 + n / ratio), 0.003, function()
    return (measure.cka(normal(n, d) * spectrum, normal(n, d) * spectrum, {estimator = "biased"}))
  end)
end)

-- Y = X + E: 1/2 in the population. The mean of biased CKA per batch is far above; the ratio of sums is not.
check.group("minibatch CKA", function()
  local function pair()
    local x = normal(2048, 10)
    return x, x + normal(2048, 10)
  end
  check_mean("ratio of sums", 6, 0.5, 0.005, function()
    local x, y = pair()
    return (measure.cka_minibatch(x, y, {batch = 32}))
  end)
  local x, y = pair()
  local first = measure.cka(x:narrow(1, 1, 32), y:narrow(1, 1, 32), {estimator = "biased"})
  check.ok(first > 0.55, "one biased batch of 32: " .. first)
  check_mean("unrelated", 12, 0, 0, function() return (measure.cka_minibatch(normal(256, 12), normal(256, 12), {batch = 16})) end)
end)

check.group("canonical correlations that are 1 whatever the data: rx + ry - (n-1)", function()
  local rho, ones = measure.canonical_correlations(normal(100, 60), normal(100, 55)), 0
  for i = 1, 55 do ones = ones + (rho[i] > 1 - 1e-9 and 1 or 0) end
  check.equal(ones, 60 + 55 - 99)
  check.error(function() measure.canonical_correlations(normal(20, 30), normal(20, 3)) end, "RANK_SATURATED")
end)

-- N(0, diag(1, 4)) and N(0, diag(9, 16)): Bures gives W2^2 = (3-1)^2 + (4-2)^2 = 8; a sample of n strays by about 1/sqrt(n).
check.group("Wasserstein between Gaussians", function()
  local a, b = vbl.tensor({1, 2}, {dtype = "f64"}), vbl.tensor({3, 4}, {dtype = "f64"})
  check_mean("W2^2", 8, 8, 0.15, function() return (measure.wasserstein(normal(300, 2) * a, normal(300, 2) * b)) ^ 2 end)
  check_mean("two samples of N(0, I5), n = 200", 6, 1.21, 0.05, function() return (measure.wasserstein(normal(200, 5), normal(200, 5))) end)
end)

check.group("mknn_thesis: mknn's chance over the share of neighbours that are mutual, and its help says so", function()
  local n, k, mutual = 144, 10, {}
  local x, y = normal(n, 768), normal(n, 768)
  for side, data in ipairs {x, y} do
    local lists, found, count = measure.neighbours(data, {k = k}):totable(), {}, 0
    for i, list in ipairs(lists) do
      for _, j in ipairs(list) do found[i * (n + 1) + j] = true end
    end
    for i, list in ipairs(lists) do
      for _, j in ipairs(list) do count = count + (found[j * (n + 1) + i] and 1 or 0) end
    end
    mutual[side] = count / (n * k)
  end
  local _, record = measure.mknn_thesis(x, y, {k = k})
  check.near(record.chance, k / (n - 1) / math.sqrt(mutual[1] * mutual[2]), 1e-12)
  check.ok(record.chance < 1.5 * k / (n - 1))  -- most neighbours of isotropic data are mutual: no fixed factor
  local text = require("vbl.help").row("measure.mknn_thesis").help
  check.ok(text:find("mutual", 1, true) and not text:find("times mknn", 1, true), text)
end)

check.group("parts of measures", function()
  local x = normal(30, 4)
  local lists, s = measure.neighbours(x, {k = 29, metric = "euclidean"}), measure.singular_values(x)
  for i = 1, 30 do
    local seen = {[i] = true}
    for r = 1, 29 do seen[lists[{i, r}]] = true end
    check.equal(#seen, 30)
  end
  check.near(s:square():sum():item() ^ 2 / s:square():square():sum():item(), measure.participation_ratio(x), 1e-12)
  check.near(measure.canonical_correlations(x, normal(30, 3)):shape()[1], 3, 0)
  check.error(function() measure.neighbours(x, {k = 30}) end, "k = 30", "n - 1 = 29")
  check.error(function() measure.neighbours(vbl.zeros(5, 2)) end, "row 1 is zero")
  check.error(function() measure.singular_values(vbl.ones(5, 2)) end, "constant")
end)

check.done()

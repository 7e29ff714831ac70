-- vbl's side of measures.lua: one JSON line a measure. Every time starts at the tensors: preparation, neighbour lists and SVD count.
--   vbl tests/bench/measures_own.lua FOLDER pair|table|memory:N THREADS
local vbl = require "vbl"
local system = require "vbl.system.c"
local measure = require "vbl.measure"

local folder, what, threads = arg[1], arg[2], tonumber(arg[3])
local K, LAYERS, DIM = 10, 12, 768
system.set_threads(threads)

local function report(name, ms)
  print(('{"measure": "%s", "ms": %.3f, "rss_mib": %.0f}'):format(name, ms, system.peak_rss_bytes() / 2 ^ 20))
  io.stdout:flush()
end

-- Median over repetitions that fill a second, at most 9; the first, when it is short, pays for memory that later ones reuse.
local function time(name, call)
  local times, spent = {}, 0
  repeat
    collectgarbage()
    local started = system.monotonic()
    call()
    times[#times + 1] = (system.monotonic() - started) * 1e3
    spent = spent + times[#times]
  until spent > 1000 or #times == 9
  if #times > 2 then table.remove(times, 1) end
  table.sort(times)
  report(name, times[(#times + 1) // 2])
end

-- call(x, y) on matrices prepared afresh.
local function time_pair(name, x, y, call)
  time(name, function()
    local p <close> = measure.prepare(x)
    local q <close> = measure.prepare(y)
    call(p, q)
  end)
end

local function pair()
  local x, y = vbl.load(folder .. "/x.npy"), vbl.load(folder .. "/y.npy")
  local k = {k = K}
  time_pair("linear CKA, debiased", x, y, function(p, q) measure.cka(p, q) end)
  time_pair("RBF CKA, biased", x, y, function(p, q) measure.cka(p, q, {kernel = "rbf", estimator = "biased"}) end)
  time_pair("kNN lists of X and Y", x, y, function(p, q) measure.mknn(p, q, k) end)
  time_pair("mutual kNN", x, y, function(p, q) measure.mknn(p, q, k) end)
  time_pair("cycle kNN", x, y, function(p, q) measure.cycle_knn(p, q, k) end)
  time_pair("LCS of neighbours", x, y, function(p, q) measure.lcs_knn(p, q, k) end)
  time_pair("edit distance of neighbours", x, y, function(p, q) measure.edit_knn(p, q, k) end)
  time_pair("Jaccard and rank similarity", x, y, function(p, q) measure.knn_jaccard(p, q, k) measure.rank_sim(p, q, k) end)
  time_pair("CKNNA", x, y, function(p, q) measure.cknna(p, q, k) end)
  time_pair("Procrustes", x, y, function(p, q) measure.procrustes(p, q) end)
  time_pair("SVCCA", x, y, function(p, q) measure.svcca(p, q) end)
  time_pair("SVCCA at 10 dims", x, y, function(p, q) measure.svcca(p, q, {dims = 10}) end)
  time_pair("RSA, correlation and Spearman", x, y, function(p, q) measure.rsa(p, q) end)
  time_pair("distance correlation", x, y, function(p, q) measure.dcor(p, q) end)
end

local table_measures = {{"CKA", "cka"}, {"mutual kNN", "mknn", {k = K}}, {"Procrustes", "procrustes"}, {"SVCCA", "svcca"}}

-- Text x vision, text x text and vision x vision from layers prepared once, as the analyses make them.
local function layer_table()
  local xs, ys = {}, {}
  for l = 1, LAYERS do xs[l], ys[l] = vbl.load(("%s/x%d.npy"):format(folder, l)), vbl.load(("%s/y%d.npy"):format(folder, l)) end
  local started, parts = system.monotonic(), {}
  for l = 1, LAYERS do xs[l], ys[l] = measure.prepare(xs[l]), measure.prepare(ys[l]) end
  parts[0] = system.monotonic() - started
  for m, row in ipairs(table_measures) do
    local from = system.monotonic()
    for _, sides in ipairs {{xs, ys}, {xs, xs}, {ys, ys}} do measure.matrix(sides[1], sides[2], row[2], row[3]) end
    parts[m] = system.monotonic() - from
  end
  report("table: prepare", parts[0] * 1e3)
  for m, row in ipairs(table_measures) do report("table: " .. row[1], parts[m] * 1e3) end
  report("table, all four", (system.monotonic() - started) * 1e3)
end

local function memory(rows)
  local x = vbl.randn(rows, DIM)
  local y = vbl.scope(function() return x * 0.5 + vbl.randn(rows, DIM) end)
  report("tensors", 0)
  local started = system.monotonic()
  measure.cka(x, y)
  report("linear CKA, debiased", (system.monotonic() - started) * 1e3)
  started = system.monotonic()
  measure.mknn(x, y, {k = K})
  report("mutual kNN", (system.monotonic() - started) * 1e3)
end

local rows = what:match "^memory:(%d+)$"
if rows then
  memory(math.tointeger(tonumber(rows)))
else
  ({pair = pair, table = layer_table})[what]()
end

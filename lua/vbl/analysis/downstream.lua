-- Does a measure predict a score? One row a model: {model=, group=, cluster=, score=, lower=, NAME = value, ...}.
--   downstream(rows, names, {permutations = 10000, seed = 0}) -> sheet: measure, spearman, p, q, models, groups
-- Architecture, data and size move measures and scores together, so both are compared within a group only: ranks within each group, centred,
-- then one correlation over all; p (two-sided) from scores shuffled within their groups (a restricted
-- permutation, Anderson and ter Braak 2003); q: Benjamini and Hochberg over the measures. A group of one model says nothing and is left out, and counted.
-- Models that differ in their seed only are no models of their own: where rows name a `cluster`, its scores are shuffled as a block, among
-- the clusters of its size, and p is that of the clusters.
-- Distances have their sign turned, and so have scores that are better when smaller (lower = true: a loss). A test has as many samples as there are
-- models; the layers and epochs of one model are not more of them.
local calibrate = require "vbl.measure.calibrate"
local figure = require "vbl.plot.figure"
local gate = require "vbl.analysis.gate"
local known = require "vbl.known"
local sheet = require "vbl.analysis.sheet"
local statistics = require "vbl.statistics"
local titles = require "vbl.plot.titles"

local function groups_of(rows, name)
  local groups, order = {}, {}
  for i, row in ipairs(rows) do
    local value, score = tonumber(row[name]), tonumber(row.score)
    if not score then error(("downstream: row %d ('%s') has no score"):format(i, tostring(row.model)), 3) end
    if value and value == value then
      local key = tostring(row.group or "all")
      if not groups[key] then
        groups[key] = {x = {}, y = {}, clusters = {}}
        order[#order + 1] = groups[key]
      end
      table.insert(groups[key].x, gate.distance(name) and -value or value)
      table.insert(groups[key].y, row.lower and -score or score)
      table.insert(groups[key].clusters, row.cluster or row)
    end
  end
  return order
end

local function centred_ranks(list)
  local ranks = statistics.ranks(list)
  for i, r in ipairs(ranks) do ranks[i] = r - (#ranks + 1) / 2 end
  return ranks
end

-- The numbers of a group's rows, cluster by cluster: {{{1, 2, 3}, {4, 5, 6}}, ...}, clusters of one size in one list.
local function blocks_of(clusters)
  local blocks, by_cluster, by_size, lists = {}, {}, {}, {}
  for i, name in ipairs(clusters) do
    if not by_cluster[name] then
      by_cluster[name] = {}
      blocks[#blocks + 1] = by_cluster[name]
    end
    table.insert(by_cluster[name], i)
  end
  for _, block in ipairs(blocks) do
    if not by_size[#block] then
      by_size[#block] = {}
      lists[#lists + 1] = by_size[#block]
    end
    table.insert(by_size[#block], block)
  end
  return lists
end

-- Rank correlation within groups; `shuffle(group)` gives an order of the scores or nil for none.
local function statistic(ranked, shuffle)
  local xx, yy, xy = 0, 0, 0
  for _, g in ipairs(ranked) do
    local order = shuffle and shuffle(g)
    for i, x in ipairs(g.x) do
      local y = g.y[order and order[i] or i]
      xx, yy, xy = xx + x * x, yy + y * y, xy + x * y
    end
  end
  return xx > 0 and yy > 0 and xy / math.sqrt(xx * yy) or 0 / 0
end

-- In how many orders the clusters can stand; p is at least one part of them.
local function arrangements(ranked)
  local product = 1.0  -- 21! is beyond whole numbers
  for _, g in ipairs(ranked) do
    for _, list in ipairs(g.blocks) do
      for n = 2, #list do product = product * n end
    end
  end
  return product
end

local function test(rows, name, opts)
  local ranked, models = {}, 0
  for _, g in ipairs(groups_of(rows, name)) do
    if #g.x > 1 then
      ranked[#ranked + 1] = {x = centred_ranks(g.x), y = centred_ranks(g.y), blocks = blocks_of(g.clusters)}
      models = models + #g.x
    end
  end
  local observed, beyond, draw = statistic(ranked), 0, 0
  local function shuffle(g)
    local order = {}
    for _, list in ipairs(g.blocks) do
      draw = draw + 1
      for b, from in ipairs(statistics.permutation(#list, opts.seed or 0, draw)) do
        for k, i in ipairs(list[b]) do order[i] = list[from][k] end
      end
    end
    return order
  end
  local B = opts.permutations or 10000
  for _ = 1, observed == observed and B or 0 do
    if math.abs(statistic(ranked, shuffle)) >= math.abs(observed) - 1e-12 then beyond = beyond + 1 end
  end
  return observed, observed == observed and (1 + beyond) / (B + 1) or 0 / 0, models, #ranked, arrangements(ranked)
end

local function draw(self, base)
  local panels = {}
  for i, name in ipairs(self.names) do
    local series = {}
    for key, g in pairs(self.points[name]) do series[#series + 1] = {name = key, x = g.x, y = g.y, points = true} end
    table.sort(series, function(a, b) return a.name < b.name end)
    panels[i] = {title = titles.of(name), xlabel = titles.of(name), ylabel = "score", series = series, margin = 0.05}
  end
  return figure.draw(base, {title = self.title, panels = panels})
end

local function counted(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

local function points_of(rows, name)
  local points = {}
  for _, row in ipairs(rows) do
    local key, value = tostring(row.group or "all"), tonumber(row[name])
    points[key] = points[key] or {x = {}, y = {}}
    if value then
      table.insert(points[key].x, value)
      table.insert(points[key].y, tonumber(row.score))
    end
  end
  return points
end

local function clusters_in(rows)
  local seen, n = {}, 0
  for _, row in ipairs(rows) do
    local key = row.cluster and ("%s/%s"):format(row.group or "all", row.cluster)
    if key and not seen[key] then seen[key], n = true, n + 1 end
  end
  return n
end

return function(rows, names, opts)
  opts = known("analysis.downstream", opts, {"permutations", "seed"})
  gate.check(names)
  local out, p, tested, points, clusters, orders = {}, {}, {}, {}, clusters_in(rows), math.huge
  for i, name in ipairs(names) do
    local rho, value, models, groups, n = test(rows, name, opts)
    orders = math.min(orders, n)
    out[i] = {name, sheet.cell(rho), sheet.cell(value), "", models, groups}
    if value == value then p[#p + 1], tested[#tested + 1] = value, out[i] end
    points[name] = points_of(rows, name)
  end
  for i, q in ipairs(calibrate.fdr(p)) do tested[i][4] = q end
  return sheet.new {title = "Measures and the downstream score, within groups", names = names, points = points, rows = out, figure = draw,
                    columns = {"measure", "spearman", "p", "q", "models", "groups"},
                    note = ("%s%s; p from scores shuffled within groups%s%s, q: false discovery rate over %s"):format(
                      counted(#rows, "model"), clusters > 0 and " in " .. counted(clusters, "cluster") or "", clusters > 0 and ", a cluster's as a block" or "",
                      orders < 1000 and (" (%s: p is at least %.2g)"):format(counted(math.tointeger(orders), "order"), 1 / orders) or "", counted(#tested, "measure"))}
end

-- How a measure depends on the number of items and of neighbours, beside the same curve for shuffled rows.
--   stability(pairs, measures, {n = {64, 128, ..}, k = {5, 10, ..}, draws = 5, seed = 0})
--     -> sheet: by ("n" or "k"), at, measure, layer, value, sd, null, chance, rank
--   pairs: list of {name=, text or x = [n,d], vision or y = [n,d]} (features:pairs("matched"), or one pair of files)
--   measures: names, or {name, label =, opts = {..}}: {"cka", label = "CKA, biased", opts = {estimator = "biased"}}
-- By n: mean and deviation over `draws` subsets without replacement (with replacement, duplicates would be each other's neighbours); null: mean
-- with the rows of Y shuffled; chance: the measure's own law, such as sqrt(dx dy / ((n + dx)(n + dy))) for biased CKA of isotropic data and
-- k/(n-1) for mutual k-NN. rank: Spearman between the order of the layers at this n and at the largest one: a level may move while the
-- order stays, that of the layers that are defined at both. By k: all items; only measures that know k.
local figure = require "vbl.plot.figure"
local gate = require "vbl.analysis.gate"
local known = require "vbl.known"
local merged = require "vbl.merged"
local sheet = require "vbl.analysis.sheet"
local statistics = require "vbl.statistics"
local titles = require "vbl.plot.titles"
local F = require "vbl.nn.functional"
local vbl = require "vbl"

local neighbours = {mknn = true, knn_jaccard = true, rank_sim = true, joint_rank_jaccard = true, cycle_knn = true, cknna = true, mknn_thesis = true,
                    lcs_knn = true, edit_knn = true, second_order_cosine = true}

-- Another seed than the subset's, so that the shuffle is independent of it.
local SHUFFLE = 0x9e3779b9

local function spec_of(measure)
  if type(measure) == "string" then return {name = measure, label = titles.of(measure), opts = {}} end
  return {name = measure[1], label = measure.label or titles.of(measure[1]), opts = measure.opts or {}}
end

local function take(x, order, n)
  local index = {}
  for i = 1, n do index[i] = order[i] - 1 end
  return F.gather_rows(x, vbl.tensor(index, {dtype = "i32"}))
end

local function with_k(opts, k)
  local all = merged({k = k}, opts)
  return next(all) and all or nil
end

-- One subset (n of the N rows) of every pair: value, value with shuffled rows and chance, a list by pair.
local function one_draw(pairs_, spec, n, k, draw, seed)
  local N, found = pairs_[1].x:size(1), {}
  local subset, shuffled = statistics.permutation(N, seed, draw), statistics.permutation(n, seed ~ SHUFFLE, draw)
  for i, pair in ipairs(pairs_) do
    vbl.scope(function()
      local x, y = take(pair.x, subset, n), take(pair.y, subset, n)
      local value, record = vbl.measure[spec.name](x, y, with_k(spec.opts, k))
      local null = vbl.measure[spec.name](x, take(y, shuffled, n), with_k(spec.opts, k))
      found[i] = {value, null, record.chance or 0 / 0}
    end)
  end
  return found
end

local function column(list, i, at)
  local values = {}
  for d, found in ipairs(list) do values[d] = found[i][at] end
  return values
end

local function add(rows, by, at, spec, pairs_, n, k, opts)
  local list, means = {}, {}
  for draw = 1, opts.draws do list[draw] = one_draw(pairs_, spec, n, k, draw, opts.seed) end
  for i, pair in ipairs(pairs_) do
    local mean, sd = statistics.mean_sd(column(list, i, 1))
    means[i] = mean
    local chance = statistics.mean_sd(column(list, i, 3))
    rows[#rows + 1] = {by, at, spec.label, pair.name, sheet.cell(mean), sheet.cell(sd), sheet.cell((statistics.mean_sd(column(list, i, 2)))),
                       chance == chance and chance or "", ""}
  end
  return means
end

-- Spearman over the layers that are defined in both lists; nil of less than three.
local function order_of(means, last)
  local x, y = {}, {}
  for i, value in ipairs(means) do
    if value == value and last[i] == last[i] then x[#x + 1], y[#y + 1] = value, last[i] end
  end
  return statistics.spearman(x, y)
end

-- Fills in the rank column of the last #means * #steps rows against the last step.
local function add_ranks(rows, steps)
  local count, last = #steps[#steps], steps[#steps]
  for s, means in ipairs(steps) do
    local rho = order_of(means, last)
    for i = 1, count do rows[#rows - #steps * count + (s - 1) * count + i][9] = rho or "" end
  end
end

local function named(pairs_)
  local list = {}
  for i, pair in ipairs(pairs_) do list[i] = {name = pair.name, x = pair.x or pair.text, y = pair.y or pair.vision} end
  return list
end

local function panel_of(rows, by, label, pairs_)
  local series, null, chance = {}, {name = "rows shuffled", x = {}, y = {}, color = 2}, {name = "chance law", x = {}, y = {}, dashed = true}
  local at = {}
  for i, pair in ipairs(pairs_) do
    at[pair.name] = {name = pair.name, x = {}, y = {}, low = {}, high = {}, order = #pairs_ > 1 and (i - 1) / (#pairs_ - 1) or 0}
    series[i] = at[pair.name]
  end
  for _, row in ipairs(rows) do
    if row[1] == by and row[3] == label then
      local s, mean, sd = at[row[4]], sheet.number(row[5]), sheet.number(row[6])
      for key, v in pairs {x = row[2], y = mean, low = mean - sd, high = mean + sd} do table.insert(s[key], v) end
      if row[4] == pairs_[#pairs_].name then
        table.insert(null.x, row[2])
        table.insert(null.y, sheet.number(row[7]))
        if row[8] ~= "" then
          table.insert(chance.x, row[2])
          table.insert(chance.y, row[8])
        end
      end
    end
  end
  if #null.x == 0 then return nil end
  series[#series + 1] = null
  if #chance.x > 0 then series[#series + 1] = chance end
  return {title = label, xlabel = by == "n" and "items n" or "neighbours k", series = series, log_x = true}
end

local function draw(self, base)
  local panels = {}
  for _, by in ipairs {"n", "k"} do
    for _, label in ipairs(self.labels) do panels[#panels + 1] = panel_of(self.rows, by, label, self.pairs) end
  end
  return figure.draw(base, {title = self.title, columns = math.min(3, #self.labels), panels = panels})
end

local function check_steps(opts, N)
  if math.type(opts.draws) ~= "integer" or opts.draws < 1 then error(("stability: draws: expected a number of subsets, from 1, got %s"):format(tostring(opts.draws)), 3) end
  if #opts.n + #opts.k == 0 then error(("stability: no number of items or neighbours to compute at; there are %d items"):format(N), 3) end
  for _, n in ipairs(opts.n) do
    if n < 16 or n > N then error(("stability: n = %s: expected 16 to %d, the number of items"):format(tostring(n), N), 3) end
  end
  for _, k in ipairs(opts.k) do
    if k < 1 or k > N - 1 then error(("stability: k = %s: expected 1 to %d, one less than the number of items"):format(tostring(k), N - 1), 3) end
  end
end

return function(given, measures, opts)
  opts = known("analysis.stability", opts, {"n", "k", "draws", "seed"})
  opts = {n = opts.n or {}, k = opts.k or {}, draws = opts.draws or 5, seed = opts.seed or 0}
  local pairs_, rows, labels, names = named(given), {}, {}, {}
  local N = pairs_[1].x:size(1)
  check_steps(opts, N)
  for i, measure in ipairs(measures) do names[i] = spec_of(measure).name end
  gate.check(names)
  for i, measure in ipairs(measures) do
    local spec, steps = spec_of(measure), {}
    labels[i] = spec.label
    for s, n in ipairs(opts.n) do steps[s] = add(rows, "n", n, spec, pairs_, n, neighbours[spec.name] and math.min(10, n - 1) or nil, opts) end
    if #steps > 0 then add_ranks(rows, steps) end
    for _, k in ipairs(neighbours[spec.name] and opts.k or {}) do add(rows, "k", k, spec, pairs_, N, k, {draws = 1, seed = opts.seed}) end
  end
  return sheet.new {title = "Stability in the number of items and of neighbours", rows = rows, labels = labels, pairs = pairs_, figure = draw,
                    columns = {"by", "at", "measure", "layer", "value", "sd", "null", "chance", "rank"},
                    note = ("%d items; by n: %d subsets without replacement"):format(N, opts.draws)}
end

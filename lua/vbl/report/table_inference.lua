-- Intervals and tests of a table of results (vbl.report.table, which says what they are).
--   inference.draw(t, c, opts)    cells of column c get draws, low, high
--   inference.test(t, opts)       cells get difference, p, p_holm; t.baseline, t.comparisons
local nearest = require "vbl.nearest"
local resample = require "vbl.report.resample"
local scores = require "vbl.report.scores"
local vbl = require "vbl"

local inference = {}

-- {{scope =, sets =, at = {{cell, number of its run}, ...}}, ...} in the order of the rows.
local function sets_by_scope(t, c)
  local list, known = {}, {}
  for _, row in ipairs(t.rows) do
    local cell = row.cells[c]
    for i, set in ipairs(cell and cell.sets or {}) do
      local scope = cell.ps[i].scope
      if not known[scope] then
        known[scope] = {scope = scope, sets = {}, at = {}}
        list[#list + 1] = known[scope]
      end
      table.insert(known[scope].sets, set)
      table.insert(known[scope].at, {cell, i})
    end
  end
  table.sort(list, function(x, y) return x.scope < y.scope end)
  return list
end

-- scope -> number of the run, of a cell whose runs each have samples of their own; else nil.
local function own_samples(cell)
  local of = {}
  for i, p in ipairs(cell.ps) do
    if of[p.scope] then return nil end
    of[p.scope] = i
  end
  return cell.n > 1 and of or nil
end

-- No mean lies beyond the ends of its metric, so an interval that is cut there holds it as often.
local function within(low, high, metric)
  if not low then return nil end
  local least, most = scores.range(metric)
  return math.min(math.max(low, least), most), math.max(math.min(high, most), least)
end

-- All sets of a column that have the same samples on the same draws of them.
function inference.draw(t, c, opts)
  local list = sets_by_scope(t, c)
  if #list == 0 then return end
  for k, one in ipairs(list) do
    local values = vbl.metrics.bootstrap(one.sets, opts.draws, opts.seed + k - 1)
    for v, place in ipairs(one.at) do
      place[1].run_draws = place[1].run_draws or {}
      place[1].run_draws[place[2]] = values[v]
    end
  end
  for r, row in ipairs(t.rows) do
    local cell = row.cells[c]
    if cell then
      cell.draws = own_samples(cell) and resample.mean_draws(cell.values, r, opts) or resample.group_draws(cell.run_draws, r, opts, cell.values)
      cell.low, cell.high = resample.interval(cell.draws, opts.alpha)
      cell.low, cell.high = within(cell.low, cell.high, t.columns[c].metric)
    end
  end
  t.columns[c].scopes = #list
end

-- The difference of two cells' runs in each scope; nil where their scopes are not the same, or hold several runs.
local function by_scope(cell, base)
  local of, list = own_samples(base), {}
  if not of or not own_samples(cell) or cell.n ~= base.n then return nil end
  for i, p in ipairs(cell.ps) do
    if not of[p.scope] then return nil end
    list[i] = cell.values[i] - base.values[of[p.scope]]
  end
  return list
end

local function bootstrap_test(cell, base, row, opts)
  local paired, differences = by_scope(cell, base), {}
  if paired then return resample.bootstrap_p(resample.mean_draws(paired, row, opts)) end
  for b, v in ipairs(cell.draws) do differences[b] = v - base.draws[b] end
  return resample.bootstrap_p(differences)
end

local function exchange_test(cell, base, column, opts)
  if cell.n ~= base.n then return nil end
  local sets = {}
  for i = 1, cell.n do sets[i] = scores.joined(cell.ps[i], base.ps[i], column.metric) end
  return resample.exchange_p(vbl.metrics.exchange(sets, opts.draws, opts.seed), cell.difference)
end

function inference.test(t, opts)
  local base_row
  for _, row in ipairs(t.rows) do
    if row.name == opts.baseline or not opts.baseline and not base_row then base_row = row end
  end
  if not base_row then error(("report.table: baseline: no group is named '%s'%s"):format(opts.baseline, nearest.hint(opts.baseline, t.names)), 3) end
  t.baseline = base_row.name
  local tested, ps = {}, {}
  for c, column in ipairs(t.columns) do
    local base = base_row.cells[c]
    for r, row in ipairs(t.rows) do
      local cell = row.cells[c]
      if row ~= base_row and cell and base then
        cell.difference = cell.mean - base.mean
        if column.samples and opts.test == "bootstrap" then cell.p = bootstrap_test(cell, base, r, opts) end
        if column.samples and opts.test == "permutation" then cell.p = exchange_test(cell, base, column, opts) end
        if cell.p then tested[#tested + 1], ps[#ps + 1] = cell, cell.p end
      end
    end
  end
  for i, p in ipairs(resample.holm(ps)) do tested[i].p_holm = p end
  t.comparisons = #ps
end

return inference

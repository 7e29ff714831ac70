-- Groups of runs side by side, those of a group differing in their seed only: the table of scores, where each group's runs stand, its
-- alignment layer by layer, and whether alignment predicts the score.
--   comparison(groups, opts) -> c     groups: as of vbl.report.table; opts: its options, and
--     measures = {"cka", "mknn", ...}     those that may predict the score (vbl.analysis.downstream); none, or {}: not asked
--   comparison.check(measures)     raises where one is no measure that a run takes of its layers
--   c.table       vbl.report.table; nil where there is none to be made, and c.why says why
--   c.runs        sheet: a line a run: group, task, seed, status, best epoch and score, values, parameters, folder
--   c.layers      sheet: a line a run, partner, layer and measure, before and after training: what the figures are drawn from
--   c.figures     {{name =, title =, panels = (of vbl.plot.figure), folded = whether a page hides it at first}, ...}
--   c.sheet       of vbl.analysis.downstream, where finished runs measured their alignment: of each run the measures' means over its layers, after
--                 training, texts and images mismatched, against its best validation score; within each task, and a group's runs change places together
--   tostring(c)   table and sheet;  c:save(base)     BASE.md, .tex, .csv; BASE-runs, BASE-layers, BASE-correlation .tsv and .json; BASE-NAME.svg,
--                 .png of each figure
local by_config = require "vbl.report.by_config"
local figures = require "vbl.report.comparison_figures"
local figure = require "vbl.plot.figure"
local layers = require "vbl.analysis.layers"
local listed = require "vbl.report.comparison_sheets"
local merged = require "vbl.merged"
local metric_names = require "vbl.metric_names"
local nearest = require "vbl.nearest"
local results = require "vbl.report.table"
local task_names = require "vbl.report.task_names"
local usage = require "vbl.usage"
local vbl = require "vbl"

local Comparison = {}
Comparison.__index = Comparison

-- The mean over the layers of each measure, of the names that the layer table has for it.
local own_names = {knn_jaccard = "jaccard", rank_sim = "rank"}

function Comparison.check(measures)
  local taken, known = {}, {}
  for name, own in pairs(own_names) do taken[own] = name end
  for i, name in ipairs(layers.names) do
    taken[i], known[name] = taken[name] or name, true
    known[taken[i]] = true
  end
  for _, name in ipairs(measures or {}) do
    if not known[name] then
      usage(("comparison: measures: a run measures no '%s' of its layers%s; there are %s"):format(tostring(name), nearest.hint(tostring(name), taken), table.concat(taken, ", ")))
    end
  end
end

local function means(rows, names)
  local row = {}
  for _, name in ipairs(names) do
    local sum, n = 0, 0
    for _, layer in ipairs(rows or {}) do
      local v = layer[own_names[name] or name]
      if type(v) == "number" and v == v then sum, n = sum + v, n + 1 end
    end
    row[name] = n > 0 and sum / n or nil
  end
  return row
end

-- A pretraining is left out: its score is the sum of its tasks' losses, which says nothing beside that of other tasks. So is a run that has none of the
-- measures (probe_samples = 0).
local function rows_of(groups, measures)
  local rows, task_of = {}, task_names(groups)
  for _, group in ipairs(groups) do
    for _, record in ipairs(group.runs) do
      local result = record.result
      if record.status == "finished" and record.kind ~= "pretrain" and result.best and result.alignment and result.alignment.after then
        local row = means(result.alignment.after.mismatched, measures)
        local measured = next(row) ~= nil
        row.model, row.group, row.cluster, row.score = record.name, task_of(record), group.name, result.best.value
        row.metric, row.lower = result.best.metric, metric_names.lower(result.best.metric)
        rows[#rows + 1] = measured and row or nil
      end
    end
  end
  return rows
end

local function opened(groups)
  local list = {}
  for i, group in ipairs(groups) do
    list[i] = {name = group.name, runs = {}}
    for k, run in ipairs(group.runs) do list[i].runs[k] = type(run) == "string" and vbl.runs.open(run) or run end
  end
  return list
end

-- Of pretraining runs, which have no predictions: what all of them that finished report of the test split. The others are listed below the table.
local function values_to_show(groups)
  local counts, runs, list = {}, 0, {}
  for _, group in ipairs(groups) do
    for _, record in ipairs(group.runs) do
      local counts_it = record.status == "finished"
      if counts_it and #record:splits() > 0 then return nil end
      runs = runs + (counts_it and 1 or 0)
      for key in pairs(counts_it and record.values or {}) do
        local name = key:match "^test%.(.+)$"
        if name and (name:find "^loss" or name:find "^accuracy") and not metric_names.beside(name) then counts[name] = (counts[name] or 0) + 1 end
      end
    end
  end
  for name, n in pairs(counts) do
    if n == runs then list[#list + 1] = name end
  end
  table.sort(list)
  return #list > 0 and list or nil
end

local function add_correlation(self, rows, measures, seed)
  if #rows == 0 then
    table.insert(self.table.notes, "no run has measured its alignment after training (probe_samples), so measures are not compared with scores")
    return
  end
  self.sheet = vbl.analysis.downstream(rows, measures, {seed = seed})
  self.figures[#self.figures + 1] = figures.correlation(rows, measures)
end

local function new(groups, opts)
  local given = merged(opts)
  local measures = given.measures
  given.measures = nil
  Comparison.check(measures)
  groups = opened(groups)
  local self = setmetatable({groups = groups, figures = {}, title = given.title}, Comparison)
  given.metrics = given.metrics or values_to_show(groups)
  if given.metrics then given.split = given.split or "test" end
  self.table = results(groups, given)
  self.runs, self.layers = listed.runs(groups, self.table.task_of), listed.layers(groups, self.table.task_of)
  self.figures = figures.of(groups, self.table)
  if measures and #measures > 0 then add_correlation(self, rows_of(groups, measures), measures, given.seed) end
  return self
end

-- Runs as they come, grouped by their configs; one where there is nothing to compare, or no table can be made, says so.
function Comparison.of(records, opts)
  local ok, made = pcall(new, by_config(records), opts)
  return ok and made or setmetatable({why = usage.strip(made), figures = {}}, Comparison)
end

function Comparison:__tostring() return tostring(self.table) .. (self.sheet and "\n" .. tostring(self.sheet) or "") end

function Comparison:save(base)
  for _, form in ipairs {".md", ".tex", ".csv"} do self.table:save(base .. form) end
  for name, sheet in pairs {runs = self.runs, layers = self.layers, correlation = self.sheet} do sheet:save(base .. "-" .. name) end
  for _, f in ipairs(self.figures) do figure.draw(("%s-%s"):format(base, f.name), {title = f.title, columns = f.columns, panels = f.panels}) end
end

return setmetatable({of = Comparison.of, check = Comparison.check}, {__call = function(_, groups, opts) return new(groups, opts) end})

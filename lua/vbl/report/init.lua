-- vbl.report: what runs came to, for readers.
--   vbl.report.table(groups, opts) -> table of groups of runs by metrics     vbl.report.table
--   vbl.report.comparison(groups, opts) -> table, figures and correlation of such groups     vbl.report.comparison
--   vbl.report.html(paths, {out=}) -> path of the page     vbl.report.html
local document = require("vbl.tensor.c").document
local nearest = require "vbl.nearest"

-- Name, module, signature, help.
local rows = {
  {"table", "vbl.report.table", "table({{name =, runs = {record, ...}}, ...}, [{metrics =, split =, baseline =, test =}]) -> table",
   "Rows of runs (seeds) by metrics, from stored predictions: mean, deviation, interval, tests. print it; t:save(\"t.md\"|\".tex\"|\".csv\")."},
  {"comparison", "vbl.report.comparison", "comparison({{name =, runs = {record, ...}}, ...}, [{measures =, and the table's}]) -> comparison",
   "Groups of runs side by side: the table, where their runs stand, alignment by layer, measures against scores. print it; c:save(BASE) writes text and figures."},
  {"html", "vbl.report.html", "html(RUN or {RUN, ...}, [{out = \"RUN/report.html\", comparison =}]) -> path",
   "One offline HTML page of a run, or of several in the same charts: summary, curves, layers, tables, samples, config, warnings."},
}

local modules = {}
for _, row in ipairs(rows) do
  modules[row[1]] = row[2]
  document("vbl.report." .. row[1], row[3], row[4])
end

return setmetatable({}, {
  __index = function(self, name)
    local module = modules[name]
    if not module then error(("vbl.report has no '%s'%s"):format(tostring(name), nearest.hint(tostring(name), modules)), 2) end
    local value = require(module)
    rawset(self, name, value)
    return value
  end,
})

-- A comparison of groups of runs (vbl.report.comparison) in a page: the table, the figures, measures against scores.
--   section(comparison) -> markup, charts     charts: of charts.js, by the numbers in the markup's figures
local markup = require "vbl.report.markup"

local e, text = markup.element, markup.text

local function chart_of(panel)
  local chart = {title = panel.title, xlabel = panel.xlabel, ylabel = panel.ylabel, whole = panel.integer_x, ticks = panel.ticks, refs = panel.refs, series = {}}
  for i, s in ipairs(panel.series) do
    chart.series[i] = {name = s.name, x = s.x, y = s.y, lo = s.low, hi = s.high, color = (s.color - 1) % 7 + 1, points = s.points, labels = s.labels}
  end
  return chart
end

local function figure_of(f, charts)
  local parts = {}
  for i, panel in ipairs(f.panels) do
    parts[i] = e("figure", {["data-chart"] = #charts})
    charts[#charts + 1] = chart_of(panel)
  end
  local grid = e("div", {class = "grid"}, table.concat(parts))
  if f.folded then return e("details", nil, e("summary", nil, text(f.title)), grid) end
  return e("h3", nil, text(f.title)) .. grid
end

local function rows_of(sheet)
  local rows, numeric = {}, {}
  for i, row in ipairs(sheet.rows) do
    rows[i] = {}
    for j, v in ipairs(row) do rows[i][j], numeric[j] = math.type(v) == "float" and ("%.3f"):format(v) or v, numeric[j] or type(v) == "number" end
  end
  return markup.table {columns = sheet.columns, rows = rows, numeric = numeric}
end

local function sheet_of(sheet) return e("h3", nil, text(sheet.title)) .. rows_of(sheet) .. e("p", {class = "note"}, text(sheet.note)) end

return function(comparison)
  if comparison.why then return e("p", {class = "note"}, text("No table of these runs: " .. comparison.why .. ".")), {} end
  local runs = e("details", nil, e("summary", nil, text(comparison.runs.title)), rows_of(comparison.runs))
  local parts, charts = {comparison.table:html(), runs}, {}
  for _, f in ipairs(comparison.figures) do
    if f.name == "correlation" and comparison.sheet then parts[#parts + 1] = sheet_of(comparison.sheet) end
    parts[#parts + 1] = figure_of(f, charts)
  end
  return table.concat(parts), charts
end

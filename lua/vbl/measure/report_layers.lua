-- vbl.measure.report_layers(layers, names, opts): report for every layer, and the best and the mean layer with a null of their own.
--
-- layers: array of {name = "layer0", x = [n, dx], y = [n, dy]}, all of the same n rows in the same order. names, opts: as for report.
-- Rows: one a layer and measure (fields of report's rows and `layer`, `q`), then for each measure two more with layer = "max" (for
-- distances "min"; `at`: which layer) and layer = "mean", both over the layers that have a value (`note` where some have none).
-- Taking the best of many layers finds large values in noise too. So the same permutation is applied to all layers and the best (the mean) is taken
-- inside each draw: p and calibrated then allow for the search.
-- q: p after Benjamini and Hochberg over all layers and measures of the table.
local calibrate = require "vbl.measure.calibrate"
local report = require "vbl.measure.report"
local settings = require "vbl.measure.settings"
local table_of = require "vbl.measure.report_table"

local function check(layers)
  if type(layers) ~= "table" or #layers == 0 then error("report_layers: expected a list of {name=, x=, y=}", 3) end
  for i, layer in ipairs(layers) do
    if not layer.x or not layer.y then error(("report_layers: layer %d (%s): expected x and y"):format(i, tostring(layer.name)), 3) end
  end
end

-- One layer's rows, appended to `all`; results[label]: what the aggregates need.
local function add_layer(layer, name, entries, s, all, results)
  local x, own_x = settings.prepared(layer.x, name .. " x")
  local y, own_y = settings.prepared(layer.y, name .. " y")
  for _, entry in ipairs(entries) do
    local row, null, traits = report.row(entry, x, y, s)
    row.layer = name
    all[#all + 1] = row
    local list = results[entry.label] or {traits = traits, rows = {}, nulls = {}}
    results[entry.label] = list
    if null then
      list.rows[#list.rows + 1] = row
      list.nulls[#list.nulls + 1] = null
    end
  end
  local n = x:shape()
  if own_x then x:release() end
  if own_y then y:release() end
  return n
end

local function best_of(values, distance)
  local at = 1
  for i, v in ipairs(values) do
    if v == v and (values[at] ~= values[at] or (distance and v < values[at]) or (not distance and v > values[at])) then at = i end
  end
  return values[at], at
end

local function mean_of(values)
  local sum = 0
  for _, v in ipairs(values) do sum = sum + v / #values end
  return sum
end

-- The aggregate of the layers' values beside the aggregate of each draw. layers: how many there are, with or without a value.
local function aggregate(label, list, name, of, layers, s)
  local values, null = {}, {}
  for i, row in ipairs(list.rows) do values[i] = row.value end
  for b = 1, s.null do
    local draw = {}
    for i = 1, #list.rows do draw[i] = list.nulls[i][b] end
    null[b] = of(draw, list.traits.distance)
  end
  local value, at = of(values, list.traits.distance)
  local row = {layer = name, measure = label, value = value, status = "OK", n = list.rows[1].n, k = list.rows[1].k, null = list.traits.null,
               at = at and list.rows[at].layer, warnings = {}, seconds = 0}
  if #list.rows < layers then row.note = ("over %d of %d layers"):format(#list.rows, layers) end
  for key, v in pairs(calibrate.against(value, null, list.traits, s.alpha)) do row[key] = v end
  row.chance, row.chance_source = row.null_mean, ("mean of %d permutations"):format(s.null)
  return row
end

local function add_q(rows)
  local p, with = {}, {}
  for _, row in ipairs(rows) do
    if row.p then p[#p + 1], with[#with + 1] = row.p, row end
  end
  for i, q in ipairs(calibrate.fdr(p)) do with[i].q = q end
end

return function(layers, names, opts)
  check(layers)
  local s, entries, rows, results, n = settings.read(opts, settings.rows(layers[1].x)), settings.entries(names), {}, {}, nil
  for i, layer in ipairs(layers) do
    local name = layer.name or ("layer" .. i - 1)
    local count = add_layer(layer, name, entries, s, rows, results)
    if n and count ~= n then
      error(("report_layers: %s has %d rows, %s has %d: one permutation for all layers needs the same rows in each"):format(name, count, rows[1].layer, n), 2)
    end
    n = count
  end
  add_q(rows)
  for _, entry in ipairs(entries) do
    local list = results[entry.label]
    if #list.rows > 0 then
      rows[#rows + 1] = aggregate(entry.label, list, list.traits.distance and "min" or "max", best_of, #layers, s)
      rows[#rows + 1] = aggregate(entry.label, list, "mean", mean_of, #layers, s)
    end
  end
  return table_of(rows, s)
end

-- The rows of a run's metrics (vbl.runs.metrics) as what figures draw.
--   series.curves(rows) -> {[name] = {[split or ""] = {x = steps, y = values}}}, the names in order of appearance; without the layer analysis
--   series.layers(rows) -> {[partner] = {[measure] = {[epoch] = values by layer, the first is layer 0}}}, the epochs, sorted, the measures in order of
--     appearance. The partner "chance" has the chance levels
local sorted_keys = require "vbl.sorted_keys"

local series = {}

local function child(t, key)
  t[key] = t[key] or {}
  return t[key]
end

function series.curves(rows)
  local curves, names = {}, {}
  for _, row in ipairs(rows) do
    if not row.name:find "^layer%." then
      if not curves[row.name] then names[#names + 1] = row.name end
      local s = child(child(curves, row.name), row.split or "")
      table.insert(child(s, "x"), row.step)
      table.insert(child(s, "y"), row.value)
    end
  end
  return curves, names
end

function series.layers(rows)
  local found, epochs, measures, seen = {}, {}, {}, {}
  for _, row in ipairs(rows) do
    local layer, measure = row.name:match "^layer%.(%d+)%.(.+)$"
    local partner = layer and (row.split or ""):match "^probe%.(.+)$"
    if partner then
      local epoch = row.epoch or 0
      epochs[epoch] = true
      if not seen[measure] then measures[#measures + 1], seen[measure] = measure, true end
      child(child(child(found, partner), measure), epoch)[layer + 1] = row.value
    end
  end
  return found, sorted_keys(epochs), measures
end

return series

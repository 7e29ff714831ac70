-- Do two measures tell the same story? Rank correlation of measures over the layers of a model, averaged over models, or over epochs of one.
--   correlation({table, ...}, names, {unit = "models"}) -> sheet: measure, other, spearman, models, layers
--     one table a model: name -> list of its values by layer. unit: what the tables are, "models" or "epochs"; a column's name
-- Spearman within each model, then the mean by Fisher's z (vbl.statistics): pooling all layers of all models would take the models'
-- differences for agreement. Distances have their sign turned, so that 1 means agreement. Layers of one model are no independent samples, and
-- its epochs are not either: there is no p.
local gate = require "vbl.analysis.gate"
local heatmap = require "vbl.plot.heatmap"
local known = require "vbl.known"
local sheet = require "vbl.analysis.sheet"
local statistics = require "vbl.statistics"
local terminal = require "vbl.plot.terminal"
local titles = require "vbl.plot.titles"

-- The values at layers where both are defined, distances turned.
local function common(model, a, b)
  local x, y = {}, {}
  for i, u in ipairs(model[a]) do
    local v = model[b][i]
    if u == u and v and v == v then
      x[#x + 1] = gate.distance(a) and -u or u
      y[#y + 1] = gate.distance(b) and -v or v
    end
  end
  return x, y
end

local function one(models, a, b)
  local list, sizes, layers = {}, {}, 0
  for _, model in ipairs(models) do
    local x, y = common(model, a, b)
    local rho = statistics.spearman(x, y)
    if rho then list[#list + 1], sizes[#sizes + 1], layers = rho, #x, math.max(layers, #x) end
  end
  return a == b and #list > 0 and 1 or statistics.fisher_mean(list, sizes), #list, layers
end

local function options(self)
  local names = {}
  for i, name in ipairs(self.names) do names[i] = titles.of(name) end
  return {title = self.title, label = "Spearman", rows = names, columns = names, low = -1, high = 1, diverging = true}
end

return function(models, names, opts)
  opts = known("analysis.correlation", opts, {"unit"})
  local unit = opts.unit or "models"
  if unit ~= "models" and unit ~= "epochs" then error(("analysis.correlation: unit: expected models or epochs, got '%s'"):format(tostring(unit)), 2) end
  gate.check(names)
  local rows, matrix = {}, {}
  for i, a in ipairs(names) do
    matrix[i] = {}
    for j, b in ipairs(names) do
      local rho, count, layers = one(models, a, b)
      matrix[i][j] = rho
      if j > i then rows[#rows + 1] = {a, b, sheet.cell(rho), count, layers} end
    end
  end
  return sheet.new {title = "Rank correlation of measures over layers", names = names, rows = rows, matrix = matrix,
                    columns = {"measure", "other", "spearman", unit, "layers"},
                    note = ("Spearman within each of %d %s, mean by Fisher's z; distances turned"):format(#models, unit),
                    figure = function(self, base) return heatmap.one(base, self.matrix, options(self)) end,
                    text = function(self) return terminal.heatmap(self.matrix, {rows = names, columns = names, low = -1, high = 1}) end}
end

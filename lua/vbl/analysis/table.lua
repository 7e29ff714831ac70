-- The per-layer table: matched and mismatched side by side, each with its chance, p and interval.
--   table(features, {"cka", "mknn"}, {null = 200, interval = "subsample" | false, pool = "cls", partners=, groups=, seed=, k=}) -> sheet:
--     layer, measure, then for each partner PARTNER, PARTNER_lo, PARTNER_hi, PARTNER_p, PARTNER_q, then chance and null_q95 of the first one
-- After the layers stand "max" ("min" of distances: the best layer) and "mean", with the search over layers inside their null. p is by
-- permutation, the same permutations in all layers. Pairs that show one image stay together in permutations and subsets: groups are
-- the features' own unless others are given (false: none); q: false discovery rate over the table of one partner (vbl.measure.report_layers).
local figure = require "vbl.plot.figure"
local gate = require "vbl.analysis.gate"
local known = require "vbl.known"
local sheet = require "vbl.analysis.sheet"
local titles = require "vbl.plot.titles"
local vbl = require "vbl"

local fields = {"value", "lo", "hi", "p", "q"}

local function reports_of(features, names, partners, groups, opts)
  local reports = {}
  for _, partner in ipairs(partners) do
    local layers = {}
    for i, pair in ipairs(features:pairs(partner, opts.pool)) do layers[i] = {name = pair.name, x = pair.text, y = pair.vision} end
    reports[partner] = vbl.measure.report_layers(layers, names, {null = opts.null, interval = opts.interval, groups = groups, seed = opts.seed, k = opts.k})
  end
  return reports
end

local function columns_of(partners)
  local columns = {"layer", "measure"}
  for _, partner in ipairs(partners) do
    columns[#columns + 1] = partner
    for i = 2, #fields do columns[#columns + 1] = partner .. "_" .. fields[i] end
  end
  table.move({"chance", "null_q95"}, 1, 2, #columns + 1, columns)
  return columns
end

local function rows_of(reports, partners)
  local rows = {}
  for r, first in ipairs(reports[partners[1]].rows) do
    local row = {first.layer, first.measure}
    for _, partner in ipairs(partners) do
      -- By name: a measure that is undefined at all layers of one partner has no best and no mean layer there.
      local found = reports[partner]:row(first.measure, first.layer) or {}
      row[#row + 1] = sheet.cell(found.value, found)
      for i = 2, #fields do row[#row + 1] = found[fields[i]] or "" end
    end
    row[#row + 1], row[#row + 2] = first.chance or "", first.null_q95 or ""
    rows[r] = row
  end
  return rows
end

-- What the reports say of their rows, each once.
local function remarks_of(reports, partners)
  local seen, parts = {}, {}
  for _, partner in ipairs(partners) do
    for _, row in ipairs(reports[partner].rows) do
      if row.note and not seen[row.note] then parts[#parts + 1], seen[row.note] = "; " .. row.note, true end
    end
  end
  return table.concat(parts)
end

-- Two columns a partner for the eye: value with its interval, and p.
local function text(self)
  local columns, rows = {"layer", "measure"}, {}
  for _, partner in ipairs(self.partners) do
    columns[#columns + 1], columns[#columns + 2], columns[#columns + 3] = partner, "interval", "p"
  end
  table.move({"chance", "null 95 %"}, 1, 2, #columns + 1, columns)
  for r, row in ipairs(self.rows) do
    local out = {row[1], row[2]}
    for i = 1, #self.partners do
      local at = 3 + (i - 1) * #fields
      out[#out + 1] = row[at]
      out[#out + 1] = row[at + 1] ~= "" and ("[%.3f, %.3f]"):format(row[at + 1], row[at + 2]) or ""
      out[#out + 1] = row[at + 3]
    end
    out[#out + 1], out[#out + 2] = row[#row - 1], row[#row]
    rows[r] = out
  end
  return sheet.aligned(columns, rows) .. "\n"
end

local function panel_of(self, label)
  local rows, numbers = {}, {}
  for i, layer in ipairs(self.layers) do numbers[layer] = i - 1 end
  for _, row in ipairs(self:where(2, label)) do
    if numbers[row[1]] then rows[#rows + 1] = row end
  end
  local series = {}
  for i, partner in ipairs(self.partners) do
    local at = 3 + (i - 1) * #fields
    series[i] = sheet.series(rows, function(row)
      return partner, numbers[row[1]], row[at], row[at + 1] ~= "" and row[at + 1] or nil, row[at + 1] ~= "" and row[at + 2] or nil
    end)[1]
  end
  local last = #rows[1]
  series[#series + 1] = sheet.series(rows, function(row) return "chance level", numbers[row[1]], row[last - 1] end)[1]
  return {title = titles.of(label), xlabel = "layer", series = series, shade = self.shade, integer_x = true}
end

local function draw(self, base)
  local panels = {}
  for i, label in ipairs(self.labels) do panels[i] = panel_of(self, label) end
  return figure.draw(base, {title = self.title, panels = panels})
end

return function(features, names, opts)
  opts = known("analysis.table", opts, {"null", "interval", "pool", "partners", "groups", "seed", "k"})
  gate.check(names)
  local partners, layers, labels, seen = opts.partners or features.partners, {}, {}, {}
  for i, layer in ipairs(features.layers) do layers[i] = layer.name end
  local groups = opts.groups
  if groups == nil then groups = features.groups end
  local reports = reports_of(features, names, partners, groups, opts)
  local rows = rows_of(reports, partners)
  for _, row in ipairs(rows) do
    if not seen[row[2]] then labels[#labels + 1], seen[row[2]] = row[2], true end
  end
  return sheet.new {title = "Alignment of the two streams by layer", rows = rows, columns = columns_of(partners), partners = partners, layers = layers,
                    labels = labels, shade = features:shade(), text = text, figure = draw,
                    note = ("n = %d pairs, %s rows; p from %d permutations%s%s"):format(features.n, opts.pool == "mean" and "mean" or "CLS", opts.null or 200,
                                                                                  groups and ", pairs of one image together" or "", remarks_of(reports, partners))}
end

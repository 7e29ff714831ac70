-- How many dims each layer uses, by stream and partner.
--   dimensionality(features, {partners=, pool = "cls"}) -> sheet: layer, partner, stream, effective_rank, participation_ratio, pca_dims, twonn, distinct
-- All spectral numbers are at most min(n - 1, d); TwoNN counts equal rows once (`distinct` says how many are left).
local figure = require "vbl.plot.figure"
local gate = require "vbl.analysis.gate"
local known = require "vbl.known"
local sheet = require "vbl.analysis.sheet"
local titles = require "vbl.plot.titles"
local vbl = require "vbl"

local names = {"effective_rank", "participation_ratio", "pca_dims", "twonn"}

local function draw(self, base)
  local panels = {}
  for j, name in ipairs(names) do
    local series = sheet.series(self.rows, function(row) return row[3] .. ", " .. row[2], row[1], row[3 + j] end)
    panels[j] = {title = titles.of(name), xlabel = "layer", series = series, shade = self.shade, integer_x = true}
  end
  return figure.draw(base, {title = self.title, columns = 2, panels = panels})
end

return function(features, opts)
  opts = known("analysis.dimensionality", opts, {"partners", "pool"})
  gate.check(names)
  local rows = {}
  for _, partner in ipairs(opts.partners or features.partners) do
    for _, stream in ipairs {"text", "vision"} do
      for i = 1, #features.layers do
        local x <close> = vbl.measure.prepare(features:get(partner, i, stream, opts.pool or "cls"), ("%s of layer %d"):format(stream, i - 1))
        local row, distinct = {i - 1, partner, stream}, features.n
        for j, name in ipairs(names) do
          local value, record = vbl.measure[name](x)
          row[3 + j] = math.tointeger(value) or sheet.cell(value, record)
          distinct = features.n - (record.duplicates_x or 0)
        end
        row[#row + 1] = distinct
        rows[#rows + 1] = row
      end
    end
  end
  return sheet.new {title = "Dimensionality by layer", note = ("n = %d, every number is at most n - 1 and the width"):format(features.n),
                    columns = {"layer", "partner", "stream", "effective_rank", "participation_ratio", "pca_dims", "twonn", "distinct"}, rows = rows,
                    shade = features:shade(), figure = draw}
end

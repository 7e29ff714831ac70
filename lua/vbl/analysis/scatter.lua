-- Both streams' features of one layer in a plane: principal components of the unit rows of both streams together, so that the gap between
-- the streams shows as well. An illustration, no measure: two components hold the shares of variance that the axes say.
--   scatter(features, layer (from 0), {partners=, pool = "cls", lines = 24 pairs joined by a line}) -> sheet: partner, stream, item, pc1, pc2
local figure = require "vbl.plot.figure"
local known = require "vbl.known"
local sheet = require "vbl.analysis.sheet"
local unit = require "vbl.analysis.unit_rows"
local vbl = require "vbl"

local function components(features, partner, i, pool)
  return vbl.scope(function()
    local both = vbl.cat({unit(features:get(partner, i, "text", pool)), unit(features:get(partner, i, "vision", pool))}, 1)
    local x <close> = vbl.measure.prepare(both, ("text and vision rows of layer %d"):format(i - 1))
    local scores, shares = x:components(2)
    return scores:totable(), shares
  end)
end

local function panel_of(title, scores, shares, n, lines)
  local series = {{name = "pairs", x = {}, y = {}, thin = true}, {name = "text", x = {}, y = {}, points = true, color = 1},
                  {name = "vision", x = {}, y = {}, points = true, color = 2}}
  local joined = series[1]
  for i = 1, n do
    for s, at in ipairs {i, n + i} do
      table.insert(series[s + 1].x, scores[at][1])
      table.insert(series[s + 1].y, scores[at][2])
      if i <= lines then
        table.insert(joined.x, scores[at][1])
        table.insert(joined.y, scores[at][2])
      end
    end
    if i <= lines then
      table.insert(joined.x, scores[i][1])
      table.insert(joined.y, 0 / 0)
    end
  end
  return {title = title, series = series, margin = 0.05, xlabel = ("PC 1 (%.0f %%)"):format(100 * shares[1]),
          ylabel = ("PC 2 (%.0f %%)"):format(100 * shares[2])}
end

return function(features, layer, opts)
  opts = known("analysis.scatter", opts, {"partners", "pool", "lines"})
  local i, panels, rows = layer + 1, {}, {}
  for _, partner in ipairs(opts.partners or features.partners) do
    local scores, shares = components(features, partner, i, opts.pool or "cls")
    panels[#panels + 1] = panel_of(partner, scores, shares, features.n, math.min(opts.lines or 24, features.n))
    for at, row in ipairs(scores) do
      rows[#rows + 1] = {partner, at <= features.n and "text" or "vision", at <= features.n and at or at - features.n, row[1], row[2]}
    end
  end
  return sheet.new {title = ("Both streams at layer %d, principal components of unit rows"):format(layer), columns = {"partner", "stream", "item", "pc1", "pc2"},
                    rows = rows, figure = function(self, base) return figure.draw(base, {title = self.title, panels = panels}) end}
end

-- The platonic baseline (Huh et al. 2024): how far two encoders that have never seen each other agree on the same items, and what the fused
-- model shows beyond that.
--   baseline(fused, alone, {"cka", "mknn"}, {partner = "matched", pool = "cls", k=, alone = "independent encoders" (their name)})
--     -> sheet: layer, measure, fused, alone, difference, text_both, vision_both
-- alone: features of independent encoders (partner "none"), layer i beside layer i of the fused model; where it has fewer layers (the
-- fusion's own blocks are off), its last one stands in. text_both, vision_both: a fused stream against [x^ ; y^], the unit rows of both
-- independent encoders side by side: what either of them knew.
local figure = require "vbl.plot.figure"
local gate = require "vbl.analysis.gate"
local known = require "vbl.known"
local sheet = require "vbl.analysis.sheet"
local titles = require "vbl.plot.titles"
local unit = require "vbl.analysis.unit_rows"
local vbl = require "vbl"

local function check_items(fused, alone)
  for i, id in ipairs(fused.ids) do
    if alone.ids[i] ~= id then error(("baseline: item %d is '%s' in one and '%s' in the other"):format(i, id, tostring(alone.ids[i])), 3) end
  end
end

local function add_layer(rows, i, fused, alone, names, opts)
  local pool, partner = opts.pool or "cls", opts.partner or "matched"
  local j = math.min(i, #alone.layers)
  local t, v = fused:get(partner, i, "text", pool), fused:get(partner, i, "vision", pool)
  local x, y = alone:get("none", j, "text", pool), alone:get("none", j, "vision", pool)
  local both = vbl.cat({unit(x), unit(y)}, 2)
  for _, name in ipairs(names) do
    local function value(a, b) return (vbl.measure[name](a, b, opts.k and {k = opts.k} or nil)) end
    local together, apart = value(t, v), value(x, y)
    rows[#rows + 1] = {i - 1, name, sheet.cell(together), sheet.cell(apart), sheet.cell(together - apart), sheet.cell(value(t, both)), sheet.cell(value(v, both))}
  end
end

local function draw(self, base)
  local panels = {}
  for p, name in ipairs(self.names) do
    local series = {}
    for at, label in ipairs {"fused", self.alone, "difference", "fused text - both", "fused vision - both"} do
      series[at] = sheet.series(self:where(2, name), function(row) return label, row[1], row[2 + at] end)[1]
    end
    panels[p] = {title = titles.of(name), xlabel = "layer", series = series, shade = self.shade, integer_x = true}
  end
  return figure.draw(base, {title = self.title, columns = 2, panels = panels})
end

return function(fused, alone, names, opts)
  opts = known("analysis.baseline", opts, {"partner", "pool", "k", "alone"})
  gate.check(names)
  check_items(fused, alone)
  local rows = {}
  for i = 1, #fused.layers do vbl.scope(add_layer, rows, i, fused, alone, names, opts) end
  return sheet.new {title = "The fused model beside encoders without fusion", names = names, alone = opts.alone or "independent encoders",
                    rows = rows, shade = fused:shade(), figure = draw, note = ("n = %d, %s partner"):format(fused.n, opts.partner or "matched"),
                    columns = {"layer", "measure", "fused", "alone", "difference", "text_both", "vision_both"}}
end

-- The measures by layer over training.
--   evolution({{epoch=, features=}, ...}, {"cka", "mknn"}, {partners=, k=}) -> sheet: epoch, layer, partner, measure, value, chance
-- All epochs have the same probe pairs; epoch 0 is the model before training, and belongs to it: what a random model shows, training has
-- not made. Matched and mismatched panels of one measure have one scale; as text they are line plots.
local figure = require "vbl.plot.figure"
local gate = require "vbl.analysis.gate"
local groups = require "vbl.measure.groups"
local known = require "vbl.known"
local settings = require "vbl.measure.settings"
local sheet = require "vbl.analysis.sheet"
local terminal = require "vbl.plot.terminal"
local titles = require "vbl.plot.titles"
local vbl = require "vbl"

local function check_same(list)
  for _, at in ipairs(list) do
    for i, id in ipairs(at.features.ids) do
      if id ~= list[1].features.ids[i] or at.features.n ~= list[1].features.n then
        error(("evolution: epochs %d and %d have different probe pairs (pair %d: '%s' and '%s')"):format(list[1].epoch, at.epoch, i,
                                                                                            tostring(list[1].features.ids[i]), id), 3)
      end
    end
  end
end

local function panel_of(self, name, partner)
  local rows, layers = self:where(4, name), self.layers
  local series = sheet.series(rows, function(row) return row[3] == partner and "layer " .. row[2] or nil, row[1], row[5] end)
  for i, s in ipairs(series) do s.order = layers > 1 and (i - 1) / (layers - 1) or 0 end
  series[#series + 1] = sheet.series(rows, function(row)
    return row[3] == partner and row[2] == layers - 1 and row[6] ~= "" and "chance level (last layer)" or nil, row[1], row[6]
  end)[1]
  return {title = ("%s, %s"):format(titles.of(name), partner), xlabel = "epoch", series = series, integer_x = true}
end

-- One scale for the panels of a measure.
local function share_scale(panels)
  local low, high = math.huge, -math.huge
  for _, panel in ipairs(panels) do
    for _, s in ipairs(panel.series) do
      for _, y in ipairs(s.y) do
        if y == y then low, high = math.min(low, y), math.max(high, y) end
      end
    end
  end
  if low > high then return end
  local room = math.max((high - low) * 0.07, 1e-3)
  for _, panel in ipairs(panels) do panel.ylow, panel.yhigh = low - room, high + room end
end

local function panels_of(self)
  local panels = {}
  for _, name in ipairs(self.names) do
    local pair = {}
    for _, partner in ipairs(self.partners) do pair[#pair + 1] = panel_of(self, name, partner) end
    share_scale(pair)
    table.move(pair, 1, #pair, #panels + 1, panels)
  end
  return panels
end

local function draw(self, base) return figure.draw(base, {title = self.title, columns = 2 * #self.partners, panels = panels_of(self)}) end

local function text(self)
  local parts = {}
  for i, panel in ipairs(panels_of(self)) do
    parts[i] = terminal.lines(panel.series, {title = panel.title, xlabel = panel.xlabel, low = panel.ylow, high = panel.yhigh})
  end
  return table.concat(parts, "\n")
end

return function(list, names, opts)
  opts = known("analysis.evolution", opts, {"partners", "k"})
  gate.check(names)
  check_same(list)
  local partners, rows, first = opts.partners or list[1].features.partners, {}, list[1].features
  for _, at in ipairs(list) do
    for _, partner in ipairs(partners) do
      for i = 1, #first.layers do
        local x <close> = vbl.measure.prepare(at.features:get(partner, i, "text", "cls"))
        local y <close> = vbl.measure.prepare(at.features:get(partner, i, "vision", "cls"))
        for _, name in ipairs(names) do
          local value, record = vbl.measure[name](x, y, settings.options(name, x, opts.k, first.groups))
          rows[#rows + 1] = {at.epoch, i - 1, partner, name, sheet.cell(value, record), groups.chance(name, record, first.groups) or ""}
        end
      end
    end
  end
  return sheet.new {title = "Alignment over training", rows = rows, names = names,
                    note = ("n = %d pairs; epoch 0 is before training%s"):format(first.n, groups.remark(first.groups)),
                    partners = partners, layers = #first.layers, columns = {"epoch", "layer", "partner", "measure", "value", "chance"}, figure = draw, text = text}
end

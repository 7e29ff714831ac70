-- The measures layer by layer: one panel a measure, x the layer, a line a partner, the chance level dashed, co-attending layers shaded.
--
--   layers(base, {title=, measures = {"cka", ...}, values = {measure -> {matched = {..}, mismatched = {..}, none = {..}, chance = {..}}},
--                 coattention = {3, 5}})     lists by layer, the first is layer 0; coattention: layer numbers from 0
--   evolution(base, {title=, measures =, epochs = {0, 1, ..}, values = {measure -> {{layer 0 at each epoch}, {layer 1 ..}, ..}}})
local figure = require "vbl.plot.figure"
local titles = require "vbl.plot.titles"

local layers = {}

local partners = {{"matched", "matched pairs"}, {"mismatched", "mismatched partner"}, {"none", "co-attention off"}, {"chance", "chance level"}}

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i - 1 end
  return list
end

function layers.layers(base, spec)
  local shade, panels = {}, {}
  for i, layer in ipairs(spec.coattention or {}) do shade[i] = {layer - 0.5, layer + 0.5} end
  for i, measure in ipairs(spec.measures) do
    local series = {}
    for color, partner in ipairs(partners) do
      local y = spec.values[measure][partner[1]]
      if y then series[#series + 1] = {name = partner[2], x = numbers(#y), y = y, color = color, dashed = partner[1] == "chance", broken = partner[1] == "mismatched"} end
    end
    panels[i] = {title = titles.of(measure), xlabel = "layer", series = series, shade = shade, integer_x = true}
  end
  return figure.draw(base, {title = spec.title, columns = 3, panels = panels})
end

function layers.evolution(base, spec)
  local panels = {}
  for i, measure in ipairs(spec.measures) do
    local series, lists = {}, spec.values[measure]
    for layer, y in ipairs(lists) do
      series[layer] = {name = "layer " .. layer - 1, x = spec.epochs, y = y, order = #lists > 1 and (layer - 1) / (#lists - 1) or 0}
    end
    panels[i] = {title = titles.of(measure), xlabel = "epoch", series = series, integer_x = true}
  end
  return figure.draw(base, {title = spec.title, columns = 3, panels = panels})
end

return layers

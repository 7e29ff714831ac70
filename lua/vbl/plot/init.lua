-- vbl.plot: figures through gnuplot, each as BASE.svg and BASE.png with its script BASE.gp. Without gnuplot they are skipped, and one line
-- says so. Every function returns whether it drew.
--
--   plot.curves(base, {title=, xlabel=, ylabel=, series = {{name=, x=, y=}, ...}})     or panels = {{title=, ...the same}, ...}
--   plot.layers(base, spec)   plot.evolution(base, spec)     measures by layer, and over the epochs: vbl.plot.layers
--   plot.heatmap(base, matrix, opts)   plot.heatmaps(base, spec)     one matrix, a grid of them: vbl.plot.heatmap
--   plot.pictures(base, spec)     images, with maps of weights over them: vbl.plot.pictures
--   plot.terminal.heatmap(matrix, opts)   plot.terminal.lines(series, opts)     as text: vbl.plot.terminal
--   plot.from_run(folder) -> names of the figures drawn      vbl.plot.from_run
local figure = require "vbl.plot.figure"
local heatmap = require "vbl.plot.heatmap"
local layers = require "vbl.plot.layers"

local plot = {layers = layers.layers, evolution = layers.evolution, heatmap = heatmap.one, heatmaps = heatmap.draw, pictures = require("vbl.plot.pictures").draw,
              terminal = require "vbl.plot.terminal", from_run = require "vbl.plot.from_run"}

function plot.curves(base, spec)
  return figure.draw(base, {title = spec.title, columns = spec.columns, panels = spec.panels or {
    {xlabel = spec.xlabel, ylabel = spec.ylabel, series = spec.series, integer_x = spec.integer_x},
  }})
end

return plot

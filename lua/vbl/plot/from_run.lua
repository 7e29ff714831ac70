-- from_run(folder) draws a run's figures into folder/plots from its metrics.jsonl:
--   loss        one panel a task: each step, mean of the epoch, training pairs in eval mode, test, test with the images shuffled
--   scores      accuracy, AUROC, F1               schedule    learning rate, gradient norm
--   layers      the measures at the last epoch    evolution   the measures over the epochs, matched pairs
-- Names: loss.TASK, accuracy.TASK, auroc.TASK, f1.TASK, lr, grad_norm, layer.I.MEASURE with split "probe.matched", "probe.mismatched",
-- "probe.none", "probe.chance". manifest.json's coattention_layers are shaded. Returns the names of the figures drawn.
local c = require "vbl.store.c"
local figure = require "vbl.plot.figure"
local gnuplot = require "vbl.plot.gnuplot"
local layers = require "vbl.plot.layers"
local metric_names = require "vbl.metric_names"
local metrics = require "vbl.runs.metrics"
local series_of = require "vbl.runs.series"

local splits = {{"step", "train, each step", 6}, {"train", "train, mean of the epoch", 1}, {"train_eval", "train, in eval mode", 5},
                {"test", "test", 2}}  -- split, legend, colour

-- The loss of a task's control stands in the task's panel, beside the loss that it is to be compared with.
local function panel_of(name, all)
  local curves, series, known = all[name], {}, {}
  for _, split in ipairs(splits) do
    known[split[1]] = true
    local s = curves[split[1]]
    if s then series[#series + 1] = {name = split[2], x = s.x, y = s.y, color = split[3]} end
  end
  local control = (all[metric_names.control(name)] or {}).test
  if control then series[#series + 1] = {name = "test, images shuffled", x = control.x, y = control.y, color = 3} end
  local others = {}
  for split in pairs(curves) do
    if not known[split] and not split:find "^probe%." then others[#others + 1] = split end
  end
  table.sort(others)
  for _, split in ipairs(others) do series[#series + 1] = {name = split, x = curves[split].x, y = curves[split].y} end
  return {title = name, xlabel = "optimizer step", series = series}
end

local function draw_group(base, title, curves, names, patterns)
  local panels = {}
  for _, name in ipairs(names) do
    for _, pattern in ipairs(patterns) do
      if name:find(pattern) and not metric_names.beside(name) and not curves[metric_names.controlled(name) or ""] then
        panels[#panels + 1] = panel_of(name, curves)
        break
      end
    end
  end
  return #panels > 0 and figure.draw(base, {title = title, panels = panels})
end

local function coattention_layers(folder)
  local ok, manifest = pcall(function() return c.json_decode(c.read_file(folder .. "/manifest.json")) end)
  return ok and manifest.coattention_layers or {}
end

local function draw_layers(folder, base, found, epochs, measures)
  local last, values = epochs[#epochs], {}
  for _, measure in ipairs(measures) do
    values[measure] = {}
    for partner, by_measure in pairs(found) do values[measure][partner] = (by_measure[measure] or {})[last] end
  end
  return layers.layers(base, {title = ("Alignment of the two streams by layer, epoch %g"):format(last), measures = measures, values = values,
                              coattention = coattention_layers(folder)})
end

local function draw_evolution(base, matched, epochs, measures)
  local values, drawn = {}, {}
  for _, measure in ipairs(measures) do
    local lists = {}
    for e, epoch in ipairs(epochs) do
      for layer, value in ipairs((matched[measure] or {})[epoch] or {}) do
        lists[layer] = lists[layer] or {}
        for k = #lists[layer] + 1, e - 1 do lists[layer][k] = 0 / 0 end
        lists[layer][e] = value
      end
    end
    if #lists > 0 then values[measure], drawn[#drawn + 1] = lists, measure end
  end
  return layers.evolution(base, {title = "Alignment over training, matched pairs", measures = drawn, epochs = epochs, values = values})
end

return function(folder)
  if not gnuplot.available() then return {} end
  local rows, drawn = metrics.read(folder .. "/metrics.jsonl"), {}
  local curves, names = series_of.curves(rows)
  local function note(name, ok)
    if ok then drawn[#drawn + 1] = name end
  end
  local plots = folder .. "/plots/"
  note("loss", draw_group(plots .. "loss", "Loss", curves, names, {"^loss%."}))
  note("scores", draw_group(plots .. "scores", "Scores", curves, names, {"^accuracy%.", "^auroc%.", "^f1%."}))
  for _, name in ipairs {"lr", "grad_norm"} do
    if curves[name] and curves[name].step then curves[name].train = nil end  -- a mean over a schedule says nothing
  end
  note("schedule", draw_group(plots .. "schedule", "Learning rate and gradient norm", curves, names, {"^lr$", "^grad_norm$"}))
  local found, epochs, measures = series_of.layers(rows)
  if #measures > 0 then
    note("layers", draw_layers(folder, plots .. "layers", found, epochs, measures))
    if #epochs > 1 and found.matched then note("evolution", draw_evolution(plots .. "evolution", found.matched, epochs, measures)) end
  end
  return drawn
end

-- What can be read off each layer: logistic regression on the cached rows.
--   probing(features, {name -> labels [n]}, {partners=, streams = {"text", "vision"}, pool = "cls", metric = "accuracy", seed = 0})
--     -> sheet: label, layer, partner, stream, score, chance, test (rows it was measured on)
--   probing.scene_labels(split, n) -> {color=, shape=, size=, place=}: of the first object of each of the first n scenes
--   probing.file_labels(path, ids) -> {label=}: a TSV, image id, tab, label (text or number); every id needs one
-- Pairs of one image are in one part, to train, to choose or to test: a probe would know the image again.
-- Matched rows of one stream may hold what only the other has seen; mismatched rows then read the wrong partner. chance: the largest class.
local figure = require "vbl.plot.figure"
local gate = require "vbl.analysis.gate"
local groups = require "vbl.measure.groups"
local known = require "vbl.known"
local sheet = require "vbl.analysis.sheet"
local vbl = require "vbl"
local sorted_keys = require "vbl.sorted_keys"

local probing = {}

function probing.scene_labels(split, n)
  local labels = {color = {}, shape = {}, size = {}, place = {}}
  for i = 1, n do
    local object = split:scene(i)[1]
    for name, list in pairs(labels) do list[i] = object[name] end
  end
  return labels
end

function probing.file_labels(path, ids)
  local by_id, classes, list = {}, {}, {}
  for _, row in ipairs(vbl.load(path)) do by_id[row[1]] = row[2] end
  for i, id in ipairs(ids) do
    local label = by_id[id]
    if not label then error(("%s: no label for '%s' (lines of image id, tab, label)"):format(path, id), 2) end
    if not classes[label] then classes[#classes + 1], classes[label] = label, true end
  end
  table.sort(classes)
  for i, label in ipairs(classes) do classes[label] = i - 1 end
  for i, id in ipairs(ids) do list[i] = classes[by_id[id]] end
  return {label = list}
end

local function draw(self, base)
  local panels = {}
  for i, name in ipairs(self.names) do
    local rows = self:where(1, name)
    local series = sheet.series(rows, function(row) return row[4] .. ", " .. row[3], row[2], row[5] end)
    local first = rows[1]
    series[#series + 1] = sheet.series(rows, function(row)
      return row[6] ~= "" and row[3] == first[3] and row[4] == first[4] and "chance level" or nil, row[2], row[6]
    end)[1]
    panels[i] = {title = name, xlabel = "layer", ylabel = self.metric, series = series, shade = self.shade, integer_x = true}
  end
  return figure.draw(base, {title = self.title, columns = 2, panels = panels})
end

function probing.of(features, labels, opts)
  opts = known("analysis.probing", opts, {"partners", "streams", "pool", "metric", "seed"})
  gate.check {"linear_probe"}
  local rows, names, seed = {}, sorted_keys(labels), opts.seed or 0
  local part = features.groups and groups.folds(features.groups, 3, seed, {0.6, 0.2, 0.2})
  for _, name in ipairs(names) do
    for _, partner in ipairs(opts.partners or features.partners) do
      for _, stream in ipairs(opts.streams or {"text", "vision"}) do
        for i = 1, #features.layers do
          local score, record = vbl.measure.linear_probe(features:get(partner, i, stream, opts.pool or "cls"), labels[name],
                                                         {metric = opts.metric or "accuracy", seed = seed, part = part})
          rows[#rows + 1] = {name, i - 1, partner, stream, sheet.cell(score, record), record.chance or "", record.test or ""}
        end
      end
    end
  end
  return sheet.new {title = "Linear probes by layer", metric = opts.metric or "accuracy", rows = rows, names = names, shade = features:shade(), figure = draw,
                    columns = {"label", "layer", "partner", "stream", "score", "chance", "test"},
                    note = ("n = %d pairs, 60 %% to train, 20 %% to choose C, 20 %% to test%s"):format(features.n, part and ", pairs of one image in one of them" or "")}
end

return probing

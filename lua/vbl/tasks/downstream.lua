-- The tasks that a model is fine-tuned for. Each is a row: what is particular to it. What is common follows from the kind of the data set's
-- labels (vbl.tasks.labels), so that any labelled set is one (jsonl).
--   downstream.row(name) -> its row      downstream.name_for(data) -> the task that a data set is for
--   downstream.new(name, data, train, {class_weights = "auto"}) -> a task; data: vbl.data, train: the view whose classes are counted
-- Rows: kinds = the kinds of labels that fit; class_weights = "balanced" where the field weighs the classes; scenes = options of the built-in
-- set; drawn: makes its own labels where the set has none; make: another module than classification.
local classification = require "vbl.tasks.classification"
local labels = require "vbl.tasks.labels"
local nearest = require "vbl.nearest"
local retrieval = require "vbl.tasks.retrieval"
local scoring = require "vbl.tasks.scoring"

local downstream = {
  names = {"hateful_memes", "mmimdb", "upmc_food", "vqa2", "easy_vqa", "scenes", "itm", "retrieval", "jsonl"},
}

local rows = {
  hateful_memes = {kinds = {"binary"}, class_weights = "balanced"},
  mmimdb = {kinds = {"multilabel"}},
  upmc_food = {kinds = {"multiclass"}},
  vqa2 = {kinds = {"soft"}},
  easy_vqa = {kinds = {"multiclass"}},
  scenes = {kinds = {"multiclass"}, scenes = {questions = true}},
  itm = {kinds = {"binary"}, drawn = true},
  retrieval = {kinds = {"retrieval"}, make = retrieval},
  jsonl = {kinds = {"binary", "multiclass", "multilabel", "soft"}},
}

local DRAWN = {"no match", "match"}  -- as the reader itm has them

function downstream.row(name)
  if rows[name] then return rows[name] end
  error(("config: task: there is no task '%s'%s (%s)"):format(name, nearest.hint(name, downstream.names), table.concat(downstream.names, ", ")), 0)
end

-- A packed set is for what its source is for.
function downstream.name_for(data)
  local source = (data.packed_from or data.reader and data.reader.name or data.name):match "^[%w_]+"
  if data:labels() then return rows[source] and source or "jsonl" end
  return "itm"
end

-- Weight of each class: n / (classes * samples of the class), so that every class has the same sum (as scikit-learn's "balanced").
local function balanced(view, classes)
  local count, n, weights = {}, 0, {}
  for i = 1, view:size() do
    local label = view:label(i)
    if label then count[label], n = (count[label] or 0) + 1, n + 1 end
  end
  for k = 0, classes - 1 do weights[k + 1] = count[k] and n / (classes * count[k]) or 1 end
  return weights
end

local function check_kind(name, row, kind, data)
  for _, fits in ipairs(row.kinds) do
    if kind == fits then return end
  end
  error(("config: task %s: needs %s labels; %s has %s (task=auto takes the task that fits)"):format(name, table.concat(row.kinds, " or "), data.name,
                                                                                                  kind and kind .. " ones" or "none"), 0)
end

local function weights_for(name, row, kind, train, classes, wanted)
  if wanted == "auto" then wanted = row.class_weights or "none" end
  if wanted == "none" then return nil end
  if kind ~= "binary" and kind ~= "multiclass" or not train then
    error(("config: class_weights = balanced is for one class a sample; task %s has %s labels"):format(name, kind), 0)
  end
  return balanced(train, classes)
end

function downstream.new(name, data, train, opts)
  local row, kind, _, classes = downstream.row(name), labels.kind(data), data:labels()
  if row.make then return row.make.new {name = name} end
  local drawn = row.drawn and not kind
  if row.drawn and kind and classes[1] ~= DRAWN[1] then
    error(("config: task %s: %s has labels of its own, %s; task=auto takes them"):format(name, data.name, table.concat(classes, ", ", 1, math.min(3, #classes))), 0)
  end
  if drawn then kind, classes = "binary", DRAWN end
  check_kind(name, row, kind, data)
  return classification.new {name = name, kind = kind, classes = classes, drawn = drawn,
                             weights = weights_for(name, row, kind, not drawn and train, #classes, opts and opts.class_weights or "auto")}
end

-- The metric that a run's best epoch is best in: `wanted`, or the kind's main one.
function downstream.metric(task, wanted)
  local known = {table.unpack(scoring.metrics[task.kind])}
  if wanted == "auto" then return known[1] end
  known[#known + 1] = "loss"
  for _, name in ipairs(known) do
    if name == wanted then return name end
  end
  error(("config: metric: task %s has no metric '%s'%s; it has %s"):format(task.name, wanted, nearest.hint(wanted, known), table.concat(known, ", ")), 0)
end

return downstream

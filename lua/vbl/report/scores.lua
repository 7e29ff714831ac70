-- Stored predictions of a run (predictions/SPLIT.jsonl), as scores whose samples can be drawn anew (vbl.metrics.weighted).
--
--   scores.read(record, split) -> p {kind, task, ids, labels, n, ...}; nil and why, where the run has none of that split
--     split: a file's name; "val" and "test" also find the usual names of such splits (dev, dev_seen, test_seen ...). Samples without a
--     label are left out.
--   scores.file(record, split) -> the name of that file, or nil
--   scores.names(kind) -> metrics that such predictions have, the main ones first
--   scores.main[kind] -> how many of these are main ones
--   scores.has(p, metric) -> boolean
--   scores.set(p, metric) -> set     scores.joined(p, q, metric) -> set of both, p's samples first
--   scores.said(kind, row, [threshold]) -> the class of a binary or multiclass row, from 0
--   scores.same(p, q) -> true, or false and the first difference of their samples
--   scores.range(metric) -> the least and the largest value that a metric of predictions can have
-- auroc and average_precision rank the logits, where every row has them: scores near 1 are rounded to equal ones. A decision is "score > 0.5"; for metrics
-- that end in _tuned "score > the header's threshold". Of equal scores the first class is chosen.
local usual = require "vbl.data.usual_splits"
local vbl = require "vbl"

local scores = {main = {binary = 2, multiclass = 2, multilabel = 2, soft = 1, retrieval = 2}}

local names = {
  binary = {"auroc", "accuracy", "average_precision", "f1_macro", "accuracy_tuned", "f1_macro_tuned"},
  multiclass = {"accuracy", "f1_macro", "f1_weighted", "f1_micro"},
  multilabel = {"f1_macro", "f1_micro", "f1_weighted", "f1_samples", "average_precision", "auroc", "f1_macro_tuned", "f1_micro_tuned", "f1_weighted_tuned",
                "f1_samples_tuned"},
  soft = {"vqa_accuracy"},
  retrieval = {"r1_t2i", "r1_i2t", "r5_t2i", "r5_i2t", "r10_t2i", "r10_i2t", "median_rank_t2i", "median_rank_i2t", "mrr_t2i", "mrr_i2t"},
}

function scores.names(kind) return names[kind] or {} end

function scores.range(metric)
  if metric:find "^median_rank" then return 1, math.huge end
  return 0, 1
end

function scores.file(record, split)
  local have = {}
  for _, name in ipairs(record:splits()) do have[name] = true end
  for _, name in ipairs(usual[split] or {split}) do
    if have[name] then return name end
  end
end

-- A label as text, to compare and to name.
local function label_text(label)
  if type(label) ~= "table" then return tostring(label) end
  local words = {}
  for key, value in pairs(label) do words[#words + 1] = tostring(key) .. "=" .. tostring(value) end
  table.sort(words)
  return table.concat(words, ",")
end

function scores.read(record, split)
  local name = scores.file(record, split)
  if not name then return nil, ("has no predictions of %s"):format(split) end
  local header, rows = record:predictions(name)
  if not names[header.kind] then
    error(("%s/predictions/%s.jsonl:1: kind '%s' is none of binary, multiclass, multilabel, soft, retrieval"):format(record.path, name, tostring(header.kind)), 0)
  end
  local p = {kind = header.kind, task = header.task, header = header, ids = {}, labels = {}, rows = {}, where = ("%s/predictions/%s.jsonl"):format(record.path, name)}
  for _, row in ipairs(rows) do
    if row.label ~= nil or row.ranks then
      p.rows[#p.rows + 1] = row
      p.ids[#p.ids + 1], p.labels[#p.labels + 1] = row.id, label_text(row.label)
    end
  end
  p.n = #p.rows
  p.logits = p.n > 0
  for _, row in ipairs(p.rows) do p.logits = p.logits and row.logits ~= nil end
  if p.n == 0 then return nil, ("no sample of %s has a label"):format(split) end
  return p
end

local function ranks_image(row) return row.ranks ~= nil and row.ranks.i2t ~= nil end

function scores.same(p, q)
  for i = 1, math.max(p.n, q.n) do
    if p.ids[i] ~= q.ids[i] then
      return false, ("sample %d is '%s' in %s and '%s' in %s"):format(i, tostring(p.ids[i] or "missing"), p.where, tostring(q.ids[i] or "missing"), q.where)
    end
    if p.labels[i] ~= q.labels[i] then
      return false, ("the label of '%s' is %s in %s and %s in %s"):format(p.ids[i], p.labels[i], p.where, q.labels[i], q.where)
    end
    if ranks_image(p.rows[i]) ~= ranks_image(q.rows[i]) then
      return false, ("sample '%s' stands for its image in only one of %s and %s: that one was scored as if each sample showed another image; score it anew"):format(p.ids[i], p.where, q.where)
    end
  end
  return true
end

local function column(p, fn)
  local list = {}
  for i, row in ipairs(p.rows) do list[i] = fn(row, i) end
  return list
end

local function scalar(x) return type(x) == "table" and x[1] or x end

-- The largest class, from 0; of class -> probability too.
local function chosen(row)
  local best, most
  for key, value in pairs(row.scores) do
    local class = type(key) == "string" and tonumber(key) or key - 1
    if not most or value > most or value == most and class < best then best, most = class, value end
  end
  return best
end

-- Of labels that are one class; binary: by 0.5, or the threshold that is given.
function scores.said(kind, row, threshold)
  if kind == "binary" then return scalar(row.scores) > (threshold or 0.5) and 1 or 0 end
  return chosen(row)
end

local function matrix(p, fn)
  local flat, classes = {}, #p.header.classes
  for i, row in ipairs(p.rows) do
    for k = 1, classes do flat[(i - 1) * classes + k] = fn(row, k) end
  end
  return vbl.tensor(flat, {dtype = "f64"}):reshape(p.n, classes)
end

local function is_in(list, class)
  for _, item in ipairs(list) do
    if item == class then return 1 end
  end
  return 0
end

local function truth_matrix(p)
  p.truth = p.truth or matrix(p, function(row, k) return is_in(row.label, k - 1) end)
  return p.truth
end

local function rank_matrix(p, from) return matrix(p, function(row, k) return row[from][k] end) end

local function decisions(p, tuned)
  return matrix(p, function(row, k) return row.scores[k] > (tuned and p.header.thresholds[k] or 0.5) and 1 or 0 end)
end

-- F1 of one sample's label set; 0 where it is empty on both sides, as in scikit-learn.
local function f1_of_samples(p, tuned)
  return column(p, function(row)
    local hit, said = 0, 0
    for k, score in ipairs(row.scores) do
      if score > (tuned and p.header.thresholds[k] or 0.5) then
        said = said + 1
        hit = hit + is_in(row.label, k - 1)
      end
    end
    return said + #row.label > 0 and 2 * hit / (said + #row.label) or 0
  end)
end

-- What vbl.metrics.weighted takes for a metric: kind, a, b, classes. from: what is ranked, "logits" or "scores".
local arguments = {}

function arguments.binary(p, metric, tuned, from)
  local truth = column(p, function(row) return scalar(row.label) end)
  local limit = tuned and scalar(p.header.thresholds) or 0.5
  local said = column(p, function(row) return scores.said("binary", row, limit) end)
  if metric == "accuracy" then return "mean", column(p, function(_, i) return said[i] == truth[i] and 1 or 0 end) end
  if metric == "f1_macro" then return "f1_macro", said, truth, 2 end
  return metric, column(p, function(row) return scalar(row[from]) end), truth
end

function arguments.multiclass(p, metric)
  if metric == "accuracy" then return "mean", column(p, function(row) return chosen(row) == row.label and 1 or 0 end) end
  return metric, column(p, chosen), column(p, function(row) return row.label end), #p.header.classes
end

function arguments.multilabel(p, metric, tuned, from)
  if metric == "f1_samples" then return "mean", f1_of_samples(p, tuned) end
  if metric == "auroc" or metric == "average_precision" then return metric, rank_matrix(p, from), truth_matrix(p) end
  return metric, decisions(p, tuned), truth_matrix(p)
end

function arguments.soft(p)
  return "mean", column(p, function(row) return row.label[tostring(chosen(row))] or 0 end)
end

function arguments.retrieval(p, metric)
  local way = metric:match "_([ti]2[ti])$"
  local k, values = tonumber(metric:match "^r(%d+)_"), {}
  for _, row in ipairs(p.rows) do
    local rank = row.ranks[way]
    if rank then values[#values + 1] = k and (rank <= k and 1 or 0) or metric:find "^mrr" and 1 / rank or rank end
  end
  return metric:find "^median" and "median" or "mean", values
end

function scores.has(p, metric)
  for _, name in ipairs(scores.names(p.kind)) do
    if name == metric then return not metric:find "_tuned$" or p.header.thresholds ~= nil end
  end
  return false
end

local function arguments_of(p, metric, from)
  local plain = metric:match "^(.*)_tuned$"
  local ok, kind, a, b, classes = pcall(arguments[p.kind], p, plain or metric, plain ~= nil, from)
  if not ok then error(("%s: not predictions of kind %s: %s"):format(p.where, p.kind, kind), 0) end
  return kind, a, b, classes
end

local function set_of(p, ...)
  local ok, set = pcall(vbl.metrics.weighted, ...)
  if not ok then error(("%s: %s"):format(p.where, require("vbl.usage").strip(set)), 0) end
  return set
end

local function ranked(p) return p.logits and "logits" or "scores" end

function scores.set(p, metric) return set_of(p, arguments_of(p, metric, ranked(p))) end

local function join(x, y)
  if x == nil then return nil end
  if vbl.is_tensor(x) then return vbl.cat({x, y}, 1) end
  return table.move(y, 1, #y, #x + 1, table.move(x, 1, #x, 1, {}))
end

function scores.joined(p, q, metric)
  local from = p.logits and ranked(q) or "scores"  -- a logit is not ranked among scores
  local kind, a, b, classes = arguments_of(p, metric, from)
  local _, c, d = arguments_of(q, metric, from)
  return set_of(p, kind, join(a, c), join(b, d), classes)
end

return scores

-- What predictions are worth, by kind of labels; in scikit-learn's definitions (vbl.metrics).
--   scoring.metrics[kind] -> {name, ...}, the first being the kind's main one
--   scoring.values(p[, thresholds]) -> name -> value, name -> {right, n} of those that are proportions
--     p: vbl.tasks.predictions; only samples with a known label count. Without thresholds 0.5 decides; with them the names of what depends
--     on them end in _tuned.
--   scoring.tune(p) -> thresholds: for binary the one that is best in accuracy, for multi-label each class's best in F1; else nil.
--     Choose them on validation data only.
--   scoring.intervals(p, values, proportions, thresholds) -> name -> {low, high}, 95 %: Wilson's of proportions, else the percentiles of
--     1,000 resamples of the samples (Efron 1979)
local vbl = require "vbl"
local m = require "vbl.metrics"
local statistics = require "vbl.statistics"

local scoring = {
  metrics = {
    binary = {"auroc", "average_precision", "accuracy", "f1_macro"},
    multiclass = {"accuracy", "f1_macro", "f1_weighted"},
    multilabel = {"f1_macro", "f1_micro", "f1_weighted", "f1_samples", "average_precision"},
    soft = {"vqa_accuracy"},
    retrieval = {"r1_t2i", "r5_t2i", "r10_t2i", "r1_i2t", "r5_i2t", "r10_i2t", "median_rank_t2i", "median_rank_i2t", "mrr_t2i", "mrr_i2t"},
  },
}

local function column(scores, k) return scores:narrow(2, k, 1):contiguous():reshape(-1) end

-- Label sets that the thresholds (one a class; nil: 0.5) make of scores [n, C]. In f64: a threshold just below a score would be that score in f32.
local function decide(scores, thresholds)
  local t = {}
  for k = 1, scores:size(2) do t[k] = thresholds and thresholds[k] or 0.5 end
  return scores:to("f64"):gt(vbl.tensor(t, {dtype = "f64", device = "cpu"}):reshape(1, #t)):to("f32")
end

local function accuracy(out, name, predicted, truth)
  local value, record = m.accuracy(predicted, truth)
  out.values[name], out.proportions[name] = value, {record.right, record.n}
end

local function f1(out, suffix, predicted, truth, names, opts)
  local _, record = m.f1(predicted, truth, opts)
  for _, name in ipairs(names) do out.values["f1_" .. name .. suffix] = record[name] end
end

local by_kind = {}

function by_kind.binary(p, thresholds, out)
  local truth = p.targets:reshape(-1)
  local predicted, suffix = decide(p.scores, thresholds):reshape(-1), thresholds and "_tuned" or ""
  accuracy(out, "accuracy" .. suffix, predicted, truth)
  f1(out, suffix, predicted, truth, {"macro"}, {classes = 2})
  if not thresholds then
    local logits = p.logits:reshape(-1)
    out.values.auroc, out.values.average_precision = m.auroc(logits, truth), (m.average_precision(logits, truth))
  end
end

function by_kind.multiclass(p, _, out)
  accuracy(out, "accuracy", p.chosen, p.targets)
  f1(out, "", p.chosen, p.targets, {"macro", "weighted"}, {classes = #p.classes})
end

-- Mean over the classes that have a positive sample.
local function mean_average_precision(p)
  local sum, n = 0, 0
  for k = 1, #p.classes do
    local ap = m.average_precision(column(p.logits, k), column(p.targets, k))
    if ap == ap then sum, n = sum + ap, n + 1 end
  end
  return n > 0 and sum / n or 0 / 0
end

function by_kind.multilabel(p, thresholds, out)
  f1(out, thresholds and "_tuned" or "", decide(p.scores, thresholds), p.targets, {"micro", "macro", "weighted", "samples"})
  if not thresholds then out.values.average_precision = mean_average_precision(p) end
end

function by_kind.soft(p, _, out) out.values.vqa_accuracy = p.credit:mean():item() end

-- Summed in the order of vbl.measure.retrieval.
local function recall(ranks, k)
  local share, hits = 0, 0
  for _, rank in ipairs(ranks) do
    if rank <= k then share, hits = share + 1 / #ranks, hits + 1 end
  end
  return share, hits
end

function by_kind.retrieval(p, _, out)
  for way, ranks in pairs(p.ranks) do
    local sorted, mrr = table.move(ranks, 1, #ranks, 1, {}), 0
    table.sort(sorted)
    for _, rank in ipairs(ranks) do mrr = mrr + 1 / rank / #ranks end
    out.values["median_rank_" .. way], out.values["mrr_" .. way] = statistics.quantile(sorted, 0.5), mrr
    for _, k in ipairs {1, 5, 10} do
      local name, share, hits = ("r%d_%s"):format(k, way), recall(ranks, k)
      out.values[name], out.proportions[name] = share, {hits, #ranks}
    end
  end
end

function scoring.values(p, thresholds)
  local out, known = {values = {}, proportions = {}}, p:known_rows()
  if known.n == 0 then return {}, {} end
  by_kind[known.kind](known, thresholds, out)
  return out.values, out.proportions
end

function scoring.tune(p)
  p = p:known_rows()
  if p.n == 0 or p.kind ~= "binary" and p.kind ~= "multilabel" then return nil end
  local thresholds = {}
  for k = 1, p.scores:size(2) do
    local truth = column(p.targets, k)
    local threshold = m.best_threshold(column(p.scores, k), truth, {goal = p.kind == "binary" and "accuracy" or "f1"})
    thresholds[k] = truth:sum():item() > 0 and threshold or 0.5  -- a class without an example: nothing to tune on
  end
  return thresholds
end

local RESAMPLES = 1000

-- Percentiles of each name's value over resamples of the rows.
local function bootstrap(p, names, thresholds)
  local lists, intervals = {}, {}
  for draw = 1, RESAMPLES do
    vbl.scope(function()
      local values = scoring.values(p:resample(draw), thresholds)
      for name in pairs(names) do
        lists[name] = lists[name] or {}
        if values[name] == values[name] then table.insert(lists[name], values[name]) end
      end
    end)
  end
  for name, list in pairs(lists) do
    table.sort(list)
    if #list > 0 then intervals[name] = {list[math.max(1, math.floor(0.025 * #list + 0.5))], list[math.max(1, math.ceil(0.975 * #list))]} end
  end
  return intervals
end

function scoring.intervals(p, values, proportions, thresholds)
  local intervals, rest = {}, {}
  for name in pairs(values) do
    if proportions[name] then
      intervals[name] = {m.wilson(proportions[name][1], proportions[name][2])}
    elseif p.kind ~= "retrieval" then
      rest[name] = true
    end
  end
  local known = p:known_rows()
  if next(rest) and known.n > 0 then
    for name, interval in pairs(bootstrap(known, rest, thresholds)) do intervals[name] = interval end
  end
  return intervals
end

return scoring

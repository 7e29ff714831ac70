-- The kinds of labels that a classifier is fine-tuned on, one row each; which one a data set has, data:labels() says.
--   labels.kind(data) -> "binary" (two classes, one logit), "multiclass", "multilabel", "soft" (a weight in [0, 1] for each class), or nil
--   labels[kind].outputs(classes) -> logits a sample
--   labels[kind].targets(y) -> targets, {1 where the label is known, else 0}      y: what View:labels gives, on the CPU
--   labels[kind].loss(logits, targets, weights, total) -> scalar: the samples' losses, each with its weight, summed and divided by total
--     binary     w (log(1 + e^x) - x y)                                 multiclass   -w log softmax(x)[y]
--     multilabel the mean of the classes' binary losses                 soft         their sum (as VQA is trained: Teney et al. 2018)
--   labels[kind].probabilities(logits) -> the same shape, in [0, 1]
-- With total = the effective batch's sum of weights a class-weighted loss is that of torch.nn.CrossEntropyLoss(weight).
local vbl = require "vbl"
local F = require "vbl.nn.functional"

local labels = {}

local function column(weights) return vbl.tensor(weights):reshape(#weights, 1) end

local function known_rows(y)
  local known = {}
  for i, row in ipairs(y:totable()) do known[i] = (type(row) == "table" and row[1] or row) < 0 and 0 or 1 end
  return known
end

local function zero_if_unknown(y) return y:maximum(0) end

local function binary_loss(logits, targets, weights, total)
  return F.bce_with_logits(logits, targets:to(logits:device()), {weight = column(weights), divisor = total})
end

labels.binary = {
  outputs = function() return 1 end,
  targets = function(y) return zero_if_unknown(y:to("f32")):reshape(y:size(1), 1), known_rows(y) end,
  loss = binary_loss,
  probabilities = function(logits) return logits:sigmoid() end,
}

-- Where all weights are 0 or 1 the loss skips rows; else rows of weighted one-hot vectors meet the log-probabilities.
local function class_loss(logits, targets, weights, total)
  local plain, index = true, targets:totable()
  for i, w in ipairs(weights) do
    plain = plain and (w == 1 or w == 0)
    if w == 0 then index[i] = -100 end
  end
  if plain then return F.cross_entropy(logits, vbl.tensor(index, {dtype = "i32"}), {divisor = total}) end
  local rows, C = {}, logits:size(2)
  for i, class in ipairs(index) do
    local row = {}
    for k = 1, C do row[k] = k == class + 1 and weights[i] or 0 end
    rows[i] = row
  end
  return (F.log_softmax(logits) * vbl.tensor(rows)):sum() * (-1 / total)
end

labels.multiclass = {
  outputs = function(classes) return classes end,
  targets = function(y)
    local known = known_rows(y)
    return y:maximum(0), known
  end,
  loss = class_loss,
  probabilities = function(logits) return F.softmax(logits) end,
}

labels.multilabel = {
  outputs = function(classes) return classes end,
  targets = function(y) return zero_if_unknown(y), known_rows(y) end,
  loss = function(logits, targets, weights, total) return binary_loss(logits, targets, weights, total * logits:size(2)) end,
  probabilities = function(logits) return logits:sigmoid() end,
}

labels.soft = {
  outputs = function(classes) return classes end,
  targets = labels.multilabel.targets,
  loss = binary_loss,
  probabilities = function(logits) return logits:sigmoid() end,
}

local of_sets = {multi = "multilabel", soft = "soft"}

function labels.kind(data)
  local kind, classes = data:labels()
  if kind == "class" then return #classes == 2 and "binary" or "multiclass" end
  return of_sets[kind]
end

return labels

-- What stands on top of the two streams: the heads of pretraining, and the classifier of fine-tuning.
--   heads.build(scope, c) -> {mlm=, ap=, ap_similarity=, log_temperature=}      scope: the model's; c: the model's config
--   heads.classifier(scope, c, site) -> the classifier, or nil      site: its dropout's number
--     classifier(text, vision, ctx) -> logits [B, outputs] of the CLS rows [B, D]; ctx: the pass's, as nn.dropout wants it, with `samples`
-- c.classifier = {hidden = 512, outputs = 1, fusion = "concat"|"sum"|"product", reads = "both"|"text"|"vision", dropout = 0, classes = names of
-- the outputs or nil: another list of them in a file of weights is another task's}: the CLS rows
-- joined side by side, added, or multiplied elementwise (ViLBERT, Lu et al. 2019, 2.1), or those of one stream; then fc1, ReLU, dropout, fc2.
local nearest = require "vbl.nearest"
local nn = require "vbl.nn"
local F = require "vbl.nn.functional"
local vbl = require "vbl"

local heads = {}

local wide = {wide = true}  -- logits: a loss reads them

function heads.build(scope, c)
  local s, D, made = scope:child("heads"), c.dim, {}
  for _, name in ipairs(c.heads) do
    if name == "mlm" then made.mlm = nn.Linear(s, "mlm", D, c.vocab, wide) end
    if name == "ap" then made.ap = nn.Linear(s, "ap", 2 * D, 1, wide) end
    if name == "ap_similarity" then made.ap_similarity = nn.Linear(s, "ap_similarity", D, 1, wide) end
    -- exp of this leaf is the temperature; 0.07 to start with, as in CLIP (Radford et al. 2021).
    if name == "temperature" then
      made.log_temperature = s:parameter("log_temperature", {1}, function() return vbl.full({1}, math.log(0.07)) end)
    end
  end
  return made
end

local choices = {fusion = {"concat", "sum", "product"}, reads = {"both", "text", "vision"}}
local defaults = {hidden = 512, outputs = 1, fusion = "concat", reads = "both", dropout = 0}

local function check_choice(key, value)
  for _, known in ipairs(choices[key]) do
    if value == known then return end
  end
  error(("vilbert: classifier.%s: expected one of %s, got '%s'%s"):format(key, table.concat(choices[key], ", "), tostring(value),
                                                                        nearest.hint(tostring(value), choices[key])), 0)
end

-- The classifier's config, complete.
function heads.options(given)
  local o = {}
  for key, value in pairs(defaults) do o[key] = value end
  for key, value in pairs(given) do
    if defaults[key] == nil and key ~= "classes" then
      error(("vilbert: classifier: unknown key '%s'%s"):format(tostring(key), nearest.hint(key, defaults)), 0)
    end
    if choices[key] then check_choice(key, value) end
    o[key] = value
  end
  for _, key in ipairs {"hidden", "outputs"} do
    if math.type(o[key]) ~= "integer" or o[key] < 1 then
      error(("vilbert: classifier.%s: expected a whole number of at least 1, got %s"):format(key, tostring(o[key])), 0)
    end
  end
  if type(o.dropout) ~= "number" or not (o.dropout >= 0 and o.dropout < 1) then
    error(("vilbert: classifier.dropout: expected a number in [0, 1), got %s"):format(tostring(o.dropout)), 0)
  end
  return o
end

local join = {
  concat = function(t, v) return vbl.cat({t, v}, 2) end,
  sum = function(t, v) return t + v end,
  product = function(t, v) return t * v end,
}

-- One row a sample: dropout counts it as position 0.
local function rows_of(ctx)
  local rows = {}
  for i, sample in ipairs(ctx.samples) do rows[i] = {sample, 0} end
  return vbl.tensor(rows, {dtype = "i32"})
end

function heads.classifier(scope, c, site)
  if not c.classifier then return nil end
  local o = c.classifier
  local fc1 = nn.Linear(scope, "classifier.fc1", o.reads == "both" and o.fusion == "concat" and 2 * c.dim or c.dim, o.hidden, wide)
  local fc2 = nn.Linear(scope, "classifier.fc2", o.hidden, o.outputs, wide)
  return function(text, vision, ctx)
    local x = o.reads == "text" and text or o.reads == "vision" and vision or join[o.fusion](text, vision)
    local h = fc1(x):relu()
    local drop = setmetatable({p = o.dropout}, {__index = ctx})
    if drop.training and drop.p > 0 then h = F.dropout_add(h, nil, nn.dropout(drop, site, rows_of(ctx))) end
    return fc2(h)
  end
end

return heads

-- The cheap table of a training run: the measures between the two streams, layer by layer, and its log lines.
--   layers.layers(pairs, opts) -> one record per layer
--   layers.line(layer)         -> its log line
--   layers.chance(list)        -> the log line of what these layers show of shuffled pairs, the least and the most of them
--   layers.names               -> the measures, in the order of the line
local gate = require "vbl.analysis.gate"
local measure = require "vbl.measure"

local layers = {names = {"cosine", "cka", "max_sim_tp", "max_sim_pt", "svcca", "mknn", "jaccard", "rank", "procrustes"}}

local tested = {"cosine", "cka", "svcca", "mknn", "knn_jaccard", "rank_sim", "procrustes", "max_sim"}  -- the same as vbl.measure calls them

local titles = {cka = "CKA", svcca = "SVCCA"}

-- What each name of the line is: debiased linear CKA, SVCCA at 99 % of the variance, k neighbours by cosine, Procrustes similarity.
local pooled = {
  cosine = function(x, y) return measure.cosine(x, y) end,
  cka = function(x, y) return measure.cka(x, y) end,
  svcca = function(x, y) return measure.svcca(x, y) end,
  mknn = function(x, y, k) return measure.mknn(x, y, {k = k}) end,
  jaccard = function(x, y, k) return measure.knn_jaccard(x, y, {k = k}) end,
  rank = function(x, y, k) return measure.rank_sim(x, y, {k = k}) end,
  procrustes = function(x, y) return measure.procrustes(x, y) end,
}

local function without_chance(records)
  for _, record in pairs(records) do record.chance, record.chance_source = nil, nil end
end

local function set(layer, name, value, record)
  layer[name] = value
  layer.records[name] = record
end

-- Lengths without the closing [SEP], which matches nothing in an image.
local function without_sep(lengths)
  local list = lengths:totable()
  for i, length in ipairs(list) do list[i] = math.max(length - 1, 0) end
  return list
end

-- From tokens, or from the numbers that the caller summed batch by batch; neither: the layer has no max_sim.
local function add_max_sim(layer, feature)
  if feature.text_tokens then
    local lengths = feature.lengths and without_sep(feature.lengths)
    local tp, pt, tp_record, pt_record = measure.max_sim(feature.text_tokens, feature.vision_tokens, {text_lengths = lengths})
    set(layer, "max_sim_tp", tp, tp_record)
    set(layer, "max_sim_pt", pt, pt_record)
  elseif feature.max_sim_tp then
    local status = layer.records.cosine.status == "NOT_COMPARABLE" and "NOT_COMPARABLE" or "OK"
    for _, name in ipairs {"max_sim_tp", "max_sim_pt"} do
      set(layer, name, feature[name], {value = feature[name], status = status, n = layer.n, warnings = {}})
    end
  end
end

local function one_layer(feature, opts)
  local x <close> = measure.prepare(feature.text, feature.name .. " text")
  local y <close> = measure.prepare(feature.vision, feature.name .. " vision")
  local n = x:shape()
  local k = opts.k or math.max(1, math.min(10, (n - 1) // 2))
  local layer = {name = feature.name, coattention = feature.coattention or false, n = n, k = k, records = {}}
  for _, name in ipairs(layers.names) do
    if pooled[name] then set(layer, name, pooled[name](x, y, k)) end
  end
  add_max_sim(layer, feature)
  if opts.groups then without_chance(layer.records) end
  return layer
end

-- features: array of {name = "layer0", coattention = bool, text = [n,D], vision = [n,D] (CLS or pooled, row i of one pair),
-- and either text_tokens = [n,T,D], vision_tokens = [n,P,D], lengths = i32 [n] (with [CLS] and [SEP], which are left out), or the
-- numbers max_sim_tp and max_sim_pt}. opts.k: neighbours (10, or (n-1)//2 where that is less); opts.groups: the labels of pairs that show one image
-- (features.groups), which have no chance level here, since each law is that of rows shuffled one by one.
-- Returns an array of {name, coattention, n, k, and a number per name of layers.names, records = {name -> record with status and
-- chance level}}. Streams of different widths: cosine and max_sim are nan, NOT_COMPARABLE.
function layers.layers(features, opts)
  gate.check(tested)
  local list = {}
  for i, feature in ipairs(features) do list[i] = one_layer(feature, opts or {}) end
  return list
end

local function number(layer, name)
  local value = layer[name]
  if value ~= value then return string.format("nan(%s)", layer.records[name].status) end
  return string.format("%.4f", value)
end

-- "layer layer1 (co-attn-True): cosine=0.4888, CKA=0.0459, max_sim_tp=0.4816, ..., mknn=0.5510, jaccard=..., rank=..., procrustes=..."
-- An undefined value prints its status: nan(ZERO_VARIANCE).
function layers.line(layer)
  local parts = {}
  for _, name in ipairs(layers.names) do
    if layer[name] then parts[#parts + 1] = string.format("%s=%s", titles[name] or name, number(layer, name)) end
  end
  return string.format("layer %s (co-attn-%s): %s", layer.name, layer.coattention and "True" or "False", table.concat(parts, ", "))
end

local function range(low, high)
  local a, b = ("%.4f"):format(low), ("%.4f"):format(high)
  return a == b and a or a .. " to " .. b
end

-- "chance, of shuffled pairs: CKA=0.0000, SVCCA=0.6512 to 0.7304, mknn=0.1587, ...", of the measures that have one.
function layers.chance(list)
  local parts = {}
  for _, name in ipairs(layers.names) do
    local low, high = math.huge, -math.huge
    for _, layer in ipairs(list) do
      local chance = layer.records[name] and layer.records[name].chance
      if chance and chance == chance then low, high = math.min(low, chance), math.max(high, chance) end
    end
    if low <= high then parts[#parts + 1] = ("%s=%s"):format(titles[name] or name, range(low, high)) end
  end
  if #parts == 0 then return "chance, of shuffled pairs: not here, where several pairs show one image (vbl.analysis.table shuffles whole images)" end
  return "chance, of shuffled pairs: " .. table.concat(parts, ", ")
end

return layers

-- The configuration of a two-stream model: presets, named co-attention placements, and the checks that turn a table as a
-- researcher writes it into a complete one, or into an error that names the key.
local heads = require "vbl.models.heads"
local merged = require "vbl.merged"
local nearest = require "vbl.nearest"

local config = {}

config.presets = {
  base = {dim = 768, layers = 12, attention_heads = 12, mlp = 3072, image = 224, patch = 16, vocab = 30522, max_positions = 512},
  small = {dim = 256, layers = 6, attention_heads = 8, mlp = 1024, image = 128, patch = 16, vocab = 30522, max_positions = 128},
  tiny = {dim = 128, layers = 4, attention_heads = 4, mlp = 512, image = 64, patch = 8, vocab = 30522, max_positions = 64},
}

-- key = {type or choices, default, meaning}; what a preset gives has no default here.
config.schema = {
  preset = {{"tiny", "small", "base"}, "tiny", "sizes to start from; each can be overridden"},
  dim = {"number", nil, "width of both streams"},
  layers = {"number", nil, "layers of each encoder"},
  attention_heads = {"number", nil, "heads of the encoders' attention (and of stacked blocks)"},
  mlp = {"number", nil, "hidden width of every MLP, the fusion's too"},
  image = {"number", nil, "side of the square image, in pixels"},
  patch = {"number", nil, "side of a patch, in pixels"},
  vocab = {"number", nil, "number of word pieces"},
  max_positions = {"number", nil, "longest caption in tokens, [CLS] and [SEP] included"},
  dropout = {"number", 0.1, "probability, at every site of the two streams and the fusion"},
  fusion = {{"interleaved", "stacked", "single_stream"}, "stacked", "co-attention between the encoders' own layers, dual blocks on top of them, or one transformer over both"},
  placement = {"string", nil, "interleaved: a named placement (none full early middle late asymmetric optuna1 optuna2)"},
  coattention = {"table", nil, "interleaved: {text = {9,10,11}, vision = {9,10,11}, dim = 1024, heads = 8}"},
  depth = {"number", nil, "stacked: number of dual blocks"},
  cross_attention_layers = {"table", nil, "stacked: which blocks (from 0) attend across"},
  heads = {"table", {"mlm", "ap"}, "mlm, ap ([text CLS ; image CLS] -> 1), ap_similarity (product of unimodal CLS -> 1), temperature (learnable)"},
  classifier = {"table", nil, "{hidden = 512, outputs = 1, fusion = concat|sum|product, reads = both|text|vision, dropout = 0}: vbl.models.heads"},
  weights = {"path", nil, "safetensors file or folder to start from, or {text = PATH, vision = PATH}: vbl.models.weights"},
  text_eps = {"number", 1e-12, "eps of the text stream's norms"},
  vision_eps = {"number", 1e-6, "eps of the image stream's norms"},
  init = {{"family", "fan_in"}, "family", "family: BERT and ViT normal 0.02, fusion by fan-in; fan_in: everything by fan-in"},
  text_norm = {{"post", "pre"}, "post", "where the text stream normalises; post is BERT's"},
  mask_token = {"boolean", false, "a learned token for masked patches instead of the mean pixel"},
  packed = {"boolean", true, "text without padding rows; false computes the padding, for comparison only"},
  mean = {"table", {0.5, 0.5, 0.5}, "pixel mean of the normalisation, of values in [0, 1]"},
  std = {"table", {0.5, 0.5, 0.5}, "pixel deviation of the normalisation"},
  crop = {{"center", "squash"}, "center", "how its images were cut; with the next two for the data set's options of these names"},
  crop_pct = {"number", 1, "share of the resized side that the cut keeps"},
  interpolation = {{"bicubic", "bilinear"}, "bicubic", "of the resizing"},
}

local function quarter(j, L)
  local list = {}
  for i = j * L // 4, (j + 1) * L // 4 - 1 do list[#list + 1] = i end
  return list
end

local function range(L)
  local list = {}
  for i = 0, L - 1 do list[#list + 1] = i end
  return list
end

local only12 = {
  asymmetric = {text = {6, 7, 8, 9}, vision = {3, 5, 7, 9}},
  optuna1 = {text = {3, 6}, vision = {6, 8}},
  optuna2 = {text = {7, 9, 10, 11}, vision = {6, 7, 9, 10}},
}

config.placements = {"none", "full", "early", "middle", "late", "asymmetric", "optuna1", "optuna2"}

-- The lists of a named placement for encoders of L layers.
function config.placement(name, L)
  local same = {none = {}, full = range(L), early = quarter(1, L), middle = quarter(2, L), late = quarter(3, L)}
  if same[name] then return {text = same[name], vision = same[name]} end
  if only12[name] then
    if L ~= 12 then
      error(string.format("placement '%s' is defined for 12 layers; this model has %d (give coattention = {text = ..., vision = ...})", name, L), 0)
    end
    return only12[name]
  end
  error(string.format("unknown placement '%s'%s; there are: %s", name, nearest.hint(name, config.placements), table.concat(config.placements, ", ")), 0)
end

local function check_whole(value, what, least)
  if math.type(value) == "integer" and value >= least then return end
  error(string.format("vilbert: %s: expected a whole number of at least %d, got %s", what, least, tostring(value)), 0)
end

local function check_list(list, what, low, high)
  if type(list) ~= "table" then error(string.format("vilbert: %s: expected a list of layers such as {1, 3}, got %s", what, tostring(list)), 0) end
  local last = low - 1
  for i, v in ipairs(list) do
    if math.type(v) ~= "integer" or v < low or v > high then
      error(string.format("%s[%d]: expected a layer from %d to %d, got %s", what, i, low, high, tostring(v)), 0)
    end
    if v <= last then error(string.format("%s: layers must rise strictly, got %d after %d", what, v, last), 0) end
    last = v
  end
end

local function check_types(given)
  if type(given) ~= "table" then error(string.format("vilbert: expected a table of keys such as {preset = \"tiny\"}, got %s", type(given)), 0) end
  for key, value in pairs(given) do
    local row = config.schema[key]
    if not row then
      error(string.format("vilbert: unknown key '%s'%s (?vbl.models.vilbert lists them)", tostring(key), nearest.hint(key, config.schema)), 0)
    end
    local want = row[1]
    if want == "path" then
      if type(value) ~= "string" and type(value) ~= "table" then
        error(string.format("vilbert: %s: expected a path or {text = PATH, vision = PATH}, got %s", key, tostring(value)), 0)
      end
    elseif type(want) == "table" then
      local ok = false
      for _, choice in ipairs(want) do ok = ok or choice == value end
      if not ok then error(string.format("vilbert: %s: expected one of %s, got %s", key, table.concat(want, ", "), tostring(value)), 0) end
    elseif type(value) ~= want then
      error(string.format("vilbert: %s: expected a %s, got %s (%s)", key, want, type(value), tostring(value)), 0)
    end
  end
end

local function check_sizes(c)
  for _, key in ipairs {"dim", "layers", "attention_heads", "mlp", "image", "patch", "vocab", "max_positions"} do check_whole(c[key], key, 1) end
  if c.dim % c.attention_heads ~= 0 then
    error(string.format("vilbert: dim = %d does not divide into %d attention heads", c.dim, c.attention_heads), 0)
  end
  if c.image % c.patch ~= 0 then error(string.format("vilbert: image = %d is not a multiple of patch = %d", c.image, c.patch), 0) end
  for _, key in ipairs {"text_eps", "vision_eps"} do
    if not (c[key] > 0 and c[key] < 1) then error(string.format("vilbert: %s: expected a number in (0, 1), got %g", key, c[key]), 0) end
  end
  if c.dropout < 0 or c.dropout >= 1 then error(string.format("vilbert: dropout: expected a number in [0, 1), got %g", c.dropout), 0) end
end

-- What pixels are normalised by, a number for each channel.
local function check_channels(c)
  for _, key in ipairs {"mean", "std"} do
    for i = 1, 3 do
      local v = c[key][i]
      if #c[key] ~= 3 or type(v) ~= "number" or key == "std" and not (v > 0) then
        error(string.format("vilbert: %s: expected three numbers%s such as {0.5, 0.5, 0.5}", key, key == "std" and " above 0" or ""), 0)
      end
    end
  end
end

local function check_interleaved(c)
  if c.depth or c.cross_attention_layers then error("vilbert: depth and cross_attention_layers belong to fusion = \"stacked\"", 0) end
  local co = {}
  for k, v in pairs(c.coattention or {}) do
    if not ({text = 1, vision = 1, dim = 1, heads = 1})[k] then
      error(string.format("vilbert: coattention: unknown key '%s'%s", tostring(k), nearest.hint(k, {"text", "vision", "dim", "heads"})), 0)
    end
    co[k] = v
  end
  if c.placement then
    if co.text or co.vision then error("vilbert: give placement or coattention.text and .vision, not both", 0) end
    local lists = config.placement(c.placement, c.layers)
    co.text, co.vision = lists.text, lists.vision
  elseif not co.text and not co.vision then
    local lists = config.placement("late", c.layers)
    co.text, co.vision = lists.text, lists.vision
  end
  co.text, co.vision = co.text or {}, co.vision or {}
  check_list(co.text, "coattention.text", 0, c.layers - 1)
  check_list(co.vision, "coattention.vision", 0, c.layers - 1)
  if #co.text ~= #co.vision then
    error(string.format("vilbert: coattention: text has %d layers and vision %d; both lists need the same length", #co.text, #co.vision), 0)
  end
  co.dim = co.dim or (c.dim == 768 and 1024 or c.dim)
  co.heads = co.heads or (c.dim == 768 and 8 or c.attention_heads)
  check_whole(co.dim, "coattention.dim", 1)
  check_whole(co.heads, "coattention.heads", 1)
  if co.dim % co.heads ~= 0 then error(string.format("vilbert: coattention.dim = %d does not divide into %d heads", co.dim, co.heads), 0) end
  c.coattention = co
end

local function check_stacked(c)
  if c.coattention or c.placement then error("vilbert: coattention and placement belong to fusion = \"interleaved\"", 0) end
  c.depth = c.depth or 4
  check_whole(c.depth, "depth", 0)
  c.cross_attention_layers = c.cross_attention_layers or (c.depth == 8 and {1, 3, 6} or c.depth == 4 and {1, 3}) or
    error("vilbert: cross_attention_layers: say which of the " .. c.depth .. " blocks attend across, e.g. {1, 3}", 0)
  check_list(c.cross_attention_layers, "cross_attention_layers", 0, c.depth - 1)
end

local function check_single(c)
  if c.coattention or c.placement or c.depth or c.cross_attention_layers then
    error("vilbert: coattention, placement, depth and cross_attention_layers belong to two streams, not to fusion = \"single_stream\"", 0)
  end
end

local function check_heads(list)
  local known, seen = {"mlm", "ap", "ap_similarity", "temperature"}, {}
  for _, head in ipairs(list) do
    local ok = false
    for _, name in ipairs(known) do ok = ok or name == head end
    if not ok then error(string.format("vilbert: heads: unknown head '%s'%s", tostring(head), nearest.hint(head, known)), 0) end
    if seen[head] then error(string.format("vilbert: heads: '%s' is there twice; name each head once", head), 0) end
    seen[head] = true
  end
end

local check_fusion = {interleaved = check_interleaved, stacked = check_stacked, single_stream = check_single}

-- given: the user's table -> a new, complete one.
function config.resolve(given)
  check_types(given)
  local defaults = {}
  for key, row in pairs(config.schema) do defaults[key] = row[2] end
  local c = merged(defaults, config.presets[given.preset or "tiny"], given)
  check_sizes(c)
  check_channels(c)
  check_fusion[c.fusion](c)
  if c.classifier then c.classifier = heads.options(c.classifier) end
  check_heads(c.heads)
  return c
end

return config

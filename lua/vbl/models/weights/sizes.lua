-- What a file's config.json says of the model in it, as keys of vbl.models.vilbert. What this model cannot do is an error; what decides
-- results is never passed over (activation, eps, kind of positions).
--   sizes.of_config(src, families) -> {key -> value}, or nil where no config lies beside the file
--   sizes.of_shapes(src, families) -> {key -> value}: what the shapes tell, which is all but the attention heads
local c = require "vbl.store.c"

local sizes = {}

local function refuse(src, text, ...) error(("%s: " .. text):format(src.config_path, ...), 0) end

local function check_activation(src, act)
  if act == nil or act == "gelu" then return end
  refuse(src, "hidden_act = \"%s\"; this model computes the erf GELU (\"gelu\") only, and with another activation its outputs would be others", tostring(act))
end

local function number(src, key)
  local v = src.config[key]
  if math.type(v) ~= "integer" or v < 1 then refuse(src, "%s: expected a whole number of at least 1, got %s", key, tostring(v)) end
  return v
end

local function encoder(src)
  check_activation(src, src.config.hidden_act)
  return {dim = number(src, "hidden_size"), layers = number(src, "num_hidden_layers"), attention_heads = number(src, "num_attention_heads"),
          mlp = number(src, "intermediate_size")}
end

local function bert(src)
  local config = src.config
  if config.model_type ~= nil and config.model_type ~= "bert" then refuse(src, "model_type = \"%s\"; expected \"bert\"", tostring(config.model_type)) end
  local positions = config.position_embedding_type or "absolute"
  if positions ~= "absolute" then refuse(src, "position_embedding_type = \"%s\"; this model has absolute positions", positions) end
  if config.is_decoder then refuse(src, "is_decoder: a causal BERT; this model's text stream looks both ways") end
  if config.type_vocab_size and config.type_vocab_size ~= 2 then refuse(src, "type_vocab_size = %s; this model has 2", tostring(config.type_vocab_size)) end
  local s = encoder(src)
  s.vocab, s.max_positions = number(src, "vocab_size"), number(src, "max_position_embeddings")
  s.text_eps = config.layer_norm_eps or 1e-12
  return s
end

local function hf_vit(src)
  local config = src.config
  if config.model_type ~= nil and config.model_type ~= "vit" and config.model_type ~= "deit" then
    refuse(src, "model_type = \"%s\"; expected \"vit\"", tostring(config.model_type))
  end
  if config.num_channels and config.num_channels ~= 3 then refuse(src, "num_channels = %s; this model sees 3", tostring(config.num_channels)) end
  local s = encoder(src)
  s.image, s.patch = number(src, "image_size"), number(src, "patch_size")
  s.vision_eps = config.layer_norm_eps or 1e-12
  return s
end

-- Heads of timm's plain ViTs by the size in their name.
local timm_heads = {tiny = 3, small = 6, base = 12, large = 16, huge = 16}

-- timm's arguments that a plain ViT of this program can have; others change what it computes.
local timm_args = {img_size = true, patch_size = true, embed_dim = true, depth = true, num_heads = true, mlp_ratio = true, num_classes = true, in_chans = true,
                   drop_rate = true, drop_path_rate = true, pos_drop_rate = true, proj_drop_rate = true, attn_drop_rate = true, dynamic_img_size = true, weight_init = true}
local timm_defaults = {act_layer = "gelu", global_pool = "token", class_token = true, no_embed_class = false, pre_norm = false, qkv_bias = true,
                       qk_norm = false, reg_tokens = 0}

local function check_timm_args(src, args)
  for key, value in pairs(args) do
    local plain = timm_args[key] or value == timm_defaults[key] or key == "global_pool" and value == "" or value == c.null
    if not plain then refuse(src, "model_args: %s = %s; this model has a plain ViT, and with that its outputs would be others", key, tostring(value)) end
  end
  local size = args.img_size
  if type(size) == "table" and size[1] ~= size[2] then refuse(src, "model_args: img_size = [%s, %s]; this model's images are square", tostring(size[1]), tostring(size[2])) end
end

local function timm(src, families)
  local config = src.config
  local name = config.architecture or type(config.pretrained_cfg) == "table" and config.pretrained_cfg.architecture
  if type(name) ~= "string" then refuse(src, "no architecture in it, which timm's configs have") end
  local size = name:match "^vit_(%a+)_patch%d+" or name:match "^deit_(%a+)_patch%d+" or name:match "^deit3_(%a+)_patch%d+"
  local args = type(config.model_args) == "table" and config.model_args or {}
  if not size then refuse(src, "architecture = \"%s\"; expected a plain ViT such as vit_base_patch16_224 or deit_tiny_patch16_224", name) end
  check_timm_args(src, args)
  local s = sizes.of_shapes(src, families)
  local kept = {dim = s.dim, layers = s.layers, mlp = s.mlp, image = s.image, patch = s.patch, vision_eps = 1e-6}
  kept.attention_heads = args.num_heads or timm_heads[size] or
    refuse(src, "architecture = \"%s\": its number of heads is not known; say model_args.num_heads in the file", name)
  return kept
end

-- A file of this program carries its config itself; one made elsewhere in the same names has it in config.json.
local function vilbert(src)
  local text = src.metadata.vilbert
  local config = text and c.json_decode(text, {where = src.path .. ": metadata"}) or src.config and src.config.model_type == "vilbert" and src.config
  if not config then return nil end
  if type(config) ~= "table" then error(("%s: metadata: expected the config of a model, got %s"):format(src.path, text), 0) end
  local known, s = require("vbl.models.vilbert_config").schema, {}
  for key, value in pairs(config) do
    if known[key] and key ~= "weights" and key ~= "preset" then s[key] = value end
  end
  return s
end

function sizes.of_config(src, families)
  if families.vilbert then return vilbert(src) end
  if not src.config then return nil end
  if families.bert then return bert(src) end
  if families.hf_vit then return hf_vit(src) end
  return timm(src, families)
end

local function dim_of(src, name, d) return src.shapes[name] and src.shapes[name].shape[d] end

local function count_layers(src, prefix)
  local n = 0
  for name in pairs(src.shapes) do
    local i = name:sub(1, #prefix) == prefix and name:sub(#prefix + 1):match "^%d+"
    if i then n = math.max(n, math.tointeger(tonumber(i)) + 1) end
  end
  return n
end

function sizes.of_shapes(src, families)
  local s = {}
  if families.bert then
    local p = families.bert
    s.vocab, s.dim = dim_of(src, p .. "embeddings.word_embeddings.weight", 1), dim_of(src, p .. "embeddings.word_embeddings.weight", 2)
    s.max_positions = dim_of(src, p .. "embeddings.position_embeddings.weight", 1)
    s.layers, s.mlp = count_layers(src, p .. "encoder.layer."), dim_of(src, p .. "encoder.layer.0.intermediate.dense.weight", 1)
  end
  if families.timm or families.hf_vit then
    local p, hf = families.timm or families.hf_vit, families.hf_vit
    local patch = p .. (hf and "embeddings.patch_embeddings.projection.weight" or "patch_embed.proj.weight")
    local rows = dim_of(src, p .. (hf and "embeddings.position_embeddings" or "pos_embed"), 2)
    s.dim, s.patch = dim_of(src, patch, 1), dim_of(src, patch, 4)
    s.layers = count_layers(src, p .. (hf and "encoder.layer." or "blocks."))
    s.mlp = dim_of(src, p .. (hf and "encoder.layer.0.intermediate.dense.weight" or "blocks.0.mlp.fc1.weight"), 1)
    local side = rows and math.floor((rows - 1) ^ 0.5 + 0.5)
    if side and side * side == rows - 1 and s.patch then s.image = side * s.patch end
  end
  return s
end

return sizes

-- A model as files that others read. export.write(model, folder, opts): the folder, which must not be there yet, gets
--   bert/   config.json, model.safetensors (Hugging Face's BertModel), vocab.txt and tokenizer_config.json where opts.vocabulary is given
--   vit/    config.json, model.safetensors (timm: create_model("local-dir:FOLDER/vit", pretrained=True))
--   vilbert.safetensors, config.json      every parameter under its own name
-- opts {vocabulary = {token, ...}, rules = tokenizer:rules(), log = function(line)}. Written beside and renamed: the folder is whole or not there.
local c = require "vbl.store.c"
local system = require "vbl.system.c"
local trimmed = require "vbl.trimmed"
local vocabulary = require "vbl.data.vocabulary"

local export = {}

local function json(path, value) c.write_atomic(path, c.json_encode(value, {indent = 2}) .. "\n") end

-- The parameters whose names begin with the prefix, without it.
local function part(model, prefix, skip)
  local names, tensors = {}, {}
  for _, p in ipairs(model.list) do
    if p.name:sub(1, #prefix) == prefix and p.name ~= skip then names[#names + 1], tensors[#tensors + 1] = p.name:sub(#prefix + 1), p.tensor end
  end
  return names, tensors
end

local function bert_config(m)
  return {architectures = {"BertModel"}, model_type = "bert", hidden_act = "gelu", vocab_size = m.vocab, hidden_size = m.dim, num_hidden_layers = m.layers,
          num_attention_heads = m.attention_heads, intermediate_size = m.mlp, max_position_embeddings = m.max_positions, type_vocab_size = 2,
          layer_norm_eps = m.text_eps, hidden_dropout_prob = m.dropout, attention_probs_dropout_prob = m.dropout, pad_token_id = 0}
end

local function write_bert(model, folder, opts)
  c.make_folder(folder)
  local names, tensors = part(model, "bert.")
  c.safetensors_save(folder .. "/model.safetensors", names, tensors, {format = "pt"})
  json(folder .. "/config.json", bert_config(model.config))
  if not opts.vocabulary then return end
  c.write_atomic(folder .. "/vocab.txt", vocabulary.text(opts.vocabulary))
  local config = vocabulary.rules(opts.rules)
  config.model_max_length = model.config.max_positions
  for _, name in ipairs {"unk", "cls", "sep", "pad", "mask"} do config[name .. "_token"] = ("[%s]"):format(name:upper()) end
  json(folder .. "/tokenizer_config.json", config)
end

local function vit_config(m)
  local timm = {mean = m.mean, std = m.std, input_size = {3, m.image, m.image}, interpolation = m.interpolation, crop_pct = m.crop_pct, crop_mode = m.crop, num_classes = 0,
                pool_size = c.null, first_conv = "patch_embed.proj", classifier = "head", fixed_input_size = true}
  return {architecture = "vit_base_patch16_224", num_classes = 0, num_features = m.dim, pretrained_cfg = timm,
          model_args = {img_size = m.image, patch_size = m.patch, embed_dim = m.dim, depth = m.layers, num_heads = m.attention_heads, mlp_ratio = m.mlp / m.dim,
                        num_classes = 0}}
end

local function write_vit(model, folder)
  c.make_folder(folder)
  local names, tensors = part(model, "vit.", "vit.mask_token")
  c.safetensors_save(folder .. "/model.safetensors", names, tensors, {format = "pt"})
  json(folder .. "/config.json", vit_config(model.config))
end

local function write_vilbert(model, folder)
  model:save(folder .. "/vilbert.safetensors")
  local config = c.json_decode(model:metadata().vilbert)
  config.model_type = "vilbert"
  json(folder .. "/config.json", config)
end

function export.write(model, folder, opts)
  folder = trimmed(folder)
  if system.exists(folder) then error(("%s: is there already; name a new folder"):format(folder), 0) end
  local log, beside = opts.log or function() end, ("%s.tmp-%d"):format(folder, system.pid())
  local m = model.config
  local ok, message = pcall(function()
    c.make_folder(beside)
    local single = m.fusion == "single_stream"
    if single then
      log(("%s/bert: not written: a single stream's text has no layers of its own"):format(folder))
    elseif m.text_norm == "post" then
      write_bert(model, beside .. "/bert", opts)
      log(("%s/bert: BertModel, %d layers of %d%s"):format(folder, m.layers, m.dim, opts.vocabulary and "" or "; no vocabulary is known: vocab.txt is not written"))
    else
      log(("%s/bert: not written: the text stream normalises before its sublayers (text_norm = \"%s\"), which BertModel cannot"):format(folder, m.text_norm))
    end
    if single then
      log(("%s/vit: not written: a single stream's images have the other stream's layers and types"):format(folder))
    elseif m.vision_eps == 1e-6 then
      write_vit(model, beside .. "/vit")
      log(("%s/vit: timm ViT, %d layers of %d%s"):format(folder, m.layers, m.dim, m.mask_token and "; without vit.mask_token, which timm has not" or ""))
    else
      log(("%s/vit: not written: vision_eps = %g, and timm's ViT has 1e-6"):format(folder, m.vision_eps))
    end
    write_vilbert(model, beside)
    log(("%s/vilbert.safetensors: %d tensors"):format(folder, #model.list))
    local renamed, why = os.rename(beside, folder)
    if not renamed then error(why, 0) end
  end)
  if not ok then
    c.remove(beside)
    error(message, 0)
  end
end

return export

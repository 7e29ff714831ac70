-- What pretrained weights (model.weights) want of the data: the image's size and preparation, and the vocabulary.
--   pretrained.of(model_config) -> {image, patch, mean, std, crop, crop_pct, interpolation, vocabulary, vocab}, empty without weights
--   pretrained.fill(opts, options, from, model_config, data)      opts: for vbl.data.open; what options (the user's) do not set is set, and
--     the model's config says how its images were prepared
--   pretrained.check(from, model_config, data)      the ids must mean to the model what they mean to the data
local preprocess = require "vbl.models.weights.preprocess"

local pretrained = {}

function pretrained.of(model_config)
  if not model_config.weights then return {} end
  local found = require("vbl.models.weights").open(model_config.weights)
  local s, p = found:sizes(), found.preprocess or {}
  local from = {image = s.image, patch = s.patch, vocabulary = found.vocabulary, vocab = s.vocab}
  for _, key in ipairs(preprocess.keys) do
    if s[key] ~= nil then from[key] = s[key] else from[key] = p[key] end
  end
  return from
end

function pretrained.fill(opts, options, from, model_config, data)
  opts.mean, opts.std = options.mean or model_config.mean or from.mean, options.std or model_config.std or from.std
  if data == "scenes" then return end
  for _, key in ipairs {"crop", "crop_pct", "interpolation"} do
    local value = options[key]
    if value == nil then value = model_config[key] end
    if value == nil then value = from[key] end
    opts[key], model_config[key] = value, value
  end
  if options.vocabulary == nil then opts.vocabulary = from.vocabulary end
end

function pretrained.check(from, model_config, data)
  local n = data.tokenizer:size()
  if not from.vocab or model_config.vocab or n == from.vocab then return end
  error(("config: model.weights has a vocabulary of %d tokens and the data one of %d%s"):format(
    from.vocab, n, data.name == "scenes" and " (scenes counts its own: leave the text weights out, or take captions)" or
    ": set captions.vocabulary to the vocab.txt or tokenizer.json that came with the weights"), 0)
end

return pretrained

-- What pretrained weights (model.weights) want of the data: the image's size and preparation, and the vocabulary.
--   pretrained.of(model_config) -> {image, patch, mean, std, crop, vocabulary, vocab}, empty without weights
--   pretrained.fill(opts, options, from, model_config, data)      opts: for vbl.data.open; what options (the user's) do not set is set
--   pretrained.check(from, model_config, data)      the ids must mean to the model what they mean to the data
local pretrained = {}

function pretrained.of(model_config)
  if not model_config.weights then return {} end
  local found = require("vbl.models.weights").open(model_config.weights)
  local s, p = found:sizes(), found.preprocess or {}
  return {image = s.image, patch = s.patch, mean = s.mean or p.mean, std = s.std or p.std, crop = p.crop, vocabulary = found.vocabulary, vocab = s.vocab}
end

function pretrained.fill(opts, options, from, model_config, data)
  opts.mean, opts.std = options.mean or model_config.mean or from.mean, options.std or model_config.std or from.std
  if data == "scenes" then return end
  if options.crop == nil then opts.crop = from.crop end
  if options.vocabulary == nil then opts.vocabulary = from.vocabulary end
end

function pretrained.check(from, model_config, data)
  local n = data.tokenizer:size()
  if not from.vocab or model_config.vocab or n == from.vocab then return end
  error(("config: model.weights has a vocabulary of %d tokens and the data one of %d%s"):format(
    from.vocab, n, data.name == "scenes" and " (scenes counts its own: leave the text weights out, or take captions)" or
    ": give their vocabulary file, captions.vocabulary=PATH"), 0)
end

return pretrained

-- What a fine-tuned model is compared with, one config key: baseline = NAME. Each row is a small change of the same run:
--   text, image      the one stream alone, to its own classifier: what the other adds is the difference
--   no_fusion        both encoders, independent, their CLS vectors fused in the classifier only (the "platonic" baseline)
--   single_stream    one transformer over text and patch tokens (ViLT)
--   random           the same sizes, from scratch: what pretraining adds
--   shuffled         every text with another image, in training and evaluation: what the pairing adds
--   baselines[name] = {model = function(model_config), freeze = {patterns}, from_scratch = bool, view = function(view)}
local shuffled = require "vbl.data.shuffled"

local baselines = {names = {"none", "text", "image", "no_fusion", "single_stream", "random", "shuffled"}}

-- Another fusion in place of the one that is configured or that the weights were trained with.
local function fusion(values)
  return function(c)
    for _, key in ipairs {"fusion", "placement", "coattention", "depth", "cross_attention_layers"} do c[key] = values[key] end
    if c.classifier then c.classifier.reads = values.reads end
  end
end

baselines.none = {}
baselines.text = {model = fusion {fusion = "interleaved", placement = "none", reads = "text"}, freeze = {"vit.*"}}
baselines.image = {model = fusion {fusion = "interleaved", placement = "none", reads = "vision"}, freeze = {"bert.*"}}
baselines.no_fusion = {model = fusion {fusion = "interleaved", placement = "none"}}
baselines.single_stream = {model = fusion {fusion = "single_stream"}}
baselines.random = {from_scratch = true}
baselines.shuffled = {view = shuffled}

return baselines

-- The peak learning rates that lr = "auto" stands for, by what the training begins with and by preset. A wider and deeper model wants a smaller one: at
-- 1e-3 the contrastive term of `small` stays at chance for good, ln(pairs), on photographs.
--   rates.pretrain, rates.scratch, rates.pretrained (the last two of fine-tuning): preset -> rate
--   rates.preset_of(dim) -> the preset whose rate a model takes that was not made by one: the narrowest that is as wide, else base
local presets = require("vbl.models.vilbert_config").presets

local rates = {
  pretrain = {tiny = 1e-3, small = 3e-4, base = 1e-4},
  scratch = {tiny = 1e-3, small = 5e-4, base = 1e-4},
  pretrained = {tiny = 5e-4, small = 2e-4, base = 3.4e-5},
}

function rates.preset_of(dim) return dim <= presets.tiny.dim and "tiny" or dim <= presets.small.dim and "small" or "base" end

return rates

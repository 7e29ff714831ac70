-- vbl weights_check.lua SPEC.json IN.safetensors OUT.safetensors: makes a model from SPEC (keys of vbl.models.vilbert, and taps), runs IN (tokens
-- i32 [B, T], lengths i32 [B], images f32 [B, 3, S, S]) and writes the taps, and the logits of a classifier and of the similarity head. The half of
-- weights_check.py that is this program's.
local vbl = require "vbl"
local spec, inputs = vbl.load(arg[1]), vbl.load(arg[2])
local taps = spec.taps
spec.taps = nil
local model = vbl.models.vilbert(spec):eval()
print(model.loaded.text)
model:tap(taps)
local out = vbl.no_grad(function() return model:forward {tokens = inputs.tokens, lengths = inputs.lengths, images = inputs.images} end)
local tensors = {text = out.text, vision = out.vision}
for name, tensor in pairs(out.taps) do tensors[name] = tensor end
vbl.no_grad(function()
  if model.classifier then tensors.classes = model:classify(inputs) end
  if model.heads.ap_similarity then
    tensors.similarity = require("vbl.models.readout").alignment(model, model:run(inputs, {unimodal = true, fuse = false}), "similarity")
  end
end)
vbl.save(arg[3], tensors)

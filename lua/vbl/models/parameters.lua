-- What every model does with its parameters: count, freeze by name pattern, load and save safetensors.
local dist = require "vbl.dist"
local vbl = require "vbl"
local taps = require "vbl.models.taps"

local parameters = {}

-- Number of parameters; only = "trainable" counts those that are not frozen.
function parameters.count(model, only)
  local n = 0
  for _, p in ipairs(model.list) do
    if only ~= "trainable" or p.tensor.requires_grad then n = n + p.tensor:numel() end
  end
  return n
end

local function set_trainable(model, globs, on)
  local names = {}
  for i, p in ipairs(model.list) do names[i] = p.name end
  local set = taps.check(globs, names, (on and "unfreeze" or "freeze") .. ": no parameter")
  for _, p in ipairs(model.list) do
    if set[p.name] then p.tensor:requires_grad_(on) end
  end
  return model
end

-- model:freeze{"bert.*", "vit.blocks.0.*"}: no gradient, no update. * stands for anything. Where a pattern meets no name, nothing is frozen.
function parameters.freeze(model, globs) return set_trainable(model, globs, false) end
function parameters.unfreeze(model, globs) return set_trainable(model, globs, true) end

-- model:load(PATH[, {strict = true}]): safetensors of this program, Hugging Face's BertModel and ViTModel, or timm's ViTs; or {text = PATH,
-- vision = PATH}. strict: a file of this program holds every parameter and nothing else; a file of one encoder all of that encoder's. Shapes
-- must be equal always, but for positions (vbl.models.weights). Nothing is changed when anything is wrong. Returns the report:
-- {matched, missing = {names}, unexpected = {names}, differences, unused, notes, text}.
function parameters.load(model, path, opts)
  local weights = require "vbl.models.weights"
  model.loaded = weights.load(model, weights.open(path), {strict = not opts or opts.strict ~= false})
  for _, note in ipairs(dist.first() and model.loaded.notes or {}) do io.stderr:write("vbl: ", note, "\n") end
  return model.loaded
end

-- The file says what it is: its metadata holds the model's config, so that vbl.models.vilbert{weights = PATH} makes the same model.
function parameters.metadata(model)
  local config = {}
  for key, value in pairs(model.config) do
    if key ~= "weights" and key ~= "preset" and key ~= "placement" then config[key] = value end
  end
  return {format = "pt", vilbert = require("vbl.store.c").json_encode(config)}
end

function parameters.save(model, path)
  local tensors, names = {}, {}
  for i, p in ipairs(model.list) do tensors[p.name], names[i] = p.tensor, p.name end
  vbl.save(path, tensors, {names = names, metadata = parameters.metadata(model)})
end

return parameters

-- What every model does with its parameters: count, freeze by name pattern, load and save safetensors.
local vbl = require "vbl"
local taps = require "vbl.models.taps"
local nearest = require "vbl.nearest"

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
  for _, glob in ipairs(type(globs) == "table" and globs or {globs}) do
    local any, pattern = false, taps.pattern(glob)
    for _, p in ipairs(model.list) do
      if p.name:match(pattern) then
        p.tensor:requires_grad_(on)
        any = true
      end
    end
    if not any then
      local names = {}
      for i, p in ipairs(model.list) do names[i] = p.name end
      error(string.format("freeze: no parameter is named '%s'%s", glob, nearest.hint(glob, names)), 0)
    end
  end
  return model
end

-- model:freeze{"bert.*", "vit.blocks.0.*"}: no gradient, no update. * stands for anything.
function parameters.freeze(model, globs) return set_trainable(model, globs, false) end
function parameters.unfreeze(model, globs) return set_trainable(model, globs, true) end

local function list_some(names)
  table.sort(names)
  local shown = table.concat(names, ", ", 1, math.min(4, #names))
  return #names > 4 and string.format("%s and %d more", shown, #names - 4) or shown
end

-- Copies the tensors of a safetensors file (PATH) into the parameters of the same names. strict (default true): every parameter
-- must be in the file and every tensor of the file must have a parameter. Shapes must be equal always.
-- Returns {missing = {names}, unexpected = {names}}.
function parameters.load(model, path, opts)
  local file = vbl.load(path)
  local missing, unexpected = {}, {}
  for _, p in ipairs(model.list) do
    local source = file[p.name]
    if not source then
      missing[#missing + 1] = p.name
    else
      local got, want = table.concat(source:shape(), ", "), table.concat(p.tensor:shape(), ", ")
      if got ~= want then error(string.format("%s: %s: expected [%s], got [%s]", path, p.name, want, got), 2) end
    end
  end
  for name in pairs(file) do
    if not model.list[name] then unexpected[#unexpected + 1] = name end
  end
  if not opts or opts.strict ~= false then
    if #missing > 0 then error(string.format("%s lacks %d tensors of this model: %s (strict = false takes what is there)", path, #missing, list_some(missing)), 2) end
    if #unexpected > 0 then error(string.format("%s holds %d tensors that this model has not: %s (strict = false leaves them)", path, #unexpected, list_some(unexpected)), 2) end
  end
  vbl.no_grad(function()
    for _, p in ipairs(model.list) do
      if file[p.name] then p.tensor:copy_(file[p.name]) end
    end
  end)
  return {missing = missing, unexpected = unexpected}
end

function parameters.save(model, path)
  local tensors = {}
  for i, p in ipairs(model.list) do tensors[i] = {name = p.name, tensor = p.tensor} end
  vbl.save(path, tensors)
end

return parameters

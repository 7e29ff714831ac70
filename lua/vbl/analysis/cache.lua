-- The features of a probe set, as vbl.analysis.features makes them: in memory, or as one .safetensors file.
--   features.n, .layers = {{name, text = tap, vision = tap, coattention}}, .partners, .ids (images), .lengths (of the captions),
--   .groups (the number of each pair's image, where several pairs show one; else nil)
--   features:get(partner, i, stream, pool) -> tensor     layer i from 1; stream "text" or "vision"; pool "cls" [n,D], "mean" [n,D]
--                                                        (of the words between [CLS] and [SEP]; of the patches) or "tokens" [n,T,D]
--   features:pairs(partner[, pool = "cls"]) -> one {name, coattention, text, vision, max_sim_tp, max_sim_pt} a layer
--   features:coattention() -> numbers of the co-attending layers, from 0   features:shade()
--   cache.save(path, features)  cache.load(path)
local c = require "vbl.store.c"
local sheet = require "vbl.analysis.sheet"
local store = require "vbl.store"

local cache = {}

local Features = {}
Features.__index = Features

function cache.key(partner, layer, name) return partner .. "/" .. layer .. "/" .. name end

function cache.new(made) return setmetatable(made, Features) end

function Features:get(partner, i, stream, pool)
  pool = pool or "cls"
  local layer = self.layers[i] or error(("features: no layer %s; there are 1 to %d"):format(tostring(i), #self.layers), 2)
  local tensor = self.tensors[cache.key(partner, layer.name, stream .. "." .. pool)]
  if tensor then return tensor end
  if not self.max_sim[partner] then
    error(("features: partner '%s' is not in them (they have %s)"):format(partner, table.concat(self.partners, ", ")), 2)
  end
  error(("features: %s of the %s stream are not in them (tokens = true keeps token rows)"):format(pool, stream), 2)
end

function Features:pairs(partner, pool)
  local list = {}
  for i, layer in ipairs(self.layers) do
    local max_sim = self.max_sim[partner] and self.max_sim[partner][i] or {}
    list[i] = {name = layer.name, coattention = layer.coattention, text = self:get(partner, i, "text", pool or "cls"),
               vision = self:get(partner, i, "vision", pool or "cls"), max_sim_tp = max_sim[1], max_sim_pt = max_sim[2]}
  end
  return list
end

function Features:coattention()
  local list = {}
  for i, layer in ipairs(self.layers) do
    if layer.coattention then list[#list + 1] = i - 1 end
  end
  return list
end

-- Their stretches on an axis of layers, for vbl.plot.
function Features:shade()
  local list = {}
  for i, layer in ipairs(self:coattention()) do list[i] = {layer - 0.5, layer + 0.5} end
  return list
end

function Features:__tostring()
  return ("features of %d pairs, %d layers, %s"):format(self.n, #self.layers, table.concat(self.partners, " and "))
end

local described = {"n", "layers", "partners", "ids", "lengths", "groups", "max_sim"}

function cache.save(path, features)
  local about = {}
  for _, key in ipairs(described) do about[key] = features[key] end
  sheet.make_folder(path)
  store.save(path, features.tensors, {metadata = {vbl_features = c.json_encode(about, {nan = "string"})}})
end

function cache.load(path)
  local tensors, _, metadata = store.load(path)
  if type(metadata) ~= "table" or not metadata.vbl_features then
    error(("%s: no features of vbl.analysis (its metadata lack 'vbl_features')"):format(path), 2)
  end
  local made = c.json_decode(metadata.vbl_features, {where = path, nan = "string"})
  made.tensors = tensors
  return cache.new(made)
end

return cache

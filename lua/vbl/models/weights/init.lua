-- Pretrained weights: safetensors of Hugging Face's BertModel and ViTModel, of timm's ViTs, and of this program.
--   weights.open(spec) -> found     spec: PATH, or {text = PATH, vision = PATH}: a file, an index or a folder each. Headers only.
--   found:config(given) -> the given config with the sizes that the files' configs say; a key that contradicts them is an error
--   found.preprocess, found.vocabulary     of the images (or nil); the tokenizer's file (or nil)
--   weights.load(model, found, {strict = true, whole = true}) -> report {matched, missing, unexpected, differences, unused, notes, paths, files,
--     encoders_lack = names of both encoders' parameters that no file gave, text}
-- All is checked before anything is copied. strict: the encoders that the files speak of must be whole, and every tensor of a file must have
-- its place (or be known to have none, as a classifier). whole: every parameter of the model must be there.
local match = require "vbl.models.weights.match"
local merged = require "vbl.merged"
local names = require "vbl.models.weights.names"
local nearest = require "vbl.nearest"
local notes = require "vbl.models.weights.notes"
local positions = require "vbl.models.weights.positions"
local preprocess = require "vbl.models.weights.preprocess"
local report = require "vbl.models.weights.report"
local sizes = require "vbl.models.weights.sizes"
local source = require "vbl.models.weights.source"
local vbl = require "vbl"

local weights = {}

local Found = {}
Found.__index = Found

-- Of a file of this program, only what belongs to the wanted stream.
local stream_keys = {
  text = {dim = true, layers = true, attention_heads = true, mlp = true, vocab = true, max_positions = true, text_eps = true, text_norm = true},
  vision = {dim = true, layers = true, attention_heads = true, mlp = true, image = true, patch = true, vision_eps = true, mean = true, std = true,
            crop = true, crop_pct = true, interpolation = true},
}

local function wanted_sizes(part)
  local s, want = {}, part.want
  for key, value in pairs(part.sizes or {}) do
    if want.rest or want.text and stream_keys.text[key] or want.vision and stream_keys.vision[key] then s[key] = value end
  end
  return s
end

-- A config that says more than its file holds would make a model of any size, before a tensor is looked at.
local function check_sizes(part)
  local held = sizes.of_shapes(part.src, part.families)
  for _, name in ipairs {"dim", "layers", "mlp", "vocab", "max_positions"} do
    local says = part.sizes and part.sizes[name]
    if math.type(says) == "integer" and held[name] and says > held[name] and held[name] > 0 then
      error(("%s: its config says %s = %d and its tensors %d"):format(part.src.path, name, says, held[name]), 0)
    end
  end
end

local function open_part(path, want, key)
  local src = source.open(path)
  local ok, families = pcall(names.families, src.shapes)
  if not ok then error(("%s: %s"):format(src.path, families), 0) end
  if families.timm and families.hf_vit then error(src.path .. ": holds a ViT in timm's names and one in Hugging Face's; which one is meant?", 0) end
  local has = {text = families.bert, vision = families.timm or families.hf_vit}
  if not has.text and not has.vision then
    error(("%s: neither a BERT (embeddings.word_embeddings.weight) nor a ViT (patch_embed.proj.weight) is in it"):format(src.path), 0)
  end
  if key and not has[key] then error(("%s: given as %s weights, and holds none (%s)"):format(src.path, key, key == "text" and "no BERT" or "no ViT"), 0) end
  local part = {src = src, families = families, want = want}
  part.sizes = sizes.of_config(src, families)
  check_sizes(part)
  part.wanted = wanted_sizes(part)
  if has.vision and want.vision then part.preprocess = preprocess.of(src, families) end
  if has.text and want.text then part.vocabulary = source.beside(src, "tokenizer.json") or source.beside(src, "vocab.txt") end
  return part
end

function weights.open(spec)
  local self = setmetatable({parts = {}}, Found)
  if type(spec) == "string" then
    self.parts[1] = open_part(spec, {text = true, vision = true, rest = true})
  elseif type(spec) == "table" then
    for key, path in pairs(spec) do
      if key ~= "text" and key ~= "vision" then
        error(("weights: unknown key '%s'%s; expected a path, or {text = PATH, vision = PATH}"):format(tostring(key), nearest.hint(key, {"text", "vision"})), 0)
      end
      if type(path) ~= "string" then error(("weights.%s: expected a path, got %s"):format(key, tostring(path)), 0) end
    end
    for _, key in ipairs {"text", "vision"} do
      if spec[key] then self.parts[#self.parts + 1] = open_part(spec[key], {[key] = true}, key) end
    end
  end
  if #self.parts == 0 then error(("weights: expected a path, or {text = PATH, vision = PATH}, got %s"):format(tostring(spec)), 0) end
  for _, part in ipairs(self.parts) do
    self.preprocess = self.preprocess or part.preprocess
    self.vocabulary = self.vocabulary or part.vocabulary
  end
  return self
end

local fixed = {"dim", "layers", "attention_heads", "mlp", "patch", "vocab", "text_norm"}  -- a file's value that cannot be overridden
local fusion_keys = {"fusion", "placement", "coattention", "depth", "cross_attention_layers"}

local function agree(part, other, s, merged)
  for _, key in ipairs(fixed) do
    if s[key] ~= nil and merged[key] ~= nil and merged[key] ~= s[key] then
      error(("weights: %s says %s = %s and %s says %s; both streams of this model have the same"):format(other.src.path, key, tostring(merged[key]), part.src.path,
                                                                                                       tostring(s[key])), 0)
    end
  end
end

function Found:sizes()
  local merged, from = {}, {}
  for i, part in ipairs(self.parts) do
    if i > 1 then agree(part, self.parts[1], part.wanted, merged) end
    for key, value in pairs(part.wanted) do merged[key], from[key] = value, part.src end
  end
  return merged, from
end

function Found:config(given)
  local s, from = self:sizes()
  local c = merged(given)
  for _, key in ipairs(fixed) do
    if c[key] ~= nil and s[key] ~= nil and c[key] ~= s[key] then
      error(("weights: %s has %s = %s, and the model's config says %s: set %s = %s or leave the key out"):format(
        from[key].path, key, tostring(s[key]), tostring(c[key]), key, tostring(s[key])), 0)
    end
  end
  if c.max_positions and s.max_positions and c.max_positions > s.max_positions then
    error(("weights: %s has %d text positions, and max_positions = %d asks for more; at most %d"):format(from.max_positions.path, s.max_positions,
                                                                                                      c.max_positions, s.max_positions), 0)
  end
  for _, key in ipairs(fusion_keys) do
    if given[key] ~= nil then
      for _, other in ipairs(fusion_keys) do s[other] = nil end
    end
  end
  for _, key in ipairs(preprocess.keys) do s[key] = self.preprocess and self.preprocess[key] or s[key] end
  for key, value in pairs(s) do
    if c[key] == nil then c[key] = value end
  end
  return c
end

-- Parameters that may be missing: no forward uses them, or the model adds them to what files have.
local function optional(name) return name:find "^bert%.pooler%." or name == "vit.mask_token" end

-- The keys by which the model's sizes differ from what the shapes say: "dim = 384, layers = 6 (this model has 128, 4)".
local function size_hint(model, found)
  local list, ours = {}, {}
  for _, part in ipairs(found.parts) do
    local s = sizes.of_shapes(part.src, part.families)
    for _, key in ipairs {"dim", "layers", "mlp", "vocab", "max_positions", "patch"} do
      if s[key] and s[key] ~= model.config[key] and not (key == "max_positions" and s[key] > model.config[key]) then
        list[#list + 1], ours[#ours + 1] = ("%s = %d"):format(key, s[key]), tostring(model.config[key])
      end
    end
  end
  if #list == 0 then return "" end
  local vocab = table.concat(list, " "):find "vocab" and found.vocabulary
  return ("\n  set %s for these weights (the model has %s); attention_heads cannot be told from shapes%s"):format(
    table.concat(list, ", "), table.concat(ours, ", "), vocab and ("\n  the data's vocabulary must be theirs: vocabulary = \"" .. vocab .. "\"") or "")
end

local function covered(found)
  local parts = {}
  for _, part in ipairs(found.parts) do
    if part.families.bert and part.want.text then parts.bert = true end
    if (part.families.timm or part.families.hf_vit) and part.want.vision then parts.vit = true end
    if part.families.vilbert and part.want.rest then
      for name in pairs(part.src.shapes) do
        if name:find "^fusion%." then parts.fusion = true end
      end
    end
  end
  return parts
end

local function adapt(target, tensor, p, model, r)
  if match.same(tensor:shape(), p:shape()) then return tensor end
  if target == "vit.pos_embed" then
    local side = model.config.image // model.config.patch
    r.notes[#r.notes + 1] = ("vit.pos_embed: resampled from %s to %s (bicubic)"):format(match.text_of(tensor:shape()), match.text_of(p:shape()))
    return positions.image(tensor, side)
  end
  r.notes[#r.notes + 1] = ("text positions: the first %d of the file's %d"):format(p:size(1), tensor:size(1))
  return positions.text(tensor, p:size(1))
end

local function read_part(model, src, taken, r)
  local set, ready = {}, {}
  for _, parts in pairs(taken) do
    for _, name in ipairs(parts) do set[name] = true end
  end
  local tensors = source.read(src, set)
  for name, tensor in pairs(tensors) do
    local sum = tensor:to("f32"):sum():item()
    if sum ~= sum or math.abs(sum) == math.huge then error(("%s: tensor '%s' holds NaN or infinities"):format(src.path, name), 0) end
  end
  for target, parts in pairs(taken) do
    local list = {}
    for i, name in ipairs(parts) do list[i] = tensors[name]:to("f32") end
    ready[target] = adapt(target, #list == 1 and list[1] or vbl.cat(list, 1), model.list[target], model, r)
  end
  return ready
end

-- A single stream's image rows carry a type, and its layers have seen words: what shapes do not tell.
local function check_streams(model, found)
  for _, part in ipairs(found.parts) do
    local theirs = part.families.vilbert and part.sizes and part.sizes.fusion
    if theirs == "single_stream" and model.config.fusion ~= "single_stream" then
      error(("weights: %s is of a single stream, whose layers read words and patches together: no stream of fusion = \"%s\" computes what they did"):format(
        part.src.path, model.config.fusion), 0)
    end
  end
end

-- Shapes do not tell the number of heads, and another one computes something else without a word.
local function check_heads(model, found)
  for _, part in ipairs(found.parts) do
    local heads = part.wanted.attention_heads
    if heads and heads ~= model.config.attention_heads then
      error(("weights: %s has attention_heads = %d, this model %d: set attention_heads = %d"):format(part.src.path, heads, model.config.attention_heads, heads), 0)
    end
  end
end

-- The parameters that no file gave: those that were to be there into r.missing, those of the encoders into r.encoders_lack. have: set of those that
-- files have, whatever their shapes.
local function note_missing(model, found, have, r)
  local scope = covered(found)
  local own = #found.parts == 1 and found.parts[1].families.vilbert
  for _, p in ipairs(model.list) do
    if not have[p.name] then
      local needed = own and r.whole or scope[p.name:match "^[^.]+"] and not optional(p.name)
      if needed then r.missing[#r.missing + 1] = p.name end
      local encoder = p.name:find "^bert%." or p.name:find "^vit%."
      if encoder and not optional(p.name) then r.encoders_lack[#r.encoders_lack + 1] = p.name end
    end
  end
end

-- What each part of the files gives, {{parameter -> names in the file}, ...}; the rest into the report.
local function plan_parts(model, found, r)
  local taken, have = {}, {}
  for i, part in ipairs(found.parts) do
    r.paths[i] = part.src.path
    for _, file in ipairs(source.files(part.src)) do r.files[#r.files + 1] = file end
    local ok, plan = pcall(names.plan, part.src.shapes, part.families, part.want)
    if not ok then error(("%s: %s"):format(part.src.path, plan), 0) end
    for name, why in pairs(plan.unused) do r.unused[name] = why end
    for _, name in ipairs(plan.unexpected) do r.unexpected[#r.unexpected + 1] = name end
    taken[i] = match.compare(model, part, plan, r)
    for target in pairs(plan.targets) do have[target] = true end
    for _ in pairs(taken[i]) do r.matched = r.matched + 1 end
  end
  note_missing(model, found, have, r)
  table.sort(r.unexpected)
  table.sort(r.differences)
  return taken
end

local function refuse(model, found, r, strict)
  local hint = strict and #r.differences == 0 and r.matched > 0 and "\n  strict = false takes what matches" or ""
  error(report.text(r) .. size_hint(model, found) .. hint .. "\n  nothing was loaded", 0)
end

function weights.load(model, found, opts)
  check_streams(model, found)
  local strict = opts.strict ~= false
  local r = {whole = opts.whole ~= false, matched = 0, missing = {}, encoders_lack = {}, unexpected = {}, differences = {}, unused = {}, paths = {},
             files = {}, notes = notes.of(found, model)}
  local taken, ready = plan_parts(model, found, r), {}
  if #r.differences > 0 or r.matched == 0 or strict and (#r.missing > 0 or #r.unexpected > 0) then refuse(model, found, r, strict) end
  check_heads(model, found)
  for i, part in ipairs(found.parts) do ready[i] = read_part(model, part.src, taken[i], r) end
  vbl.no_grad(function()
    for _, tensors in ipairs(ready) do
      for target, tensor in pairs(tensors) do model.list[target]:copy_(tensor) end
    end
  end)
  r.text = report.text(r)
  return r
end

return weights

-- Pretrained weights: safetensors of Hugging Face's BertModel and ViTModel, of timm's ViTs, and of this program.
--   weights.open(spec) -> found     spec: PATH, or {text = PATH, vision = PATH}: a file, an index or a folder each. Headers only.
--   found:config(given) -> the given config with the sizes that the files' configs say; a key that contradicts them is an error
--   found.preprocess, found.vocabulary     of the images (or nil); the tokenizer's file (or nil)
--   weights.load(model, found, {strict = true, whole = true}) -> report: {matched, missing, unexpected, differences, unused, notes, paths, files, encoders_lack, text}
-- All is checked before anything is copied. strict: the encoders that the files speak of must be whole, and every tensor of a file must have
-- its place (or be known to have none, as a classifier). whole: every parameter of the model must be there. encoders_lack: names of both encoders'
-- parameters that no file gave.
local names = require "vbl.models.weights.names"
local nearest = require "vbl.nearest"
local positions = require "vbl.models.weights.positions"
local preprocess = require "vbl.models.weights.preprocess"
local report = require "vbl.models.weights.report"
local sorted_keys = require "vbl.sorted_keys"
local sizes = require "vbl.models.weights.sizes"
local source = require "vbl.models.weights.source"
local vbl = require "vbl"

local weights = {}

local Found = {}
Found.__index = Found

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

-- Of a file of this program, only what belongs to the wanted stream.
local stream_keys = {
  text = {dim = true, layers = true, attention_heads = true, mlp = true, vocab = true, max_positions = true, text_eps = true, text_norm = true},
  vision = {dim = true, layers = true, attention_heads = true, mlp = true, image = true, patch = true, vision_eps = true, mean = true, std = true,
            crop = true, crop_pct = true, interpolation = true},
}
local fixed = {"dim", "layers", "attention_heads", "mlp", "patch", "vocab", "text_norm"}  -- a file's value that cannot be overridden
local fusion_keys = {"fusion", "placement", "coattention", "depth", "cross_attention_layers"}

local function wanted_sizes(part)
  local s, want = {}, part.want
  for key, value in pairs(part.sizes or {}) do
    if want.rest or want.text and stream_keys.text[key] or want.vision and stream_keys.vision[key] then s[key] = value end
  end
  return s
end

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
    local s = wanted_sizes(part)
    if i > 1 then agree(part, self.parts[1], s, merged) end
    for key, value in pairs(s) do merged[key], from[key] = value, part.src end
  end
  return merged, from
end

function Found:config(given)
  local s, from = self:sizes()
  local c = {}
  for key, value in pairs(given) do c[key] = value end
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

local function list_text(list) return "{" .. table.concat(list or {}, ", ") .. "}" end

-- Blocks go by their numbers: those that were trained elsewhere do something else where they are now, and every shape fits.
local function moved_blocks(part, c)
  local theirs = part.want.rest and part.families.vilbert and part.sizes
  if not theirs or theirs.fusion ~= c.fusion then return nil end
  local had, have
  if c.fusion == "interleaved" then
    local a, b = theirs.coattention or {}, c.coattention
    if #b.text == 0 then return nil end
    had, have = ("text %s, vision %s"):format(list_text(a.text), list_text(a.vision)), ("text %s, vision %s"):format(list_text(b.text), list_text(b.vision))
  elseif c.fusion == "stacked" then
    had, have = list_text(theirs.cross_attention_layers), list_text(c.cross_attention_layers)
  end
  if had == have then return nil end
  return ("the fusion's blocks attended across at %s when they were trained, here at %s; they go by their numbers all the same"):format(had, have)
end

-- What was taken as read, for the user's eyes.
local function notes_of(found, model)
  local notes = {}
  for i, part in ipairs(found.parts) do
    local p = part.preprocess
    if not part.sizes and not (i > 1 and part.src.path == found.parts[1].src.path) then notes[#notes + 1] = ("%s: no config beside it: sizes, heads and eps are the model's own"):format(part.src.path) end
    if p and not p.from then
      notes[#notes + 1] = ("%s: no pretrained_cfg or preprocessor_config.json beside it: pixels with mean 0.5, std 0.5, crop_pct 0.9, as timm's augreg ViTs; set them where it wants others"):format(part.src.path)
    elseif p then
      notes[#notes + 1] = ("pixels with mean {%.4g, %.4g, %.4g}, std {%.4g, %.4g, %.4g}, from %s"):format(p.mean[1], p.mean[2], p.mean[3], p.std[1], p.std[2], p.std[3], p.from)
      notes[#notes + 1] = ("images with crop %s, crop_pct %.4g, %s resizing, from %s"):format(p.crop, p.crop_pct, p.interpolation or "bicubic", p.from)
      if p.other_interpolation then notes[#notes + 1] = ("%s: trained on %s resizing; here it is bicubic"):format(p.from, p.other_interpolation) end
    end
    notes[#notes + 1] = moved_blocks(part, model.config)
    for k = 1, p and 3 or 0 do
      if math.abs(p.mean[k] - model.config.mean[k]) > 1e-6 or math.abs(p.std[k] - model.config.std[k]) > 1e-6 then
        notes[#notes + 1] = "the model's mean and std are others than the weights want"
        break
      end
    end
    for _, key in ipairs {"text_eps", "vision_eps"} do
      local want = wanted_sizes(part)[key]
      if want and want ~= model.config[key] then notes[#notes + 1] = ("%s is %g, the weights want %g"):format(key, model.config[key], want) end
    end
  end
  return notes
end

-- Parameters that may be missing: no forward uses them, or the model adds them to what files have.
local function optional(name) return name:find "^bert%.pooler%." or name == "vit.mask_token" end

local function same(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

local function first_names(list) return table.concat(list, ", ", 1, math.min(#list, 3)) .. (#list > 3 and (", ... (%d)"):format(#list) or "") end

local function text_of(shape) return "[" .. table.concat(shape, ", ") .. "]" end

-- Whether the shape becomes the parameter's by taking fewer text positions or resampling the image's.
local function adapts(target, got, want)
  if target == "bert.embeddings.position_embeddings.weight" then return got[2] == want[2] and got[1] > want[1] end
  if target ~= "vit.pos_embed" or #got ~= 3 or got[3] ~= want[3] then return false end
  local side = math.floor((got[2] - 1) ^ 0.5 + 0.5)
  return side >= 1 and side * side == got[2] - 1
end

-- The shape that the parts have when they are joined along the first dim.
local function joined_shape(src, parts)
  local shape = {table.unpack(src.shapes[parts[1]].shape)}
  for i = 2, #parts do shape[1] = (shape[1] or 0) + (src.shapes[parts[i]].shape[1] or 0) end
  return shape
end

local floats = {f32 = true, f64 = true, f16 = true, bf16 = true}

-- Parts that a model may leave out whole: why a file's tensor for one has no place; nil where it should have one.
local function left_out(model, target)
  for _, row in ipairs {{"heads.", "the model has no such head"}, {"classifier.", "the model has no classifier"}, {"fusion.", "the model has no fusion"},
                        {"bert.encoder.", "the model's text has no layers of its own"}, {"mix.", "of the training, which weighted its tasks by it"}} do
    if target:sub(1, #row[1]) == row[1] then
      for _, p in ipairs(model.list) do
        if row[1] ~= "heads." and p.name:sub(1, #row[1]) == row[1] then return nil end
      end
      return row[2]
    end
  end
end

-- A parameter that a script gave its model beside the built-in parts; this one has none of that name's first word.
local function of_another(model, target)
  local first = target:match "^[^.]+"
  for _, p in ipairs(model.list) do
    if p.name:match "^[^.]+" == first then return nil end
  end
  return "of a part that a script gave its model, and this one has not"
end

-- Why the file's classifier is not this model's, {target -> note}; {} where it is, or is not looked for. It is taken whole or not at all: an output of
-- another class would answer for this one.
local function other_classifier(model, part, plan, r)
  local notes = {}
  if r.whole or not model.config.classifier then return notes end
  for target, parts in pairs(plan.targets) do
    local p = target:find "^classifier%." and model.list[target]
    local got = p and joined_shape(part.src, parts)
    if p and not same(got, p:shape()) then notes[target] = ("%s: the file's is %s, of another task; the model's stays as it was made"):format(target, text_of(got)) end
  end
  local theirs = part.families.vilbert and (sizes.of_config(part.src, part.families) or {}).classifier
  local ours, other = model.config.classifier.classes, theirs and theirs.classes
  if plan.targets["classifier.fc2.weight"] and ours and other and not same(ours, other) then
    notes["classifier.fc2.weight"] = ("classifier: the file's has the classes %s, this one %s; it stays as it was made"):format(first_names(other), first_names(ours))
  end
  return notes
end

local function compare(model, part, plan, r)
  local taken, used = {}, {}
  local notes = other_classifier(model, part, plan, r)
  for target, parts in pairs(plan.targets) do
    for _, name in ipairs(model.list[target] and parts or {}) do used[name] = true end
  end
  for target, parts in pairs(plan.targets) do
    local p = model.list[target]
    if not p then
      local why = left_out(model, target) or part.families.vilbert and of_another(model, target)
      if why then
        -- A tied head is made of word embeddings, which have a place of their own.
        for _, name in ipairs(parts) do r.unused[name] = r.unused[name] or not used[name] and why or nil end
      else
        for _, name in ipairs(parts) do r.unexpected[#r.unexpected + 1] = name end
      end
    else
      local got, want = joined_shape(part.src, parts), p:shape()
      for _, name in ipairs(parts) do
        if not floats[part.src.shapes[name].dtype] then
          r.differences[#r.differences + 1] = ("%s: expected floats, got %s"):format(name, part.src.shapes[name].dtype)
        end
      end
      if not same(got, want) and not adapts(target, got, want) then
        if target:find "^heads%.mlm%." and not part.families.vilbert then
          r.notes[#r.notes + 1] = ("%s: the file's MLM head is %s; the model's stays as it was made"):format(target, text_of(got))
        elseif not notes[target] then
          r.differences[#r.differences + 1] = ("%s: expected %s, got %s"):format(target, text_of(want), text_of(got))
        end
      elseif not (next(notes) and target:find "^classifier%.") then
        taken[target] = parts
      end
    end
  end
  for _, target in ipairs(sorted_keys(notes)) do r.notes[#r.notes + 1] = notes[target] end
  return taken
end

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
  if same(tensor:shape(), p:shape()) then return tensor end
  if target == "vit.pos_embed" then
    local side = model.config.image // model.config.patch
    r.notes[#r.notes + 1] = ("vit.pos_embed: resampled from %s to %s (bicubic)"):format(text_of(tensor:shape()), text_of(p:shape()))
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
    local heads = wanted_sizes(part).attention_heads
    if heads and heads ~= model.config.attention_heads then
      error(("weights: %s has attention_heads = %d, this model %d: set attention_heads = %d"):format(part.src.path, heads, model.config.attention_heads, heads), 0)
    end
  end
end

function weights.load(model, found, opts)
  check_streams(model, found)
  local strict, whole = opts.strict ~= false, opts.whole ~= false
  local r = {whole = whole, matched = 0, missing = {}, encoders_lack = {}, unexpected = {}, differences = {}, unused = {}, paths = {}, files = {}, notes = notes_of(found, model)}
  local taken, have = {}, {}
  for i, part in ipairs(found.parts) do
    r.paths[i] = part.src.path
    for _, file in ipairs(source.files(part.src)) do r.files[#r.files + 1] = file end
    local ok, plan = pcall(names.plan, part.src.shapes, part.families, part.want)
    if not ok then error(("%s: %s"):format(part.src.path, plan), 0) end
    for name, why in pairs(plan.unused) do r.unused[name] = why end
    for _, name in ipairs(plan.unexpected) do r.unexpected[#r.unexpected + 1] = name end
    taken[i] = compare(model, part, plan, r)
    for target in pairs(plan.targets) do have[target] = true end
    for _ in pairs(taken[i]) do r.matched = r.matched + 1 end
  end
  local scope = covered(found)
  local own = #found.parts == 1 and found.parts[1].families.vilbert
  for _, p in ipairs(model.list) do
    local in_scope = own and whole or scope[p.name:match "^[^.]+"] and not optional(p.name)
    if in_scope and not have[p.name] then r.missing[#r.missing + 1] = p.name end
    local encoder = p.name:find "^bert%." or p.name:find "^vit%."
    if encoder and not have[p.name] and not optional(p.name) then r.encoders_lack[#r.encoders_lack + 1] = p.name end
  end
  table.sort(r.unexpected)
  table.sort(r.differences)
  if #r.differences > 0 or r.matched == 0 or strict and (#r.missing > 0 or #r.unexpected > 0) then
    local hint = strict and #r.differences == 0 and r.matched > 0 and "\n  strict = false takes what matches" or ""
    error(report.text(r) .. size_hint(model, found) .. hint .. "\n  nothing was loaded", 0)
  end
  check_heads(model, found)
  local ready = {}
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

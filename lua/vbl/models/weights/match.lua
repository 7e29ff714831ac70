-- Which tensors of a file become which parameters of a model.
--   match.compare(model, part, plan, r) -> {parameter -> names in the file}      part: of vbl.models.weights.open, plan: of vbl.models.weights.names; what
--     is found besides goes into the report r: unused, unexpected, differences, notes
--   match.same(shape, shape) -> boolean      match.text_of(shape) -> "[768, 3072]"
local sizes = require "vbl.models.weights.sizes"
local sorted_keys = require "vbl.sorted_keys"

local match = {}

function match.same(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

local function first_names(list) return table.concat(list, ", ", 1, math.min(#list, 3)) .. (#list > 3 and (", ... (%d)"):format(#list) or "") end

function match.text_of(shape) return "[" .. table.concat(shape, ", ") .. "]" end

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
    if p and not match.same(got, p:shape()) then
      notes[target] = ("%s: the file's is %s, of another task; the model's stays as it was made"):format(target, match.text_of(got))
    end
  end
  local theirs = part.families.vilbert and (sizes.of_config(part.src, part.families) or {}).classifier
  local ours, other = model.config.classifier.classes, theirs and theirs.classes
  if plan.targets["classifier.fc2.weight"] and ours and type(other) == "table" and not match.same(ours, other) then
    notes["classifier.fc2.weight"] = ("classifier: the file's has the classes %s, this one %s; it stays as it was made"):format(first_names(other), first_names(ours))
  end
  return notes
end

-- A file's tensors for a parameter that the model has not.
local function without_place(model, part, target, parts, used, r)
  local why = left_out(model, target) or part.families.vilbert and of_another(model, target)
  for _, name in ipairs(parts) do
    -- A tied head is made of the word embeddings, which have a place of their own.
    if why then r.unused[name] = r.unused[name] or not used[name] and why or nil else r.unexpected[#r.unexpected + 1] = name end
  end
end

local function check_floats(part, parts, r)
  for _, name in ipairs(parts) do
    local dtype = part.src.shapes[name].dtype
    if not floats[dtype] then r.differences[#r.differences + 1] = ("%s: expected floats, got %s"):format(name, dtype) end
  end
end

-- The names in the file that become a parameter of the model, as a set.
local function used_names(model, plan)
  local used = {}
  for target, parts in pairs(plan.targets) do
    for _, name in ipairs(model.list[target] and parts or {}) do used[name] = true end
  end
  return used
end

function match.compare(model, part, plan, r)
  local taken, used, notes = {}, used_names(model, plan), other_classifier(model, part, plan, r)
  for target, parts in pairs(plan.targets) do
    local p = model.list[target]
    local got, want = p and joined_shape(part.src, parts), p and p:shape()
    if p then check_floats(part, parts, r) else without_place(model, part, target, parts, used, r) end
    if p and (match.same(got, want) or adapts(target, got, want)) then
      local other = next(notes) and target:find "^classifier%."
      taken[target] = not other and parts or nil
    elseif p and target:find "^heads%.mlm%." and not part.families.vilbert then
      r.notes[#r.notes + 1] = ("%s: the file's MLM head is %s; the model's stays as it was made"):format(target, match.text_of(got))
    elseif p and not notes[target] then
      r.differences[#r.differences + 1] = ("%s: expected %s, got %s"):format(target, match.text_of(want), match.text_of(got))
    end
  end
  for _, target in ipairs(sorted_keys(notes)) do r.notes[#r.notes + 1] = notes[target] end
  return taken
end

return match

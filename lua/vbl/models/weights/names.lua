-- The names of the field's files and the parameters that they are here.
--   names.families(shapes) -> {bert = prefix, timm = prefix, hf_vit = prefix, vilbert = true}, of what the file holds
--   names.plan(shapes, families, want) -> {targets = {parameter -> {names of the file, 1 or 3 (joined along the first dim)}},
--     unused = {name -> why}, unexpected = {name, ...}}      want: {text = bool, vision = bool, rest = bool}
-- Families: BertModel and what is built on it (Hugging Face), ViT as timm names it, ViTModel (Hugging Face), and the files of this
-- program, in which both stand with the fusion and the heads.
local names = {}

-- The tensors that give a family away; what stands before is its prefix ("bert.", "module.", "0.auto_model.", ...).
local marks = {
  {"bert", "embeddings.word_embeddings.weight"},
  {"hf_vit", "embeddings.patch_embeddings.projection.weight"},
  {"timm", "patch_embed.proj.weight"},
}

local function ends_with(text, tail) return text:sub(-#tail) == tail end

function names.families(shapes)
  local found = {}
  for _, mark in ipairs(marks) do
    for name in pairs(shapes) do
      if ends_with(name, mark[2]) then
        local prefix = name:sub(1, #name - #mark[2])
        if prefix == "" or prefix:sub(-1) == "." then
          if found[mark[1]] then error(("two models of one kind in the file, '%s' and '%s'"):format(found[mark[1]] .. mark[2], name), 0) end
          found[mark[1]] = prefix
        end
      end
    end
  end
  if found.bert == "bert." and found.timm == "vit." then found.vilbert = true end
  return found
end

-- What another architecture has and this one has not: loading the rest would be another model.
local foreign = {
  {"dist_token$", "a distillation token (DeiT distilled)"}, {"distillation_token$", "a distillation token (DeiT distilled)"},
  {"reg_token$", "register tokens"}, {"%.ls[12]%.gamma$", "layer scale"}, {"lambda_[12]$", "layer scale"},
  {"%.q_norm%.", "normalised queries"}, {"norm_pre%.", "a norm before the first block (CLIP)"}, {"relative_position", "relative positions"},
  {"embeddings_project", "factorised embeddings (ELECTRA)"}, {"crossattention", "a decoder's cross-attention"},
}

local function check_foreign(shapes)
  for name in pairs(shapes) do
    for _, row in ipairs(foreign) do
      if name:find(row[1]) then error(("the file's '%s': %s, which this model has not"):format(name, row[2]), 0) end
    end
  end
end

-- Parameters of the file that no forward here uses, by the name without the prefix.
local unused = {
  bert = {{"^pooler%.", nil}, {"^embeddings%.position_ids$", "a buffer, no weight"}, {"^embeddings%.token_type_ids$", "a buffer, no weight"}},
  timm = {{"^head%.", "its classifier"}, {"^fc_norm%.", "its classifier's norm"}, {"^pre_logits%.", "its classifier"}},
  hf_vit = {{"^pooler%.", "its pooler"}, {"^embeddings%.mask_token$", "its mask token"}},
}
-- ... and beside the prefix.
local heads = {{"^cls%.predictions%.transform%.", "the MLM head here has no transform"}, {"^cls%.", "its head"}, {"^classifier%.", "its classifier"},
               {"^decoder%.", "its head"}, {"^qa_outputs%.", "its head"}, {"^lm_head%.", "its head"}}

local function reason(list, name)
  for _, row in ipairs(list) do
    if name:find(row[1]) and row[2] then return row[2] end
  end
end

local rename = {}

function rename.bert(name) return {"bert." .. name:gsub("LayerNorm%.gamma$", "LayerNorm.weight"):gsub("LayerNorm%.beta$", "LayerNorm.bias")} end

function rename.timm(name) return {"vit." .. name} end

local hf_vit = {
  ["embeddings.cls_token"] = "cls_token", ["embeddings.position_embeddings"] = "pos_embed",
  ["embeddings.patch_embeddings.projection.weight"] = "patch_embed.proj.weight",
  ["embeddings.patch_embeddings.projection.bias"] = "patch_embed.proj.bias", ["layernorm.weight"] = "norm.weight", ["layernorm.bias"] = "norm.bias",
}
local hf_block = {["attention.output.dense"] = "attn.proj", ["intermediate.dense"] = "mlp.fc1", ["output.dense"] = "mlp.fc2",
                  layernorm_before = "norm1", layernorm_after = "norm2"}
local third = {query = 1, key = 2, value = 3}

-- A second result: which third of the joined query, key and value it is.
function rename.hf_vit(name)
  if hf_vit[name] then return {"vit." .. hf_vit[name]} end
  local i, rest, kind = name:match "^encoder%.layer%.(%d+)%.(.+)%.(%a+)$"
  if not i then return {} end
  local which = rest:match "^attention%.attention%.(%a+)$"
  if which and third[which] then return {("vit.blocks.%s.attn.qkv.%s"):format(i, kind), third[which]} end
  return hf_block[rest] and {("vit.blocks.%s.%s.%s"):format(i, hf_block[rest], kind)} or {}
end

-- The MLM head: the decoder where the file has one, else the word embeddings that it is tied to.
local function add_mlm(plan, shapes, prefix)
  -- Where both are there and differ, weights that are not tied, forward adds the decoder's.
  local bias = shapes["cls.predictions.decoder.bias"] and "cls.predictions.decoder.bias" or shapes["cls.predictions.bias"] and "cls.predictions.bias"
  local decoder = shapes["cls.predictions.decoder.weight"] and "cls.predictions.decoder.weight"
  if not bias then return end
  plan.targets["heads.mlm.weight"] = {decoder or prefix .. "embeddings.word_embeddings.weight"}
  plan.targets["heads.mlm.bias"] = {bias}
  plan.unused["cls.predictions.bias"], plan.unused["cls.predictions.decoder.weight"], plan.unused["cls.predictions.decoder.bias"] = nil, nil, nil
end

local function add_family(plan, shapes, family, prefix)
  for name in pairs(shapes) do
    if name:sub(1, #prefix) == prefix and not plan.seen[name] then
      local short = name:sub(#prefix + 1)
      local why = reason(unused[family], short) or prefix == "" and reason(heads, short)
      local to = not why and rename[family](short) or {}
      if why then
        plan.unused[name] = why
      elseif to[1] then
        local parts = plan.targets[to[1]] or {}
        parts[to[2] or 1] = name
        plan.targets[to[1]], plan.joined[to[1]] = parts, to[2] and true or nil
      end
      plan.seen[name] = why or to[1]
    end
  end
end

local function finish(plan, shapes, other_prefixes)
  for name in pairs(shapes) do
    if not plan.seen[name] then
      local why = reason(heads, name)
      local other = false
      for _, prefix in ipairs(other_prefixes) do other = other or name:sub(1, #prefix) == prefix end
      if why then plan.unused[name] = why elseif not other then plan.unexpected[#plan.unexpected + 1] = name end
    end
  end
  for target in pairs(plan.joined) do
    for i, which in ipairs {"query", "key", "value"} do
      if not plan.targets[target][i] then error(("the file lacks the %s of %s (a ViT without its biases?)"):format(which, target), 0) end
    end
  end
  table.sort(plan.unexpected)
  plan.seen, plan.joined = nil, nil
  return plan
end

function names.plan(shapes, families, want)
  local plan, others = {targets = {}, unused = {}, unexpected = {}, joined = {}, seen = {}}, {}
  if families.vilbert then
    for name in pairs(shapes) do
      local part = name:match "^[^.]+"
      local wanted = part == "bert" and want.text or part == "vit" and want.vision or part ~= "bert" and part ~= "vit" and want.rest
      if wanted then plan.targets[name] = {name} end
      plan.seen[name] = true
    end
    return finish(plan, shapes, others)
  end
  check_foreign(shapes)
  for family, prefix in pairs(families) do
    local wanted = family == "bert" and want.text or family ~= "bert" and want.vision
    if wanted then add_family(plan, shapes, family, prefix) else others[#others + 1] = prefix end
  end
  plan = finish(plan, shapes, others)
  if families.bert and want.text then add_mlm(plan, shapes, families.bert) end
  return plan
end

return names

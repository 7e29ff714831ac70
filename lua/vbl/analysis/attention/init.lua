-- attention(model, pair, {data=, cross = true}) -> view: who attends to whom in one image-caption pair, layer by layer and head by head.
--   pair: a batch of one, as split:batch{i} gives it; data: its data set (for words); cross = false: co-attention off, as in model:run
-- The fused kernels keep no probabilities, so the pass is done once more with attention spelled out, softmax(Q K' / sqrt(d)) V, from the same
-- queries, keys and values. The model is left as it was.
--   view.maps      {{name = "text.0", "vision.3", "fusion.1.text", ... (of one joint stream: "vision.0.text.vision"), block = "text.0", "fusion.1", ...,
--                  query = "text"|"vision", key = the same, or the other stream where it co-attends,
--                  p = f32 [H, n, m]: row i is what query i attends to, summing to 1}, ...} in the order of the pass.
--                  Text positions are the caption's own tokens ([CLS], words, [SEP]; no padding), vision positions CLS and then the patches row by row
--   view:map(name)         one of them
--   view.words             the tokens as text; view.grid = {rows, columns} of patches
--   view:entropy()         name -> list by head, vbl.measure.attention_entropy: 0 one key, 1 all alike
--   view:rollout(opts)     -> {text = f32 [n, n + m], vision = f32 [m, n + m]}: vbl.analysis.attention.flow
--   view:attribution(target) -> {text = f32 [n], vision = f32 [m], score, gradients = {[map's place] = [H, n, m]}}: which tokens and patches
--                  a logit rests on. target: vbl.analysis.attention.targets
local flow = require "vbl.analysis.attention.flow"
local nearest = require "vbl.nearest"
local targets = require "vbl.analysis.attention.targets"
local F = require "vbl.nn.functional"
local vbl = require "vbl"

local View = {}
View.__index = View

-- Columns `part` (0 queries, 1 keys, 2 values) of rows first .. first + count - 1, as [H, count, d].
local function heads_of(qkv, part, segment, H)
  local W = qkv:size(2) // 3
  local first, count = segment[1], segment[2]
  return qkv:narrow(2, part * W + 1, W):narrow(1, first + 1, count):contiguous():reshape(count, H, W // H):permute(2, 1, 3):contiguous()
end

-- What model:run calls in the kernel's place. Each call adds {name, p} to the list; leaves[i], where given, is added to the i-th map's p.
local function observer(list, leaves)
  return function(name, qkv, other, q_seg, k_seg, attrs)
    local H, W = attrs.heads, qkv:size(2) // 3
    local q = heads_of(qkv, 0, q_seg:totable()[1], H)
    local k, v = heads_of(other, 1, k_seg:totable()[1], H), heads_of(other, 2, k_seg:totable()[1], H)
    local p = F.softmax(q:matmul(k:permute(1, 3, 2):contiguous()) * (attrs.scale or 1 / math.sqrt(W // H)))
    list[#list + 1] = {name = name, p = p:detach()}
    local leaf = leaves and leaves(#list, p)
    if leaf then p = p + leaf end
    return p:matmul(v):permute(2, 1, 3):contiguous():reshape(q:size(2), W)
  end
end

-- Runs fn(attend) with the model in eval mode and its parameters as constants; restores both.
local function frozen(model, fn)
  local training, trainable = model.training, {}
  for i, p in ipairs(model.list) do
    trainable[i] = p.tensor.requires_grad
    p.tensor:requires_grad_(false)
  end
  model:eval()
  local ok, result = pcall(fn)
  model:train(training)
  for i, p in ipairs(model.list) do p.tensor:requires_grad_(trainable[i]) end
  return ok and result or error(result, 0)
end

-- The stream of the keys of a stream's queries. In a block that attends across, and in no other, the two differ.
local function key_of(model, name, query)
  local i = name:match "^fusion%.(%d+)"
  if not i or not model.blocks[tonumber(i) + 1].co then return query end
  return query == "text" and "vision" or "text"
end

-- Where a stream's rows and keys begin in the attention of a model of one joint stream: the patches stand before the text.
local function joint_parts(sizes) return {{"vision", 0, sizes.vision}, {"text", sizes.vision, sizes.text}} end

-- A map of part of an attention: queries from..+n of it, keys from..+m. Text rows past the caption's length are there where padding is computed
-- (packed = false); they are nobody's queries.
local function cut(source, block, query, key, rows, columns)
  return {name = source.name, block = block, query = query, key = key, source = source, cut = function(x)
    return x:narrow(2, rows[1] + 1, rows[2]):narrow(3, columns[1] + 1, columns[2]):contiguous()
  end}
end

local function add_joint(maps, source, sizes)
  for _, q in ipairs(joint_parts(sizes)) do
    for _, k in ipairs(joint_parts(sizes)) do
      local map = cut(source, source.name, q[1], k[1], {q[2], q[3]}, {k[2], k[3]})
      map.name, map.joint = ("%s.%s.%s"):format(source.name, q[1], k[1]), true
      maps[#maps + 1] = map
    end
  end
end

-- The maps of the attentions of a pass; those of a joint stream are four maps each.
local function describe(model, list, sizes)
  local maps, seen = {}, {}
  for i, found in ipairs(list) do
    local source = {name = found.name, place = i, p = found.p:to("cpu"):contiguous()}
    local block, stream = found.name:match "^(fusion%.%d+)%.(%a+)$"
    stream = stream or found.name:match "^(%a+)"
    if model.config.fusion == "single_stream" then
      -- With the sides apart the same blocks see the text first, then the image.
      if source.p:size(3) ~= sizes.text + sizes.vision then stream = seen[found.name] and "vision" or "text" end
      seen[found.name] = true
    end
    if source.p:size(3) == sizes.text + sizes.vision then
      add_joint(maps, source, sizes)
    else
      maps[#maps + 1] = cut(source, block or found.name, stream, key_of(model, found.name, stream), {0, sizes[stream]}, {0, source.p:size(3)})
    end
  end
  for _, map in ipairs(maps) do map.p = map.cut(map.source.p) end
  return maps
end

local function words_of(pair, n, data)
  local ids, words = pair.tokens:totable()[1], {}
  for t = 1, n do words[t] = data and data.tokenizer:token(ids[t]) or tostring(ids[t]) end
  return words
end

function View:map(name)
  for _, map in ipairs(self.maps) do
    if map.name == name then return map end
  end
  local names = {}
  for i, map in ipairs(self.maps) do names[i] = map.name end
  error(("attention: no map '%s'%s"):format(tostring(name), nearest.hint(tostring(name), names)), 2)
end

-- By attention: of a joint stream the queries of both sides over the keys of both.
function View:entropy()
  local found = {}
  for _, map in ipairs(self.maps) do
    if not found[map.source.name] then
      local p = map.joint and map.source.p:narrow(2, 1, self.sizes.text + self.sizes.vision) or map.p
      local _, record = vbl.measure.attention_entropy(p:contiguous():unsqueeze(1))
      found[map.source.name] = record.heads
    end
  end
  return found
end

function View:rollout(opts) return flow.rollout(self.maps, self.sizes, opts) end

-- The gradient with respect to a probability is that with respect to a zero added to it.
function View:attribution(target)
  local list, leaves = {}, {}
  local attend = observer(list, function(i, p)
    leaves[i] = vbl.zeros(table.unpack(p:shape())):to(p:device()):requires_grad_(true)
    return leaves[i]
  end)
  return frozen(self.model, function()
    local score = targets.score(self.model, self.pair, target, {attend = attend, cross = self.cross})
    score:backward()
    local maps, gradients = describe(self.model, list, self.sizes), {}
    for i, map in ipairs(maps) do
      local g = leaves[map.source.place].grad
      gradients[i] = g and map.cut(g:to "cpu") or map.p * 0
    end
    local result = flow.relevance(maps, gradients, self.sizes)
    result.score, result.gradients, result.maps = score:item(), gradients, maps
    return result
  end)
end

return function(model, pair, opts)
  opts = opts or {}
  if pair.tokens:size(1) ~= 1 then
    error(("attention: expected one pair, got %d; split:batch{i} gives the i-th"):format(pair.tokens:size(1)), 2)
  end
  local list, n = {}, pair.lengths:totable()[1]
  local out = frozen(model, function()
    return vbl.no_grad(function() return model:run(pair, {attend = observer(list), cross = opts.cross}) end)
  end)
  local side = model.config.image // model.config.patch
  local sizes = {text = n, vision = side * side + 1}
  return setmetatable({model = model, pair = pair, cross = opts.cross, maps = describe(model, list, sizes), words = words_of(pair, n, opts.data),
                       grid = {side, side}, sizes = sizes, text = out.text, vision = out.vision}, View)
end

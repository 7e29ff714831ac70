-- attention(model, pair, {data=, cross = true}) -> view: who attends to whom in one image-caption pair, layer by layer and head by head.
--   pair: a batch of one, as split:batch{i} gives it; data: its data set (for words); cross = false: co-attention off, as in model:run
-- The fused kernels keep no probabilities, so the pass is done once more with attention spelled out, softmax(Q K' / sqrt(d)) V, from the same
-- queries, keys and values. The model is left as it was.
--   view.maps      {{name = "text.0", "vision.3", "fusion.1.text", ..., query = "text"|"vision", key = the same, or the other stream where it
--                  co-attends, block = "text.0", "fusion.1", ..., p = f32 [H, n, m]: row i is what query i attends to, summing to 1}, ...} in
--                  the order of the pass. Text counts the caption's own tokens ([CLS], words, [SEP]; no padding), vision CLS and then the patches row by row
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

local function describe(list, text_rows)
  local maps = {}
  for i, found in ipairs(list) do
    local block, stream = found.name:match "^(fusion%.%d+)%.(%a+)$"
    stream = stream or found.name:match "^(%a+)"
    local p = found.p:to("cpu"):contiguous()
    -- Text rows past the caption's length are there where padding is computed (packed = false); they are nobody's queries.
    if stream == "text" then p = p:narrow(2, 1, text_rows):contiguous() end
    maps[i] = {name = found.name, block = block or found.name, query = stream, p = p}
  end
  return maps
end

-- The stream of a map's keys. In a block that attends across, and in no other, text's queries and keys are of different streams.
local function key_of(model, map)
  local i = map.name:match "^fusion%.(%d+)"
  if not i or not model.blocks[tonumber(i) + 1].co then return map.query end
  return map.query == "text" and "vision" or "text"
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

function View:entropy()
  local found = {}
  for _, map in ipairs(self.maps) do
    local _, record = vbl.measure.attention_entropy(map.p:unsqueeze(1))
    found[map.name] = record.heads
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
    local maps, gradients = describe(list, self.sizes.text), {}
    for i, map in ipairs(maps) do
      map.key = key_of(self.model, map)
      local g = leaves[i].grad
      gradients[i] = g and g:to("cpu"):narrow(2, 1, map.p:size(2)):contiguous() or vbl.zeros(table.unpack(map.p:shape()))
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
  local self = setmetatable({model = model, pair = pair, cross = opts.cross, maps = describe(list, n), words = words_of(pair, n, opts.data), grid = {side, side},
                             sizes = {text = n, vision = side * side + 1}, text = out.text, vision = out.vision}, View)
  for _, map in ipairs(self.maps) do map.key = key_of(model, map) end
  return self
end

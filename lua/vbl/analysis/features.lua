-- features(model, split, opts) -> vbl.analysis.cache: what a model makes of a fixed probe set, in one forward pass a partner, in its pure
-- view (no masking, no swaps, eval mode). Every analysis reads these rows and no other. Partners:
--   "matched"     caption i with its own image (after co-attention a matched pair has already seen each other)
--   "mismatched"  text i fused with another image, image i with another text, then text i compared with image i: what is left is
--                 what the streams share of themselves. The other pair is the next one of the batch, or, where neighbours show one image
--                 (questions about it), the nearest one behind it that shows another for every pair of the batch
--   "none"        every co-attending block off
-- opts {samples = 256, batch = 64, partners = {"matched", "mismatched"}, tokens = false (keep the token rows too), mean = true (keep the
-- masked means), train = view of the training set: an image that is in both is an error, safe_point = called between batches}
local vbl = require "vbl"
local cache = require "vbl.analysis.cache"
local mismatch = require "vbl.data.mismatch"
local taps = require "vbl.models.taps"
local usage = require "vbl.usage"
local with_defaults = require "vbl.with_defaults"

local features = {}

-- The layers to compare, in the order of the computation: {name, text = tap, vision = tap, coattention}.
function features.layers(c)
  local list, cross = {}, {}
  local function add(text, vision, co) list[#list + 1] = {name = "layer" .. #list, text = text, vision = vision, coattention = co} end
  if c.fusion == "stacked" then
    for i = 0, c.layers - 1 do add("text." .. i, "vision." .. i, false) end
    for _, i in ipairs(c.cross_attention_layers) do cross[i] = true end
    for i = 0, c.depth - 1 do add("fusion." .. i .. ".text", "fusion." .. i .. ".vision", cross[i] or false) end
  else
    for _, i in ipairs(c.coattention and c.coattention.text or {}) do cross[i] = true end
    for i = 0, c.layers - 1 do add("text." .. i, "vision." .. i, cross[i] or c.fusion == "single_stream") end
  end
  return list
end

local function tap_names(layers)
  local names = {}
  for _, layer in ipairs(layers) do
    names[#names + 1] = layer.text
    names[#names + 1] = layer.vision
  end
  return names
end

local function down(x, by) return mismatch.up(x, x:size(1) - by) end

local function distance_of(split, index)
  return mismatch.distance(split, index) or
    error(("analysis: mismatched: pairs %d to %d of the probe set show too few different images to give each another one; use a larger batch"):format(
      index[1], index[#index]), 0)
end

-- [B, T, 1]: 1 / m at the m tokens between [CLS] and [SEP], 0 elsewhere; a caption of none has a mean of 0.
local function word_weights(lengths, T)
  local rows = {}
  for b, n in ipairs(lengths) do
    local row = {}
    for t = 1, T do row[t] = t >= 2 and t < n and 1 / (n - 2) or 0 end
    rows[b] = row
  end
  return vbl.tensor(rows):unsqueeze(3)
end

-- One batch's rows of one layer. Mismatched (by > 0): caption i meets image i + by, so row i of the vision stream is image i + by, and
-- moving the rows down by as much puts image i (fused with caption i - by) beside caption i.
local function layer_rows(out, layer, by, lengths, weights, opts)
  local t, v = out.taps[layer.text], out.taps[layer.vision]
  local text, vision = taps.unpack(t.rows, t.layout), taps.unpack(v.rows, v.layout)
  if by > 0 then vision = down(vision, by) end
  local tp, pt, record = vbl.measure.max_sim(text, vision, {text_lengths = lengths})
  local rows = {["text.cls"] = text:select(2, 1):contiguous(), ["vision.cls"] = vision:select(2, 1):contiguous()}
  if opts.mean then
    rows["text.mean"] = (text * weights):sum(2)
    rows["vision.mean"] = vision:narrow(2, 2, vision:size(2) - 1):mean(2)
  end
  if opts.tokens then rows["text.tokens"], rows["vision.tokens"] = text, vision end
  return {rows = rows, max_sim = {tp, pt}, with_tokens = text:size(1) - (record.skipped or 0)}
end

local function batch_rows(model, split, batch, layers, partner, opts)
  local by = partner == "mismatched" and distance_of(split, batch.index) or 0
  local images = by > 0 and mismatch.up(batch.images, by) or batch.images
  local out = model:run({tokens = batch.tokens, lengths = batch.lengths, images = images}, {cross = partner ~= "none"})
  local lengths, without_sep, found = batch.lengths:totable(), {}, {}
  for b, n in ipairs(lengths) do without_sep[b] = math.max(n - 1, 0) end  -- [SEP] matches nothing in an image
  local weights = opts.mean and word_weights(lengths, batch.tokens:size(2))
  for i, layer in ipairs(layers) do found[i] = layer_rows(out, layer, by, without_sep, weights, opts) end
  found.lengths, found.index = lengths, batch.index
  return found
end

-- Batches of opts.batch: first number and count. A last batch of few pairs may hold too few images to be mismatched: less than half a
-- batch joins the one before it.
local function batches(n, size)
  local list, first = {}, 1
  while first <= n do
    local left = n - first + 1
    local count = left < size + math.max(size // 2, 2) and left or size
    list[#list + 1] = {first, count}
    first = first + count
  end
  return list
end

local function pad_tokens(list)
  local T, padded = 0, {}
  for _, x in ipairs(list) do T = math.max(T, x:size(2)) end
  for i, x in ipairs(list) do
    local B, t, D = table.unpack(x:shape())
    padded[i] = t == T and x or vbl.cat({x, vbl.zeros(B, T - t, D)}, 2)
  end
  return padded
end

-- A batch's mean is over the samples that have a token; of none it is NaN, and no part of the mean over all.
local function add_max_sim(sum, layer)
  local samples = layer.with_tokens
  if samples == 0 then return end
  for j = 1, 2 do sum[j] = sum[j] + layer.max_sim[j] * samples end
  sum.samples = sum.samples + samples
end

-- One partner's pass over the first n pairs: its tensors into `into` by name. Returns its max-sim numbers, one {tp, pt} a layer,
-- the lengths of the captions, and the samples (where an image does not decode, the next one's).
local function pass(model, split, layers, partner, n, opts, into)
  local lists, sums, lengths, index = {}, {}, {}, {}
  for _, range in ipairs(batches(n, opts.batch)) do
    if opts.safe_point then opts.safe_point() end
    local found = vbl.scope(function() return batch_rows(model, split, split:range(range[1], range[2]), layers, partner, opts) end)
    table.move(found.lengths, 1, #found.lengths, #lengths + 1, lengths)
    table.move(found.index, 1, #found.index, #index + 1, index)
    for i, layer in ipairs(found) do
      sums[i] = sums[i] or {0, 0, samples = 0}
      add_max_sim(sums[i], layer)
      for name, x in pairs(layer.rows) do
        local key = cache.key(partner, layers[i].name, name)
        lists[key] = lists[key] or {}
        table.insert(lists[key], x)
      end
    end
  end
  for i, sum in ipairs(sums) do sums[i] = {sum[1] / sum.samples, sum[2] / sum.samples} end
  for key, list in pairs(lists) do into[key] = vbl.cat(key:find "%.tokens$" and pad_tokens(list) or list, 1) end
  return sums, lengths, index
end

local apart = setmetatable({}, {__mode = "k"})  -- probe view -> the training view and the number of pairs found apart

-- A probe set that meets the training set shows what was learnt by heart.
local function check_apart(split, n, train)
  local known = apart[split]
  if known and known.train == train and known.n >= n then return end
  local held = {}
  for i = 1, n do held[split:image_id(i)] = i end
  for i = 1, train:size() do
    local at = held[train:image_id(i)]
    if at then
      error(("analysis: image '%s' of probe pair %d is training pair %d too; measure on images that were not trained on"):format(
        train:image_id(i), at, i), 0)
    end
  end
  apart[split] = {train = train, n = n}
end

local defaults = {samples = 256, batch = 64, partners = {"matched", "mismatched"}, tokens = false, mean = true, train = false, safe_point = false}

local function checked_size(split, opts)
  local n = math.min(opts.samples, split:size())
  if n < 8 then
    usage(("analysis: the probe set has %d pair%s (%d held out, samples = %d); at least 8 are needed"):format(n, n == 1 and "" or "s", split:size(), opts.samples))
  end
  if opts.train then check_apart(split, n, opts.train) end
  return n
end

-- The number of the image that each of these samples shows, by first appearance; nil where each shows its own.
local function images_of(split, index, n)
  local numbers, list, count = {}, {}, 0
  for i = 1, n do
    local key = split:image_key(index[i])
    if not numbers[key] then
      count = count + 1
      numbers[key] = count
    end
    list[i] = numbers[key]
  end
  return count < n and list or nil
end

local function collect(model, split, layers, n, opts)
  local made = {n = n, layers = layers, partners = opts.partners, ids = {}, tensors = {}, max_sim = {}}
  local index
  for _, partner in ipairs(opts.partners) do
    made.max_sim[partner], made.lengths, index = pass(model, split, layers, partner, n, opts, made.tensors)
  end
  for i = 1, n do made.ids[i] = split:image_id(index[i]) end
  made.groups = images_of(split, index, n)
  return cache.new(made)
end

function features.run(model, split, opts)
  if type(split) ~= "table" or not split.same_image then
    error("analysis.features: expected a split such as data:split \"test\" as argument 2", 2)
  end
  opts = with_defaults("analysis.features", opts, defaults)
  local layers, n = features.layers(model.config), checked_size(split, opts)
  local training, tapped = model.training, model.tapped
  model:eval()
  model:tap(tap_names(layers))
  local ok, result = pcall(vbl.no_grad, function() return collect(model, split, layers, n, opts) end)
  model:train(training)
  model.tapped = tapped
  return ok and result or error(result, 0)
end

return features

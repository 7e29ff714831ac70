-- What the passes of a step compute alike. The layers before the first block of the fusion, the trunk, see one stream each: without dropout they make the
-- same rows of equal captions, and of one image with nothing hidden, whichever pass asks for them. So different captions and images go through them once,
-- and each pass goes on with its rows: the same to rounding, as are gradients, each a sum over the passes.
--   trunk.shared(model, requests) -> shared, or nil: nothing is computed twice, or dropout makes it differ      requests: as of vbl.models.passes
--   shared:rows(list) -> {text, vision}     what the trunk makes of the samples of these requests (numbers), one request after the other
--   shared:of(from, n) -> shared            the same for the n requests from that one on, then numbered from 1
--   shared:cut(), shared:backward()         between them gradients that come back from the rows are kept, and the second hands their sums to the trunk at once
-- Captions are equal by their tokens, images by where they lie in memory.
local vbl = require "vbl"
local batches = require "vbl.models.batch"
local F = require "vbl.nn.functional"

local Shared = {}
Shared.__index = Shared

local trunk = {}

-- Whether a model's passes have a trunk in common. model.sharing = false: each pass by itself, to compare with.
local function is_shared(model)
  local c = model.config
  return model.sharing ~= false and not (model.training and c.dropout > 0) and c.fusion ~= "single_stream" and c.packed
end

local function may_share(model, requests)
  local c = model.config
  if #requests == 0 or not is_shared(model) or next(model.tapped) then return false end
  local images = requests[1][1].images
  for _, request in ipairs(requests) do
    batches.check(request[1], c)
    local other = request[1].images
    if other:dtype() ~= images:dtype() or other:device() ~= images:device() or (request[2] or {}).attend then return false end
  end
  return true
end

-- Whether a pass goes through the layers twice, with and without co-attention. Both ways begin with the trunk.
local function goes_twice(model, opts) return opts and opts.unimodal and opts.fuse ~= false and model.config.fusion == "interleaved" and #model.blocks > 0 end

local function text_keys(batch)
  local keys, lengths = {}, batch.lengths:totable()
  for b, row in ipairs(batch.tokens:totable()) do keys[b] = table.concat(row, " ", 1, math.min(lengths[b], #row)) end
  return keys
end

-- A masked image is like no other, nor is one that wants a gradient: it is its own pass's.
local function image_keys(batch)
  local keys, images, B = {}, batch.images, batch.images:size(1)
  local first, bytes = images:data_ptr(), images:numel() // math.max(B, 1) * (images:dtype() == "u8" and 1 or 4)
  local alone = batch.mask or images.requires_grad or not images:is_contiguous()
  for b = 1, B do keys[b] = alone and {} or first + (b - 1) * bytes end
  return keys
end

-- The samples whose keys differ, an array of {request, sample}; for each request the places of its samples in that array; how many samples there are in all.
local function different(requests, keys_of)
  local found, numbers, seen, total = {}, {}, {}, 0
  for i, request in ipairs(requests) do
    numbers[i] = {}
    for b, key in ipairs(keys_of(request[1])) do
      if not seen[key] then
        found[#found + 1] = {i, b}
        seen[key] = #found
      end
      numbers[i][b], total = seen[key], total + 1
    end
  end
  return found, numbers, total
end

local function texts_of(requests, samples)
  local rows, lengths, wide, read = {}, {}, 0, {}
  for k, sample in ipairs(samples) do
    local i, b = sample[1], sample[2]
    local batch = requests[i][1]
    read[i] = read[i] or {batch.tokens:totable(), batch.lengths:totable()}
    rows[k], lengths[k] = read[i][1][b], read[i][2][b]
    wide = math.max(wide, #rows[k])
  end
  for _, row in ipairs(rows) do
    for t = #row + 1, wide do row[t] = 0 end
  end
  local opts = {dtype = "i32", device = "cpu"}
  return vbl.tensor(rows, opts), vbl.tensor(lengths, opts)
end

-- Samples that follow each other in a request are one piece.
local function images_of(requests, samples)
  local images, masks, at = {}, {}, 1
  while at <= #samples do
    local i, b = samples[at][1], samples[at][2]
    local n = 1
    while samples[at + n] and samples[at + n][1] == i and samples[at + n][2] == b + n do n = n + 1 end
    local batch = requests[i][1]
    images[#images + 1] = batch.images:narrow(1, b, n)
    masks[#masks + 1] = batch.mask and batch.mask:narrow(1, b, n) or n
    at = at + n
  end
  return vbl.cat(images, 1), batches.masks(masks)
end

function trunk.shared(model, requests)
  if not may_share(model, requests) then return nil end
  local texts, text_numbers, total = different(requests, text_keys)
  local images, image_numbers = different(requests, image_keys)
  local twice = false
  for _, request in ipairs(requests) do twice = twice or goes_twice(model, request[2]) end
  if #texts == total and #images == total and not twice then return nil end
  local batch = {}
  batch.tokens, batch.lengths = texts_of(requests, texts)
  batch.images, batch.mask = images_of(requests, images)
  local self = model:trunk(batch)
  self.text_numbers, self.image_numbers = text_numbers, image_numbers
  return setmetatable(self, Shared)
end

local function in_order(samples, B)
  for i, k in ipairs(samples) do
    if i ~= k then return false end
  end
  return #samples == B
end

local function gathered(rows, index) return F.gather_rows(rows, vbl.tensor(index, {dtype = "i32"})) end

-- rows [N, D] of a stream -> those of `samples` (numbers in its layout), in order
local function texts_taken(rows, samples, lay)
  if in_order(samples, lay.B) then return rows end
  local index = {}
  for _, k in ipairs(samples) do
    for t = 0, lay.counts[k] - 1 do index[#index + 1] = lay.first[k] + t end
  end
  return gathered(rows, index)
end

-- All images have as many rows, so those of an image are gathered as one wide row.
local function images_taken(rows, samples, lay)
  if in_order(samples, lay.B) then return rows end
  local index, D = {}, rows:size(2)
  for i, k in ipairs(samples) do index[i] = k - 1 end
  return gathered(rows:reshape(lay.B, lay.P * D), index):reshape(#samples * lay.P, D)
end

function Shared:rows(list)
  local texts, images = {}, {}
  for _, i in ipairs(list) do
    table.move(self.text_numbers[i], 1, #self.text_numbers[i], #texts + 1, texts)
    table.move(self.image_numbers[i], 1, #self.image_numbers[i], #images + 1, images)
  end
  local vision, text = vbl.side_by_side(function() return images_taken(self.vision, images, self.vision_layout) end,
                                        function() return texts_taken(self.text, texts, self.text_layout) end)
  return {text = text, vision = vision}
end

function Shared:of(from, n)
  local part = {text_numbers = table.move(self.text_numbers, from, from + n - 1, 1, {}), image_numbers = table.move(self.image_numbers, from, from + n - 1, 1, {})}
  return setmetatable(part, {__index = self})
end

function Shared:cut()
  self.ends = {text = self.text, vision = self.vision}
  for name, rows in pairs(self.ends) do
    if rows.requires_grad then self[name] = rows:detach():requires_grad_(true) end
  end
end

function Shared:backward()
  local roots, seeds = {}, {}
  for _, name in ipairs {"text", "vision"} do
    local grad = self[name].grad
    if grad then roots[#roots + 1], seeds[#seeds + 1] = self.ends[name], grad end
  end
  if #roots > 0 then vbl.backward(roots, seeds) end
end

return trunk

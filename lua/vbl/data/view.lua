-- A split of a data set: batches, loaders and the tasks' draws. A batch is {n =, index = {number of each sample; the next one's where an
-- image fails to decode}, epoch =,
-- tokens = i32 [B, T], lengths = i32 [B], images = u8 [B, 3, S, S]}; tokens past a length are [PAD]. Of a batch that was asked for with `ranges`
-- ({{lo, hi}, ...} of its places) images are those of these alone (vbl.data.own_images), and replaced = whether one of them failed to decode, for which the
-- next one's stands and which is not counted as a bad one.
-- Every draw depends on (seed, step or epoch, sample or row) alone: not on threads, micro-batches or earlier draws.
local c = require "vbl.data.c"
local own_images = require "vbl.data.own_images"

local View = {}
View.__index = View

local view = {}

function view.new(data, handle) return setmetatable({data = data, handle = handle}, View) end

function View:size() return self.handle:size() end
-- Samples first .. first + count - 1, and the view in two by image (core/data/divide.h), as views.
function View:part(first, count) return view.new(self.data, self.handle:part(first, count)) end
function View:divide(share)
  local kept, held = self.handle:divide(share)
  return view.new(self.data, kept), view.new(self.data, held)
end
function View:order(seed, epoch) return self.handle:order(seed, epoch) end
function View:image_id(i) return self.handle:image_id(i) end
function View:same_image(i, j) return self.handle:same_image(i, j) end
function View:image_key(i) return self.handle:image_key(i) end
function View:captions(i) return self.handle:captions(i) end
function View:caption(i, k) return self.handle:caption(i, k) end
-- The label of sample i: a class, a list of classes, or class -> weight (Data:labels() says which); classes count from 0.
function View:label(i) return self.handle:label(i) end
-- Targets of listed samples: i32 [B], or f32 [B, classes]; -100 where none is known.
function View:labels(index) return self.handle:labels(index) end
function View:text_equal(i, j, k, l) return self.handle:text_equal(i, j, k, l) end
function View:mean_length() return self.handle:mean_length() end
function View:scene(i) return self.handle:scene(i) end

local function batch_of(epoch, ranges, tokens, lengths, images, index, replaced)
  if ranges then images = own_images.new(images, ranges) end
  return {n = #index, index = index, epoch = epoch, tokens = tokens, lengths = lengths, images = images, replaced = replaced}
end

-- Samples by number, now. opts: epoch (0) picks the captions; caption: the k-th of each in place of that; captions_from: a list, whose captions instead; ranges:
-- as above.
function View:batch(index, opts)
  opts = opts or {}
  local epoch = opts.epoch or 0
  return batch_of(epoch, opts.ranges, self.handle:batch(index, self.data.seed, epoch, opts.captions_from, opts.ranges or true, opts.caption))
end

-- Their tokens and lengths alone. opts: epoch (0) or caption, as above
function View:texts(index, opts)
  local tokens, lengths = self.handle:batch(index, self.data.seed, opts.epoch or 0, nil, false, opts.caption)
  return tokens, lengths
end

-- Samples first .. first + count - 1, with the captions of epoch 0. ranges: as above.
function View:range(first, count, ranges)
  local index = {}
  for i = 1, count do index[i] = first + i - 1 end
  return self:batch(index, {ranges = ranges})
end

local Loader = {}
Loader.__index = Loader

-- Threads that make batches ahead of the step: submit(index, epoch[, ranges[, captions_from]]) any number, next() gives them in that order. opts {threads = 2, ahead = 4}.
function View:loader(opts)
  return setmetatable({handle = self.handle:loader(opts), seed = self.data.seed, last = 0, queue = {}}, Loader)
end

function Loader:submit(index, epoch, ranges, captions_from)
  self.handle:submit(index, self.seed, epoch, captions_from, ranges)
  self.last = self.last + 1
  self.queue[self.last] = {epoch, ranges}
end

function Loader:next()
  local at = self.last - self.handle:waiting() + 1
  local epoch, ranges = table.unpack(self.queue[at] or {}, 1, 2)  -- without one the handle says so
  self.queue[at] = nil
  return batch_of(epoch, ranges, self.handle:next())
end

function Loader:release() self.handle:release() end
Loader.__close = Loader.release

-- --- the tasks' draws; key {seed =, step =, epoch =} ---

-- -> masked tokens, labels (-100 where nothing is to be predicted), their number. opts {probability =, seed =, step =}.
function View:mask_tokens(tokens, lengths, opts)
  return self.data.set:mask_tokens(tokens, lengths, opts.probability, opts.seed, opts.step)
end

-- -> u8 [n, P], 1 where the patch is hidden; P = (image / patch)^2.
function View:mask_patches(n, opts)
  local side = self.data.image // self.data.patch
  return c.mask_patches(n, side * side, opts.probability, opts.seed, opts.step)
end

-- Half of the batch's pairs get another sample's caption (never of the same image, never an equal text)
-- -> {tokens, lengths, labels = {1 matched, 0 not, ...}, from = {whose caption}}.
function View:swap_captions(batch, key)
  local from, labels = self.handle:swap(batch.index, key.seed, key.step, self.data.seed, key.epoch)
  local tokens, lengths = self.handle:batch(batch.index, self.data.seed, key.epoch, from, false)
  return {tokens = tokens, lengths = lengths, labels = labels, from = from}
end

-- The same for a split that is scored, drawn once over all of it: whatever the batch, the epoch and the run's seed, so that runs are scored on the same pairs.
function View:fixed_swaps(batch)
  if not self.swapped then
    local all = {}
    for i = 1, self:size() do all[i] = i end
    local from, labels = self.handle:swap(all, 0, 0, 0, 0)
    self.swapped = {from = from, labels = labels}
  end
  local from, labels = {}, {}
  for b, i in ipairs(batch.index) do from[b], labels[b] = self.swapped.from[i], self.swapped.labels[i] end
  local tokens, lengths = self.handle:batch(batch.index, 0, 0, from, false)
  return {tokens = tokens, lengths = lengths, labels = labels, from = from}
end

-- Scenes: every caption of the batch with one attribute changed -> {tokens, lengths, attributes = {"color"|"shape"|"size"|"place"}}.
-- draw: a number; another one changes other things.
function View:hard_negatives(batch, draw)
  local lists, attributes, T = {}, {}, 0
  for b, i in ipairs(batch.index) do
    local text, attribute = self.handle:changed_caption(i, self.data.seed, batch.epoch, draw)
    lists[b], attributes[b] = self.data.tokenizer:encode(text), attribute
    T = math.max(T, #lists[b])
  end
  local vbl = require "vbl"
  local lengths, pad = {}, self.data.tokenizer:id("[PAD]")
  for b, ids in ipairs(lists) do
    lengths[b] = #ids
    for t = #ids + 1, T do ids[t] = pad end
  end
  return {tokens = vbl.tensor(lists, {dtype = "i32"}), lengths = vbl.tensor(lengths, {dtype = "i32"}), attributes = attributes}
end

return view

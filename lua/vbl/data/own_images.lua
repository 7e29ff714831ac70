-- The images of a batch of which a rank (vbl.dist) reads its own samples' alone: what `batch.images` is where there are several ranks.
--   own_images.ranges(tasks, shares) -> {{lo, hi}, ...}     which of a batch's samples' images this rank needs, of whose shares (dist.share) there may be several,
--                                                      empty and overlapping ones; nil: all, which is so without other ranks and where a task says all_images
--   own_images.of_step(tasks, n) -> {{lo, hi}, ...}    for a training step on n samples
--   own_images.settled(batch, whole) -> batch          the batch, or what whole() gives, with all images: where on some rank one failed to decode, and the sample
--                                                      that takes its place has to be known to all
--   own_images.new(rows, ranges) -> images             rows: u8 [M, 3, S, S], the images of the ranges' samples in their order
--   own_images.is(value) -> boolean
--   images:narrow(1, lo, n) -> tensor                  as of a tensor [B, 3, S, S]; an error where they are not this rank's
-- Anything else that a task asks of it is an error that says so: it would have to see all samples.
-- Of such images, or of a tensor [B, 3, S, S] of all:
--   own_images.rows(images) -> tensor                  those that are there
--   own_images.map(images, fn[, index]) -> images      fn(rows, the numbers of their samples) gives their like; index: of all samples of the batch
local dist = require "vbl.dist"

local own_images = {}

local methods = {}

local function refuse(what)
  error(("%s: of a batch that several ranks share, each has the images of its own samples, which tasks.part(batch, lo, hi) gives; a task that looks at others too says all_images = true")
    :format(what), 0)
end

local meta = {__name = "images of a rank's samples", __index = function(_, key) return methods[key] or refuse(("images.%s"):format(tostring(key))) end}

-- Overlapping and adjoining ranges as one, in order.
local function merged(ranges)
  table.sort(ranges, function(a, b) return a[1] < b[1] end)
  local list = {}
  for _, range in ipairs(ranges) do
    local last = list[#list]
    if last and range[1] <= last[2] + 1 then last[2] = math.max(last[2], range[2]) else list[#list + 1] = range end
  end
  return list
end

function own_images.ranges(tasks, shares)
  if dist.size() == 1 then return nil end
  local ranges = {}
  for _, task in ipairs(tasks) do
    if task.all_images then return nil end
  end
  for _, share in ipairs(shares) do
    if share[1] <= share[2] then ranges[#ranges + 1] = {share[1], share[2]} end
  end
  return merged(ranges)
end

function own_images.of_step(tasks, n)
  local shares = {}
  for i, task in ipairs(tasks) do shares[i] = {dist.share(math.min(n, task.batch or n))} end
  return own_images.ranges(tasks, shares)
end

function own_images.settled(batch, whole)
  if own_images.is(batch.images) and dist.any(batch.replaced) then return whole() end
  return batch
end

function own_images.new(rows, ranges) return setmetatable({rows = rows, ranges = ranges}, meta) end

function own_images.is(value) return getmetatable(value) == meta end

function methods:narrow(dim, lo, n)
  local before = 0
  for _, range in ipairs(dim == 1 and self.ranges or {}) do
    if range[1] <= lo and lo + n - 1 <= range[2] then return self.rows:narrow(1, before + lo - range[1] + 1, n) end
    before = before + range[2] - range[1] + 1
  end
  refuse(("images:narrow(%d, %d, %d)"):format(dim, lo, n))
end

function own_images.rows(images) return own_images.is(images) and images.rows or images end

function own_images.map(images, fn, index)
  if not own_images.is(images) then return fn(images, index) end
  local rows, numbers = images.rows, {}
  for _, range in ipairs(index and images.ranges or {}) do table.move(index, range[1], range[2], #numbers + 1, numbers) end
  return own_images.new(rows:size(1) > 0 and fn(rows, numbers) or rows, images.ranges)
end

return own_images

-- A view whose texts and labels keep their order and whose images belong to others: sample i has the image of the sample half the view
-- further on, the samples of one image counted one behind the other, so that none meets its own image. What a model still gets right owes
-- nothing to the pairing.
local usage = require "vbl.usage"

local View = {}

-- The samples of each image, the images in the order in which they first appear: {{i, ...}, ...}.
local function by_image(base)
  local of, groups = {}, {}
  for i = 1, base:size() do
    local key = base:image_key(i)
    if not of[key] then
      of[key] = {}
      groups[#groups + 1] = of[key]
    end
    table.insert(of[key], i)
  end
  return groups
end

-- partner[i]: the sample whose image sample i shows.
local function partners(base)
  local n, list, partner = base:size(), {}, {}
  for _, group in ipairs(by_image(base)) do
    if #group > n // 2 then
      usage(("shuffled images: %d of the %d samples show one image (the first: %s), so not each can have another's; take more images, or drop some of these samples"):format(
        #group, n, base:image_id(group[1])))
    end
    table.move(group, 1, #group, #list + 1, list)
  end
  for k, i in ipairs(list) do partner[i] = list[(k - 1 + n // 2) % n + 1] end
  return partner
end

function View:shifted(index)
  local list = {}
  for k, i in ipairs(index) do list[k] = self.partner[i] end
  return list
end

-- Which image a sample shows is asked to tell images apart; its label, caption and id are its own.
function View:image_key(i) return self.base:image_key(self.partner[i]) end
function View:same_image(i, j) return self.base:same_image(self.partner[i], self.partner[j]) end

-- Of the batch, the numbers are those of the texts, whose labels count.
function View:batch(index, opts)
  local batch = self.base:batch(self:shifted(index), {epoch = opts and opts.epoch, caption = opts and opts.caption, ranges = opts and opts.ranges, captions_from = index})
  batch.index = index
  return batch
end

function View:range(first, count, ranges)
  local index = {}
  for i = 1, count do index[i] = first + i - 1 end
  return self:batch(index, {ranges = ranges})
end

function View:loader(opts)
  local loader, queue, first, last = self.base:loader(opts), {}, 1, 0
  local own = setmetatable({}, {__index = loader, __close = function() loader:release() end})
  function own.submit(_, index, epoch, ranges)
    loader:submit(self:shifted(index), epoch, ranges, index)
    last = last + 1
    queue[last] = index
  end
  function own.next()
    local batch = loader:next()
    batch.index, queue[first], first = queue[first], nil, first + 1
    return batch
  end
  function own.release() loader:release() end
  return own
end

local meta = {__index = function(self, key)
  if View[key] then return View[key] end
  local value = self.base[key]
  if type(value) ~= "function" then return value end
  return function(_, ...) return value(self.base, ...) end
end}

-- A view (vbl.data.view) -> the same with its images shifted. Raises where one image has more than half of the samples.
return function(base) return setmetatable({base = base, partner = partners(base)}, meta) end

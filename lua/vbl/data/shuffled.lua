-- A view whose texts and labels keep their order and whose images belong to others: sample i has the image of the sample half the view
-- further on. What a model still gets right owes nothing to the pairing.
local View = {}

function View:shifted(index)
  local n, list = self.base:size(), {}
  for k, i in ipairs(index) do list[k] = (i - 1 + n // 2) % n + 1 end
  return list
end

-- Of the batch, the numbers are those of the texts, whose labels count.
function View:batch(index, opts)
  local batch = self.base:batch(self:shifted(index), {epoch = opts and opts.epoch, captions_from = index})
  batch.index = index
  return batch
end

function View:range(first, count)
  local index = {}
  for i = 1, count do index[i] = first + i - 1 end
  return self:batch(index)
end

function View:loader(opts)
  local loader, queue, first, last = self.base:loader(opts), {}, 1, 0
  local own = setmetatable({}, {__index = loader, __close = function() loader:release() end})
  function own.submit(_, index, epoch)
    loader:submit(self:shifted(index), epoch, index)
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

-- A view (vbl.data.view) -> the same with its images shifted.
return function(base) return setmetatable({base = base}, meta) end

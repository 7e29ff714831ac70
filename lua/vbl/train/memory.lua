-- What the steps of a run take of memory. Three steps of each kind (of all tasks, or of each that takes steps alone), the third with the tasks' gradients
-- apart as those that are logged, are taken by the trainer's own code on a device that has no memory and computes nothing (vbl.count_memory), on captions
-- of the training set: the ops ask it for what they would ask a CPU or a GPU for. What the CUDA libraries take for themselves comes on top (some
-- hundred MB).
--   memory.of(job, device, micro[, limit[, at_once]]) -> {peak = the most bytes in use at once, ...} (vbl.count_memory); nil: it does not fit into
--       `limit` bytes. device: "cpu" or "cuda"; at_once: whether all tasks go through the model as one batch; nil: as the job's do
--   memory.flops(job) -> of the products and attentions of a step, forward and backward, whatever the device; the mean of all steps
--   memory.whole(job, limit) -> what steps take of a GPU whose tasks go so; nil: they cannot, or it does not fit into `limit` bytes with some to spare
--   memory.fit(job, limit) -> samples, taken, at_once     the largest equal parts of the batch, or of a rank's share of it, whose steps fit into a GPU's
--       `limit` bytes with some to spare, what these steps take, and whether the tasks go as one batch, which comes first where all of it fits; nil: none fits
local dist = require "vbl.dist"
local mix = require "vbl.train.mix"
local own_images = require "vbl.data.own_images"
local step_of = require "vbl.train.step"
local updates = require "vbl.train.updates"
local vbl = require "vbl"

local memory = {}

local STEPS = 3

-- The share of a GPU that is planned with: small blocks and the libraries' working memory are not counted.
local PLANNED = 0.95

-- A model of the same sizes whose parameters are on the device of new tensors, with nothing in them.
local function twin_of(model)
  local config = {}
  for key, value in pairs(model.config) do
    if key ~= "weights" and key ~= "preset" and key ~= "placement" then config[key] = value end  -- they have become sizes
  end
  local twin = vbl.models.vilbert(config, "empty")
  twin.checkpointing, twin.sharing = model.checkpointing, model.sharing
  for i, p in ipairs(twin.list) do p.tensor:requires_grad_(model.list[i].tensor.requires_grad) end
  for i = model.built + 1, #model.list do twin.list[i], twin.list[model.list[i].name] = model.list[i], model.list[i].tensor end
  return twin
end

-- Parameters that a script added to its model are held by its modules and tasks too, so no twin can stand for them: until the result is closed they are
-- themselves moved to the device of new tensors.
local function lend_own(model)
  local lent = {}
  for i = model.built + 1, #model.list do
    local tensor = model.list[i].tensor
    lent[#lent + 1] = {tensor, vbl.empty(tensor:shape()):keep()}
  end
  for _, pair in ipairs(lent) do vbl.exchange(pair[1], pair[2]) end
  return setmetatable({}, {__close = function()
    for _, pair in ipairs(lent) do vbl.exchange(pair[1], pair[2]) end
  end})
end

-- The tasks without augmentation, which would look at pixels that are not there. Where a task would augment the images they are still copied, so that it
-- shares them with no other task, as in a real step.
local function tasks_of(job)
  local list = {}
  for i, task in ipairs(job.tasks) do
    local views = type(task.augment) == "table" and task.augment or {}
    list[i] = setmetatable({augment = task.name == "mim" and {} or false}, {__index = task})
    list[i].prepare = function(self, ...)
      local work = task.prepare(self, ...)
      local changes = task.name ~= "mim" and next(views) or views.both or views.clean
      if changes and work.batch and work.batch.images then work.batch.images = own_images.map(work.batch.images, function(rows) return rows:clone() end) end
      return work
    end
  end
  return list
end

local function mix_of(job, tasks, model) return mix.new(tasks, model, job.config.mix or {}, job.config.flags.seed) end

local function twin_job(job, micro, at_once)
  local twin = setmetatable({model = twin_of(job.model), micro = micro, tasks = tasks_of(job)}, {__index = job})
  twin.mix = mix_of(job, twin.tasks, twin.model)
  twin.mix.at_once = at_once
  twin.optimizer, twin.average = updates.optimizer(twin), updates.average(twin)
  return twin
end

-- The batch of a step of the first epoch, its images without content.
local function batch_of(job, order, step)
  local index, size = {}, job.model.config.image
  for i = 1, math.min(job.config.batch, #order) do index[i] = order[((step - 1) * job.config.batch + i - 1) % #order + 1] end
  local tokens, lengths = job.train:texts(index, {epoch = 1})
  local ranges, n = own_images.of_step(job.tasks, #index), 0
  for _, range in ipairs(ranges or {{1, #index}}) do n = n + range[2] - range[1] + 1 end
  local images = vbl.empty(n, 3, size, size, {dtype = "u8", device = "cpu"})
  return {n = #index, index = index, epoch = 1, tokens = tokens, lengths = lengths, images = ranges and own_images.new(images, ranges) or images}
end

local kinds_by_job = setmetatable({}, {__mode = "k"})  -- a long run's take a second to find, and a plan asks for them often

local function kinds_of(job)
  kinds_by_job[job] = kinds_by_job[job] or mix_of(job, job.tasks, job.model):kinds(math.max(job.total_steps, 1), STEPS)
  return kinds_by_job[job]
end

-- Takes the first n steps of each kind; where there are fewer, the last one again.
local function take_steps(job, kinds, n, micro, at_once)
  local _ <close> = lend_own(job.model)
  local twin, order = twin_job(job, micro, at_once), job.train:order(job.config.flags.seed, 1)
  for _, kind in ipairs(kinds) do
    for i = 1, n do
      local step = kind.steps[math.min(i, #kind.steps)]
      vbl.scope(function() step_of.settle(twin, step_of.queue(twin, batch_of(twin, order, step), step, {separate = i == STEPS})) end)
    end
  end
end

function memory.of(job, device, micro, limit, at_once)
  if at_once == nil then at_once = job.at_once end
  local ok, found = pcall(dist.planned, vbl.count_memory, {device = device, limit = limit}, take_steps, job, kinds_of(job), STEPS, micro, at_once)
  if ok then return found end
  if limit and tostring(found):find("out of memory", 1, true) then return nil end
  error(found, 0)
end

function memory.flops(job)
  local mean, steps = 0, math.max(job.total_steps, 1)
  for _, kind in ipairs(kinds_of(job)) do
    local found, sum = dist.planned(vbl.count_memory, {device = "cuda"}, take_steps, job, {kind}, 1, job.micro or job.config.batch, job.at_once), 0
    for _, row in ipairs(found.kernels) do sum = sum + row.flops end
    mean = mean + sum * (kind.count / steps)
  end
  return mean
end

local function planned(limit) return limit * PLANNED // 1 | 0 end

function memory.whole(job, limit)
  if (job.config.tasks_together or "no") == "no" or not mix.joins(job.tasks, job.config.mix or {}) then return nil end
  return memory.of(job, "cuda", dist.largest(job.config.batch), planned(limit), true)
end

function memory.fit(job, limit)
  local batch = dist.largest(job.config.batch)
  local whole = memory.whole(job, limit)
  if whole then return batch, whole, true end
  local function try(parts)
    local micro = (batch + parts - 1) // parts
    return micro, memory.of(job, "cuda", micro, planned(limit), false)
  end
  local low, high, micro, found = 0, 1, nil, nil  -- parts: `low` of them are too few
  while true do
    micro, found = try(high)
    if found or micro == 1 then break end
    low, high = high, 2 * high
  end
  if not found then return nil end
  while high - low > 1 do
    local middle = (low + high) // 2
    local smaller, fits = try(middle)
    if fits then high, micro, found = middle, smaller, fits else low = middle end
  end
  return micro, found, false
end

return memory

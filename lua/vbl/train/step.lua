-- One optimizer step on a batch, in two parts: what is asked for, and what came of it. The CPU has done everything when the first part ends. A
-- device goes on while the host asks for the next step, and the numbers are looked at after that: no step waits for another's losses.
--   step.queue(job, batch, number, opts) -> queued      opts: {separate = measure each task's share, last_good = "the last good checkpoint", again =
--     function that gives the batch once more, with all images}
--   step.settle(job, queued) -> values, weights    name -> value: loss.*, accuracy.*, grad_norm, lr, and with separate each task's share norm.<task> and
--     each group's share.<group> of the gradient; name -> of how many (samples, masked tokens) a task's value is the mean. Once a step; on the CPU before
--     the next is queued
--   step.now(job, batch, number) -> values      both
-- queued: {step =, epoch =, n =, separate =, weights = task -> of how many its loss is the mean, update = what a device was asked for (vbl.optim), nil on
-- the CPU, no_graph = what kept it from being a CUDA graph (config cuda_graph)}.
-- A loss or a gradient that is not finite is an error that says where it began, and no weight has changed: on the CPU because the optimizer is not
-- called, or refuses; on a device because its kernels see it, for this step and those queued after it, until the host does.
local vbl = require "vbl"
local accumulate = require "vbl.train.accumulate"
local checked = require "vbl.tasks.checked"
local dist = require "vbl.dist"
local later = require "vbl.later"
local own_images = require "vbl.data.own_images"
local shares = require "vbl.train.guards.shares"
local system = require "vbl.system.c"
local trace = require "vbl.train.guards.trace"
local usage = require "vbl.usage"

local step = {}

-- The first n samples of a batch, as a batch.
local function head_of(batch, n)
  if not n or n >= batch.n then return batch end
  local index, images = {}, batch.images
  for i = 1, n do index[i] = batch.index[i] end
  if not own_images.is(images) then images = images:narrow(1, 1, n) end
  return {n = n, tokens = batch.tokens:narrow(1, 1, n), lengths = batch.lengths:narrow(1, 1, n), images = images, index = index, epoch = batch.epoch}
end

-- what: "loss of task mlm is NaN"; where: what running it again showed.
function step.diverged(number, what, where, last_good)
  usage(string.format("step %d: %s; %s; the last good checkpoint is %s (a smaller lr, a longer warmup or clip may help)", number, what, where,
                      last_good or "none yet"))
end

-- "loss of task mlm is NaN", of the first task whose loss is there and not finite; nil: all are.
function step.not_finite(kind, losses, tasks)
  for _, task in ipairs(tasks) do
    local v = losses[task.name]
    if type(v) == "number" and (v ~= v or math.abs(v) == math.huge) then
      return string.format("%s of task %s is %s", kind, task.name, v ~= v and "NaN" or v > 0 and "Inf" or "-Inf")
    end
  end
end

local function bad_loss(job, q)
  local losses = {}
  for name, r in pairs(q.result) do losses[name] = r.loss end
  return step.not_finite("loss", losses, job.mix:active(q.step, job.total_steps))
end

-- The tasks' draws: name -> work.
local function prepared(job, batch, number)
  local key, works = {seed = job.config.flags.seed, step = number, epoch = batch.epoch}, {}
  for _, task in ipairs(job.mix:active(number, job.total_steps)) do
    works[task.name] = checked.prepare(task, job.train, head_of(batch, task.batch), key)
  end
  return works
end

-- To a device the images go ahead, beside what it still computes, and once for all tasks: those of a task that takes fewer samples are the first of the
-- others'.
local function send(job, works)
  local device, all, sent = job.model.list[1].tensor:device(), {}, {}
  if device == "cpu" then return end
  local function add(place, field)
    if place[field] then all[#all + 1] = {place, field, own_images.rows(place[field]):size(1)} end
  end
  for _, work in pairs(works) do
    add(work.batch or {}, "images")
    add(work, "masked")
  end
  table.sort(all, function(a, b) return a[3] > b[3] end)
  for _, entry in ipairs(all) do
    local place, field = entry[1], entry[2]
    place[field] = own_images.map(place[field], function(rows)
      local at = rows:data_ptr()
      sent[at] = sent[at] or rows:send(device)
      return sent[at]:narrow(1, 1, rows:size(1))
    end)
  end
end

-- Each rank looks at all samples.
local function explain(job, q, works, batch, what)
  if own_images.is(batch.images) then
    batch = q.again()
    works = prepared(job, batch, q.step)
  end
  step.diverged(q.step, what, trace.step(job, works, batch, q.step), q.last_good)
end

-- The optimizer refuses a gradient with NaN or Inf, by the parameter's name, and changes nothing.
local function told(fn, ...)
  local ok, result, update = pcall(fn, ...)
  if ok then return nil, result, update end
  if system.interrupted() then error(result, 0) end
  return usage.strip(result)
end

local function backward(job, works, q)
  job.model.rng.step = q.step
  job.optimizer:zero_grad()
  return job.mix:backward(works, job.micro, q.step, job.total_steps, q.separate)
end

-- On a device garbage is collected where memory is short (bindings/tensor.c), not whenever the interpreter's own heap has grown: a step takes
-- what --plan counts. Ends with the step.
local function hold_collector(model)
  if model.list[1].tensor:device() == "cpu" or not collectgarbage "isrunning" then return nil end
  collectgarbage "stop"
  return setmetatable({}, {__close = function() collectgarbage "restart" end})
end

-- What asks the device for the step, and why that was no CUDA graph where the config wants one.
local function asked_for(job, fn)
  if not job.config.cuda_graph then return fn() end
  if dist.size() > 1 then
    fn()
    return "several ranks exchange numbers in it"
  end
  return (vbl.cuda_graph(fn))
end

function step.queue(job, batch, number, opts)
  local _ <close> = hold_collector(job.model)
  local q = {step = number, epoch = batch.epoch, n = batch.n, separate = opts.separate, last_good = opts.last_good, again = opts.again,
             weights = {}, rate = job.config.lr * job.schedule(number)}
  vbl.autocast(job.config.precision, vbl.scope, function()
    local works = prepared(job, batch, number)
    for name, work in pairs(works) do q.weights[name] = work.count or work.n end
    send(job, works)
    local bad
    q.no_graph = asked_for(job, function()
      q.result = backward(job, works, q)
      bad = bad_loss(job, q)
      if not bad then bad, q.norm, q.update = told(job.optimizer.step, job.optimizer, q.rate, {wait = false}) end
    end)
    if bad then explain(job, q, works, batch, bad) end
    if job.average then job.average:update(number) end
  end)
  return q
end

-- Of a device, what the CPU looks at before the update. The gradients are those of the step after by now, so the step is run again.
local function check(job, q)
  local bad = bad_loss(job, q)
  if not bad and q.norm - q.norm == 0 then return end
  vbl.autocast(job.config.precision, vbl.scope, function()
    local batch = q.again()
    local works = prepared(job, batch, q.step)
    backward(job, works, q)
    local refused = told(job.optimizer.refuse, job.optimizer, q.update)
    explain(job, q, works, batch, bad or refused)
  end)
end

-- The means of a task's stats, and of how many each is one. `weight` of nothing, no token is masked or no sample has a label: there is none.
local function take_stats(stats, weight, values, weights)
  for name, v in pairs(accumulate.values(stats)) do
    local count = stats[name][2]
    if count == 0 then count = weight end
    if count > 0 then values[name], weights[name] = later.number(v), count end
  end
end

function step.settle(job, q)
  local values, weights = {lr = q.rate}, {}
  for _, r in pairs(q.result) do r.loss = later.number(r.loss) end
  q.norm = later.number(q.norm)
  values.grad_norm = q.norm
  if q.update then check(job, q) end
  for name, r in pairs(q.result) do
    take_stats(r.stats, q.weights[name], values, weights)
    values["weight." .. name], values["norm." .. name] = r.weight, later.number(r.norm)
  end
  local groups = q.separate and shares.groups(job, q.update and q.update:norms())
  for group, share in pairs(groups or {}) do values["share." .. group] = share end
  return values, weights
end

function step.now(job, batch, number)
  return (step.settle(job, step.queue(job, batch, number, {again = function() return batch end})))
end

return step

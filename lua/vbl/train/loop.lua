-- The training loop. One counter of optimizer steps drives everything: sample order, corruption, dropout and learning rate are pure
-- functions of (seed, step), so a run continues bit for bit from its last checkpoint, whatever killed it.
local vbl = require "vbl"
local accumulate = require "vbl.train.accumulate"
local evaluate = require "vbl.train.evaluate"
local probe = require "vbl.train.probe"
local job_of = require "vbl.train.job"
local report = require "vbl.train.report"
local state = require "vbl.train.state"
local system = require "vbl.system.c"

local loop = {}

-- The first n samples of a batch, as a batch.
local function head_of(batch, n)
  if not n or n >= batch.n then return batch end
  local index = {}
  for i = 1, n do index[i] = batch.index[i] end
  return {n = n, tokens = batch.tokens:narrow(1, 1, n), lengths = batch.lengths:narrow(1, 1, n), images = batch.images:narrow(1, 1, n), index = index,
          epoch = batch.epoch}
end

local function check_finite(result, step, last_good)
  for name, r in pairs(result) do
    if r.loss ~= r.loss or math.abs(r.loss) == math.huge then
      error(string.format("loss of task %s is %s at step %d; the last good checkpoint is %s (a smaller lr, a longer warmup or clip may help)", name,
                          r.loss ~= r.loss and "NaN" or "Inf", step, last_good or "none yet"), 0)
    end
  end
end

-- One optimizer step on a batch. Returns name -> value: loss.*, accuracy.*, grad_norm, lr, samples' share norm.<task> where measured.
function loop.step(job, batch, step, separate, last_good)
  local config, values = job.config, {}
  vbl.scope(function()
    local key, works = {seed = config.flags.seed, step = step, epoch = batch.epoch}, {}
    for _, task in ipairs(job.mix:active(step, job.total_steps)) do
      works[task.name] = task:prepare(job.train, head_of(batch, task.batch), key)
    end
    job.model.rng.step = step
    job.optimizer:zero_grad()
    local result = job.mix:backward(works, job.micro, step, job.total_steps, separate)
    check_finite(result, step, last_good)
    values.lr = config.lr * job.schedule(step)
    values.grad_norm = job.optimizer:step(values.lr)
    for name, r in pairs(result) do
      for stat, v in pairs(accumulate.values(r.stats)) do values[stat] = v end
      values["weight." .. name], values["norm." .. name] = r.weight, r.norm
    end
  end)
  return values
end

-- Numbers of the training samples of step `step` (1-based array), and its epoch (from 1).
local function indices_of(job, step, orders)
  local epoch = (step - 1) // job.epoch_steps + 1
  if not orders[epoch] then
    for e in pairs(orders) do
      if e < epoch - 1 then orders[e] = nil end
    end
    orders[epoch] = job.train:order(job.config.flags.seed, epoch)
  end
  local first, list = ((step - 1) % job.epoch_steps) * job.config.batch, {}
  for i = first + 1, math.min(first + job.config.batch, #orders[epoch]) do list[#list + 1] = orders[epoch][i] end
  return list, epoch
end

-- A function that gives the batches of steps from, from + 1, ...; the loader works ahead of it.
local function batches(job, from)
  local loader, orders, submitted, ahead = job.train:loader(), {}, from - 1, 4
  return function(step)
    while submitted < math.min(step + ahead, job.total_steps) do
      submitted = submitted + 1
      loader:submit(indices_of(job, submitted, orders))
    end
    return loader:next()
  end
end

-- Where a held interrupt may end the run: between steps and between batches of an evaluation, never inside an update.
local function safe_point()
  if system.interrupted() then error("interrupted", 0) end
end

local function evaluation(job, run, epoch, means)
  local config = job.config
  local step = epoch * job.epoch_steps
  local test, intervals = evaluate.run(job.model, job.tasks, job.test, {batch = config.batch, micro = job.micro, samples = config.test_samples,
                                                                        seed = config.flags.seed, safe_point = safe_point})
  report.epoch(run, job, epoch, step, means, test, intervals)
  if config.probe_samples > 0 then
    local results = probe.run(job.model, job.test, {samples = config.probe_samples, partners = config.partners, safe_point = safe_point})
    report.layers(run, epoch, step, results, config.partners)
  end
  return test
end

local function total_loss(job, test)
  local sum = 0
  for _, task in ipairs(job.tasks) do sum = sum + (test["loss." .. task.name] or 0) end
  return sum
end

local function finish_epoch(job, run, s)
  s.test = evaluation(job, run, s.epoch, accumulate.values(s.sums))
  s.sums = {}
  local loss = total_loss(job, s.test)
  local best = s.epoch > 0 and (not s.best or loss < s.best)
  if best then s.best = loss end
  state.save(run, "last", job, s)
  if s.epoch > 0 then state.save(run, "epoch-" .. s.epoch, job, s) end
  if best then state.save(run, "best", job, s) end
  run:plots()
end

local function train_step(job, run, s, step, batch)
  local config = job.config
  local measured = step % config.log_every == 0
  local started = system.monotonic()
  s.busy = true
  local values = loop.step(job, batch, step, measured, s.saved)
  s.step, s.busy = step, false
  s.seconds = s.seconds + system.monotonic() - started
  s.samples = s.samples + batch.n
  for name, v in pairs(values) do
    local t = s.sums[name] or {0, 0}
    s.sums[name] = {t[1] + v, t[2] + 1}
  end
  if measured then report.step(run, step, batch.epoch, values) end
  run:progress(report.progress(job, s, values))
end

-- After Ctrl-C or SIGTERM what was reached is saved, and the error goes on to end the script. A second Ctrl-C within two seconds breaks
-- into a step, whose half-done update is not saved: the checkpoint before it stays.
local function stop(job, run, s, message)
  if system.interrupted() then
    if not s.busy then state.save(run, "last", job, s) end
    run:log("interrupted at step %d of %d; go on with --resume %s", s.step, job.total_steps, run.path)
  else
    run:log("stopped at step %d of %d: %s", s.step, job.total_steps, message)
  end
  run:close()
  system.hold_interrupts(false)
  error(message, 0)
end

local function train(job, run, s)
  if s.epoch < 0 then
    s.epoch = 0
    finish_epoch(job, run, s)
  end
  local next_batch = batches(job, s.step + 1)
  for step = s.step + 1, job.total_steps do
    vbl.scope(function() train_step(job, run, s, step, next_batch(step)) end)
    safe_point()
    if step % job.epoch_steps == 0 then
      s.epoch = step // job.epoch_steps
      finish_epoch(job, run, s)
    elseif step % job.config.checkpoint_every == 0 then
      state.save(run, "last", job, s)
    end
  end
end

function loop.run(config, parts)
  local run, stored
  if config.flags.resume then
    run, stored = state.open(config)
    config = stored.config
  end
  local job = job_of.new(config, parts)
  run = run or state.create(job)
  local s = state.restore(run, job, stored)
  report.opening(run, job, s)
  system.hold_interrupts(true)
  local ok, message = pcall(train, job, run, s)
  if not ok then stop(job, run, s, message) end
  system.hold_interrupts(false)
  report.closing(run, job, s)
  run:close()
  return {folder = run.path, test = s.test, model = job.model, data = job.data}
end

return loop

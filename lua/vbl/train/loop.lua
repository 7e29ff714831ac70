-- The training loop. One counter of optimizer steps drives everything: sample order, corruption, dropout and learning rate are pure
-- functions of (seed, step), so a run continues bit for bit from its last checkpoint, whatever killed it. The numbers of a device's step are looked at
-- when the next one is queued (vbl.train.step): s.queued is the step that is not counted yet.
local vbl = require "vbl"
local averages = require "vbl.train.averages"
local dist = require "vbl.dist"
local guards = require "vbl.train.guards"
local job_of = require "vbl.train.job"
local own_images = require "vbl.data.own_images"
local page = require "vbl.train.page"
local probe = require "vbl.train.probe"
local report = require "vbl.train.report"
local result = require "vbl.train.result"
local safe_point = require "vbl.train.safe_point"
local state = require "vbl.train.state"
local step_of = require "vbl.train.step"
local system = require "vbl.system.c"
local trace = require "vbl.train.guards.trace"
local usage = require "vbl.usage"

local loop = {}

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

-- Threads that make batches: beside a device all cores, since its steps are short and leave the cores idle; steps on the CPU need them themselves.
local function loader_threads(job) return job.model.list[1].tensor:device() == "cpu" and 2 or math.min(math.max(2, system.threads()), 256) end

-- A function that gives the batches of steps from, from + 1, ..., and the loader that works ahead of it. Of several ranks each makes its samples' images.
local function batches(job, from)
  local loader, orders, submitted, ahead = job.train:loader {threads = loader_threads(job)}, {}, from - 1, 4
  return function(step)
    while submitted < math.min(step + ahead, job.total_steps) do
      submitted = submitted + 1
      local index, epoch = indices_of(job, submitted, orders)
      loader:submit(index, epoch, own_images.of_step(job.tasks, #index))
    end
    return own_images.settled(loader:next(), function()
      local index, epoch = indices_of(job, step, orders)
      return job.train:batch(index, {epoch = epoch})
    end)
  end, loader
end

-- The batch of a step once more, with all images.
local function batch_again(job, step)
  local loader <close> = job.train:loader()
  loader:submit(indices_of(job, step, {}))
  return loader:next()
end

-- fn() with the weights that are evaluated and kept.
local function with_average(job, fn)
  if job.average then return job.average:during(fn) end
  return fn()
end

-- What the kind finds of the model as it is; nothing is written, so that an interrupt in here leaves no trace.
local function evaluation(job, s)
  return vbl.autocast(job.config.precision, with_average, job, function()
    local found, losses = job.kind.evaluate(job, s)
    local bad = step_of.not_finite("test loss", losses, job.tasks)
    if bad then
      step_of.diverged(s.step, bad, trace.evaluation(job, function() job.kind.evaluate(job, s) end), s.saved)
    end
    if job.config.probe_samples > 0 and job.kind.probes(s) then found.layers = probe.layers(job, job.test) end
    return found
  end)
end

local function evaluation_due(job, s) return s.step % job.epoch_steps == 0 and s.epoch < s.step // job.epoch_steps end

-- "last" is written last: a run killed before that goes on from the checkpoint before, and evaluates and writes all of this again.
local function finish_epoch(job, run, s)
  local epoch = s.step // job.epoch_steps
  local found = evaluation(job, s)
  s.busy = true
  local score = job.kind.score(job, found)
  local best = (epoch > 0 or job.config.epochs == 0) and (not s.best or score.score > s.best.score)
  best = not dist.any(not best)  -- what each rank has computed by itself may differ in the last bit, and two accuracies by a sample
  local before = s.best
  if best then
    s.best = score
    s.best.epoch = epoch
  end
  job.kind.report(run, job, s, epoch, found)
  guards.epoch(run, job, s, epoch, found)
  s.epoch, s.test, s.sums = epoch, found.values, {}
  if epoch > 0 and job.kind.keep_epochs then state.save(run, "epoch-" .. epoch, job, s) end
  if best and not state.save(run, "best", job, s) then s.best = before end  -- what checkpoints/best holds
  state.save(run, "last", job, s)
  s.busy = false
  safe_point()  -- a Ctrl-C that waits does not wait for them: gnuplot may take seconds on a busy machine
  run:plots()
end

-- What came of a queued step is counted and told. Returns its values.
local function count(job, run, s, q)
  local values, weights = step_of.settle(job, q)
  guards.step(run, job, s, q, values)
  s.step = q.step
  s.samples = s.samples + q.n
  averages.add(s.sums, values, weights)
  if q.separate then report.step(run, q.step, q.epoch, values) end
  return values
end

-- s.busy: the model, the counters and the files are not those of one moment, and settle cannot make them so.
local function busy(job, run, s, fn)
  local started = system.monotonic()
  s.busy = true
  local values = fn()
  s.seconds = s.seconds + system.monotonic() - started
  s.busy = false
  if values then run:progress(report.progress(job, s, values)) end
end

-- The last step that was queued.
local function reached(s) return s.queued and s.queued.step or s.step end

-- Once each: the first step that is a CUDA graph, and the first that is none for another reason than that its sizes are new.
local function tell_graph(run, job, q)
  local said, why = job.graph_said or {}, q.no_graph
  local key = why and not why:find "^new " and "none" or not why and "one" or nil
  if key and not said[key] then run:log(why and "step %d is no CUDA graph: %s" or "step %d is one CUDA graph", q.step, why) end
  if key then said[key] = true end
  job.graph_said = said
end

local function train_step(job, run, s, batch)
  busy(job, run, s, function()
    local number, due = reached(s) + 1, s.queued
    local q = step_of.queue(job, batch, number, {separate = number % job.config.log_every == 0, last_good = s.saved,
                                                 again = function() return batch_again(job, number) end})
    if job.config.cuda_graph then tell_graph(run, job, q) end
    if q.update then s.queued = q else due = q end
    return due and count(job, run, s, due)
  end)
end

-- Counts what is queued: before anything looks at the model or the counters.
local function settle(job, run, s)
  local q = s.queued
  if not q then return end
  busy(job, run, s, function()
    s.queued = nil
    return count(job, run, s, q)
  end)
end

-- A run of this process that was stopped: {job =, run =, s =, folder =}. loop.last is the one that was stopped last; it keeps the model and the data.
local Trainer = {}
Trainer.__index = Trainer

-- How a stopped run goes on: at the prompt that follows (bindings/main.c) in this process, else in another.
local function way_on(run)
  local words = arg and arg[-1] and ("%svbl %s --resume %s"):format(dist.size() > 1 and ("mpirun -n %d "):format(dist.size()) or "", arg[0], run.path)
  if not debug.getregistry()["vbl.keep_locals"] then return words or ("vbl SCRIPT --resume %s"):format(run.path) end
  return "vbl.train.last:continue()" .. (words and ", or later: " .. words or "")
end

-- After Ctrl-C or SIGTERM what was reached is saved, and the error goes on to end the script. A second Ctrl-C within two seconds breaks
-- into a step, whose half-done update is not saved: the checkpoint before it stays. It breaks into the page's making too, but not into the saving.
local function stop(self, message)
  local job, run, s = self.job, self.run, self.s
  local interrupted = system.interrupted()
  system.hold_interrupts(true, true)
  loop.last = self
  local ok, failure = pcall(function()
    if job.average then job.average:restore() end
    if interrupted then
      if not s.busy then
        settle(job, run, s)
        state.save(run, "last", job, s)
      end
      run:log("interrupted %s step %d of %d; the last checkpoint is %s; go on with: %s", s.busy and "after" or "at", s.step,
              job.total_steps, s.saved or "none yet", way_on(run))
    else
      run:log("stopped after step %d of %d: %s", s.step, job.total_steps, tostring(message))
    end
    result.write(run, job, s, interrupted and "interrupted" or "failed", tostring(message))
  end)
  if not ok and dist.first() then
    io.stderr:write(("vbl: what was reached could not be saved: %s; the last checkpoint is %s; go on with: %s\n"):format(usage.strip(failure), s.saved or "none yet",
                                                                                                                    way_on(run)))
  end
  run:close()
  system.hold_interrupts(true)
  page(run, job)
  system.hold_interrupts(false)  -- raises what is pending
  usage(tostring(message))
end

-- Epochs without a better score; patience 0 waits for ever.
local function stopped_early(job, s)
  local patience = job.config.patience or 0
  return patience > 0 and s.best and s.epoch - s.best.epoch >= patience
end

-- opening(run, job, s): the first lines of the log.
local function train(job, run, s, opening)
  opening(run, job, s)
  if evaluation_due(job, s) then finish_epoch(job, run, s) end
  local next_batch, loader = batches(job, s.step + 1)
  local _ <close> = loader
  while reached(s) < job.total_steps and not stopped_early(job, s) do
    safe_point()
    vbl.scope(function() train_step(job, run, s, next_batch(reached(s) + 1)) end)
    local saved = reached(s) % job.config.checkpoint_every == 0
    if saved or reached(s) % job.epoch_steps == 0 then settle(job, run, s) end
    if not s.queued and evaluation_due(job, s) then
      finish_epoch(job, run, s)
    elseif saved then
      state.save(run, "last", job, s)
    end
  end
  settle(job, run, s)
  if s.step < job.total_steps then run:log("stopped early: no better %s since epoch %d", s.best.metric, s.best.epoch) end
  job.kind.finish(job, run, s)
end

-- From where the counters stand to the run's end.
local function to_end(self, opening)
  local job, run, s = self.job, self.run, self.s
  local ok, message = xpcall(train, usage.explain, job, run, s, opening)
  if not ok then stop(self, message) end
  system.hold_interrupts(false)
  report.closing(run, job, s)
  local missing = state.missing(s)
  local ok_result, failure = pcall(result.write, run, job, s, s.missing.last and "failed" or "finished", missing)
  local lacks = not ok_result and "its result was not saved: " .. usage.strip(failure) or
                  s.missing.last and ("the end of the run is in no checkpoint: %s; the last whole one is %s; make room and go on with --resume %s"):format(
                    s.missing.last, s.saved or "none", run.path) or missing and "the run is finished, but " .. missing
  if lacks then pcall(run.warn, run, "%s", lacks) end  -- the log's last word is not that of a whole run
  run:close()
  page(run, job)
  if lacks then usage(("%s: %s"):format(run.path, lacks)) end
  return {folder = run.path, test = s.test, values = job.kind.values(job, s), model = job.model, data = job.data}
end

function loop.run(config, parts)
  local run, stored
  loop.last = nil
  if config.flags.resume then
    run, stored = state.open(config, parts.kind.name)
    config = stored.config
  end
  local job = job_of.new(config, parts)
  system.hold_interrupts(true)
  run = run or state.create(job)
  local s = state.restore(run, job, stored)
  return to_end(setmetatable({job = job, run = run, s = s, folder = run.path}, Trainer), report.opening)
end

-- Goes on from the run's last checkpoint, which an interrupt leaves where the run stood, in this process: as --resume does, bit for bit.
-- Returns what the training call would have.
function Trainer:continue()
  if loop.last ~= self then usage(("%s: this trainer goes on no more: it has gone on already, or another run was begun"):format(self.folder)) end
  local run = state.reopen(self.folder)
  local ok, s = pcall(state.restore, run, self.job, {})
  if not ok then
    run:close()
    error(s, 0)
  end
  system.hold_interrupts(true)
  job_of.set_deterministic(self.job.config.deterministic)
  loop.last, self.run, self.s = nil, run, s
  self.job.model:train()
  return to_end(self, function() run:log("goes on at step %d of %d", s.step, self.job.total_steps) end)
end

function Trainer:__tostring() return ("trainer of %s, at step %d of %d; :continue() goes on"):format(self.folder, self.s.step, self.job.total_steps) end

return loop

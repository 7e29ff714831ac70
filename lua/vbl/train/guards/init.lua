-- What watches a run's numbers while it trains, and says so at once (run:alarm: the log and warnings.jsonl). docs/guards.md explains each.
--   guards.step(run, job, s, queued, values)          after an update: spikes of the losses and of the gradient's norm, tasks without a gradient.
--                                                     queued: the step (vbl.train.step)
--   guards.epoch(run, job, s, epoch, found)           after an evaluation: tasks at chance, measures that stand still
--   guards.layers(run, s, epoch, step, layers)        of a layer analysis alone
-- NaN and Inf end the run: vbl.train.guards.trace says where they began. The guards remember s.recent, s.measures, s.left_out and s.untrained, which
-- checkpoints keep, so that a resumed run gives the warnings that it would have given.
local constant = require "vbl.train.guards.constant"
local levels = require "vbl.train.guards.levels"
local shares = require "vbl.train.guards.shares"
local sorted_keys = require "vbl.sorted_keys"
local spikes = require "vbl.train.guards.spikes"

local guards = {}

local QUIET = 100  -- steps after a spike in which the same series is not told again

local function spike(run, job, s, queued, name, value)
  local step = queued.step
  local series = s.recent[name] or {values = {}, told = -QUIET}
  s.recent[name] = series
  local found = spikes.see(series.values, value)
  if not found or step - series.told < QUIET then return end
  series.told = step
  local largest, share = shares.largest(job, queued.update and queued.update:norms())
  run:alarm {step = step, epoch = queued.epoch, kind = "spike",
             text = ("step %d: %s is %.4g, %.1f times its running median (%.0f robust deviations); %s"):format(step, name, value, value / found.median, found.deviations,
               largest and ("%s holds %.0f %% of the squared gradient norm"):format(largest, 100 * share) or "the gradient is 0")}
end

-- Whether a task is not told of yet; s[key] remembers that it is.
local function first(s, key, name)
  local told = s[key] or {}
  if told[name] then return false end
  told[name], s[key] = true, told
  return true
end

-- Once a task: at every step its gradient is missing from the sum.
local function untrained(run, s, queued)
  for _, name in ipairs(sorted_keys(queued.result)) do
    if queued.result[name].untrained and first(s, "untrained", name) then
      run:alarm {step = queued.step, epoch = queued.epoch, kind = "untrained",
                 text = ("step %d: the loss of task %s has no gradient: it is evaluated, and trains nothing (a number or a constant in place of what the model gave, no_grad, or all that it needs is frozen)")
                   :format(queued.step, name)}
    end
  end
end

-- mix.weighting = "gradient" raises every task's gradient to the same norm, and of one that is 0 it would raise the rounding. Told once a task.
local function left_out(run, s, queued)
  for _, name in ipairs(sorted_keys(queued.result)) do
    local r = queued.result[name]
    if r.left_out and first(s, "left_out", name) then
      run:alarm {step = queued.step, epoch = queued.epoch, kind = "rounding",
                 text = ("step %d: the gradient of task %s has norm %.3g, no more than rounding beside the tasks' mean of %.3g: it is left out here and wherever it is so"):format(
                   queued.step, name, r.norm / r.weight, r.left_out)}
    end
  end
end

function guards.step(run, job, s, queued, values)
  untrained(run, s, queued)
  local names = {}
  for name in pairs(values) do
    if name == "grad_norm" or name:find "^loss%." then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do spike(run, job, s, queued, name, values[name]) end
  left_out(run, s, queued)
end

local function tell(run, step, epoch, alarms)
  for _, alarm in ipairs(alarms) do run:alarm {step = step, epoch = epoch, kind = alarm.kind, text = alarm.text} end
end

function guards.layers(run, s, epoch, step, layers) tell(run, step, epoch, constant.check(s, epoch, layers)) end

function guards.epoch(run, job, s, epoch, found)
  if epoch > 0 then tell(run, s.step, epoch, levels.check(job, s, epoch, found)) end
  if found.layers then guards.layers(run, s, epoch, s.step, found.layers) end
end

return guards

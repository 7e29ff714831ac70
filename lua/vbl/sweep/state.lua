-- What a journal says: the state of a sweep after a list of entries. Pure: the same entries give the same state everywhere, and everything
-- that is decided is a function of it.
--
-- Entries:
--   {type = "sweep", definition=, file=, words=, cwd=, lease=}     the first: vbl.sweep.spec; the file that says so, where it was run
--   {type = "trial", trial=, config=}                       a configuration to try; trials count from 0
--   {type = "start", trial=, seed=, attempt=, worker=, owner=, child=, resume=}     a run of it begins: owner, child: vbl.sweep.lease
--   {type = "report", trial=, seed=, attempt=, at=, values=, prune=}     values after epoch `at`; prune: why it is to stop
--   {type = "end", trial=, seed=, attempt=, status=, values=, message=, run=, seconds=, killed=}     finished, failed, pruned, or
--       released (to go on); killed: by somebody else
--   {type = "trials", trials=, file=}                       how many from now on, and what the file said then
--   {type = "retry"}                                        failed runs wait again
--   {type = "submit", job=}                                 an array of workers was handed to Slurm
-- A run is (trial, seed); a trial is failed when one of its runs is, else pruned when one is, else finished when all are.
--
--   state.new() -> state; state:apply(entry)
--   state.trials[i] {number, config, runs = {{trial, seed, status, ...}, ...}, by number + 1}
--   state:status(trial) -> "waiting", "running", "finished", "failed", "pruned"
--   state:values(trial) -> name -> mean over its seeds, nil unless finished
--   state:run(entry) -> the run that an entry is of
--   state:next(dead) -> what a worker does now:      dead(run): whether the run's worker is
--     "start", run (none has it) | "take", run (its worker is dead) | "suggest", trial's number | "wait" (others work) | "done", why
--   state:known() -> for vbl.sweep.suggest          state:others(trial) -> for vbl.sweep.prune
--   state:counts() -> status -> number of trials    state:best() -> trials that no other dominates (one objective: the best one)
local objective = require "vbl.sweep.objective"
local pareto = require "vbl.sweep.pareto"

local state = {}

local State = {}
State.__index = State

local HOPELESS = 5  -- failures with no success, after which nothing more is started
local ATTEMPTS = 10

function state.new() return setmetatable({trials = {}}, State) end

local apply = {}

function apply.sweep(self, e)
  self.spec, self.file, self.words, self.cwd, self.lease = e.definition, e.file, e.words, e.cwd, e.lease
  self.budget, self.said, self.began = e.definition.trials, e.definition.trials, e.time
end

function apply.trial(self, e)
  local trial = {number = e.trial, config = e.config, runs = {}}
  for i, seed in ipairs(self.spec.seeds) do trial.runs[i] = {trial = e.trial, seed = seed, status = "waiting", attempt = 0, kills = 0, reports = {}} end
  self.trials[e.trial + 1] = trial
end

function apply.start(self, e)
  local run = self:run(e)
  if run.status == "running" then run.kills = run.kills + 1 end  -- its worker died
  run.status, run.attempt, run.worker, run.owner, run.child, run.resumed = "running", e.attempt, e.worker, e.owner, e.child, e.resume
  run.reports = e.resume and run.reports or {}  -- one that starts anew reports anew
end

function apply.report(self, e)
  local run = self:run(e)
  run.reports[#run.reports + 1] = {at = e.at, values = e.values, point = objective.point(self.spec.objectives, e.values)}
  run.prune = run.prune or e.prune
end

apply["end"] = function(self, e)
  local run = self:run(e)
  run.status = e.status == "released" and "waiting" or e.status
  if e.killed then run.kills = run.kills + 1 end
  run.values, run.message, run.folder, run.seconds = e.values, e.message, e.run or run.folder, (run.seconds or 0) + (e.seconds or 0)
end

function apply.trials(self, e) self.budget, self.said = e.trials, e.file or self.said end

function apply.retry(self)
  for _, trial in ipairs(self.trials) do
    for _, run in ipairs(trial.runs) do
      if run.status == "failed" then run.status, run.message, run.kills = "waiting", nil, 0 end
    end
  end
end

function apply.submit(self, e) self.job = e.job end

function State:apply(entry)
  local fn = apply[entry.type]
  if not fn then error(("journal: an entry of type '%s': written by another version of vbl"):format(tostring(entry.type)), 0) end
  fn(self, entry)
end

function State:run(entry)
  for _, run in ipairs(self.trials[entry.trial + 1].runs) do
    if run.seed == entry.seed then return run end
  end
end

function State:status(trial)
  local count = {}
  for _, run in ipairs(trial.runs) do count[run.status] = (count[run.status] or 0) + 1 end
  if count.failed then return "failed" end
  if count.pruned then return "pruned" end
  if count.finished == #trial.runs then return "finished" end
  return (count.running or count.finished) and "running" or "waiting"
end

-- Mean over the list of the values that all of them have.
local function mean(list)
  local result = {}
  for name in pairs(list[1]) do
    local sum = 0
    for _, values in ipairs(list) do sum = sum + values[name] end
    result[name] = sum / #list
  end
  return result
end

function State:values(trial)
  if self:status(trial) ~= "finished" then return nil end
  local list = {}
  for i, run in ipairs(trial.runs) do list[i] = run.values end
  return mean(list)
end

local function decided(status) return status == "failed" or status == "pruned" end

function State:counts()
  local counts = {waiting = 0, running = 0, finished = 0, failed = 0, pruned = 0}
  for _, trial in ipairs(self.trials) do
    local status = self:status(trial)
    counts[status] = counts[status] + 1
  end
  return counts
end

function State:hopeless()
  local counts = self:counts()
  return counts.finished + counts.pruned == 0 and counts.failed >= HOPELESS
end

-- It, or its worker with it, has been killed so often that it seems to be what kills them (memory).
function State:worn(run) return run.kills >= ATTEMPTS end

function State:next(dead)
  local running = false
  for _, trial in ipairs(self.trials) do
    local over = decided(self:status(trial))
    for _, run in ipairs(trial.runs) do
      if run.status == "running" then
        if dead(run) then return "take", run end
        running = true
      elseif run.status == "waiting" and not over then
        return "start", run
      end
    end
  end
  if self:hopeless() then return running and "wait" or "done", "hopeless" end
  if #self.trials < self.budget and not self.exhausted then return "suggest", #self.trials end
  return running and "wait" or "done", self.exhausted and "exhausted" or "budget"
end

function State:known()
  local list = {}
  for i, trial in ipairs(self.trials) do
    local values, status = self:values(trial), self:status(trial)
    list[i] = {config = trial.config, point = values and objective.point(self.spec.objectives, values), failed = status == "failed", pruned = status == "pruned"}
  end
  return list
end

-- Reports of a trial: at each epoch the mean over its runs that reported there.
local function reports_of(trial)
  local by_epoch, list = {}, {}
  for _, run in ipairs(trial.runs) do
    for _, r in ipairs(run.reports) do
      by_epoch[r.at] = by_epoch[r.at] or {}
      table.insert(by_epoch[r.at], r.point)
    end
  end
  for at, points in pairs(by_epoch) do list[#list + 1] = {at = at, point = mean(points)} end
  table.sort(list, function(a, b) return a.at < b.at end)
  return list
end

function State:others(number)
  local list = {}
  for _, trial in ipairs(self.trials) do
    if trial.number ~= number and self:status(trial) ~= "failed" then list[#list + 1] = reports_of(trial) end
  end
  return list
end

function State:best()
  local finished, points = {}, {}
  for _, trial in ipairs(self.trials) do
    local values = self:values(trial)
    if values then
      finished[#finished + 1] = trial
      points[#points + 1] = objective.point(self.spec.objectives, values)
    end
  end
  local list = {}
  local front = #self.spec.objectives == 1 and {pareto.ranked(points)[1]} or pareto.front(points)
  for _, i in ipairs(front) do list[#list + 1] = finished[i] end
  return list
end

return state

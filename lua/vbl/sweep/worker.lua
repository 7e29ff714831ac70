-- A worker: takes what is to be done from the journal, one run at a time, until nothing is left. Any number of them work on one folder, on
-- any hosts.
--
-- A run's process is started held; the journal then gets its number, and only when that entry is in does the process begin. So a run is
-- begun by one worker at a time, and whoever takes it from a dead one knows what has to be gone first. The process ends with its worker
-- (SIGTERM from the kernel), and goes on from its checkpoint with the next one.
--
--   worker.run(folder, {device=, wait=true, print=}) -> exit code: 0 done, 130 or 143 stopped by a signal (its run released)
--     wait = false: ends when there is nothing to begin, though others still work
local journal_of = require "vbl.sweep.journal"
local lease = require "vbl.sweep.lease"
local objective = require "vbl.sweep.objective"
local prune = require "vbl.sweep.prune"
local state_of = require "vbl.sweep.state"
local suggest = require "vbl.sweep.suggest"
local system = require "vbl.system.c"
local trial = require "vbl.sweep.trial"
local usage = require "vbl.usage"

local worker = {}

local TERM, KILL = 15, 9
local POLL, LOOK, GRACE = 0.05, 1, 60  -- seconds: between looks at the process, at its metrics; to save a checkpoint
local SHORT_IDLE, LONG_IDLE = 0.05, 2  -- between looks for work: doubled from one to the other
local SHARE = 20  -- looking takes at most one part in so many of the time: a long metrics.jsonl is read as a whole

local Worker = {}
Worker.__index = Worker

-- Reads what is new and says so: alive.
function Worker:catch_up()
  for _, entry in ipairs(self.journal:read()) do self.state:apply(entry) end
  if self.state.spec then self.beat(self.state.lease) end
end

-- Appends an entry that is right as long as nothing else came first; otherwise asks `still` again. A network file system may show the other
-- entry a little later.
function Worker:append(entry, still)
  while still() do
    local before, appended = self.journal.count, self.journal:append(entry)
    self:catch_up()
    if appended then return true end
    if self.journal.count == before then system.sleep(0.1) end
  end
  return false
end

local function held_by(self, run, attempt)
  return function() return run.status == "running" and run.attempt == attempt and run.worker == self.name end
end

local function seconds_since(started) return math.floor((system.monotonic() - started) * 10) / 10 end

function Worker:finish(run, outcome, still, started)
  local path = trial.folder(self.folder, self.state.spec, run)
  local entry = {type = "end", trial = run.trial, seed = run.seed, attempt = run.attempt, status = outcome.status, values = outcome.values,
                 message = outcome.message, killed = outcome.killed, run = path and path:sub(#self.folder + 2), seconds = started and seconds_since(started)}
  if outcome.status == "released" and outcome.killed and self.state:worn(run) then
    entry.status, entry.message = "failed", ("killed %d times, or its worker: %s"):format(run.kills, outcome.message or "out of memory?")
  end
  if self:append(entry, still) then self.print(worker.line(self.state, run)) end
end

-- The new reports of a run go into the journal; with them, while it runs, the decision whether it goes on.
function Worker:look(run, still, running)
  local path = trial.folder(self.folder, self.state.spec, run)
  if not path then return end
  for _, report in ipairs(trial.reports(self.state.spec, path)) do
    local last = run.reports[#run.reports]
    if not run.prune and (not last or report.at > last.at) then
      local entry = {type = "report", trial = run.trial, seed = run.seed, attempt = run.attempt, at = report.at, values = report.values}
      self:append(entry, function()
        if not still() then return false end
        local list = {table.unpack(run.reports)}
        list[#list + 1] = {at = report.at, point = objective.point(self.state.spec.objectives, report.values)}
        entry.prune = running and not report.last and prune.decide(self.state.spec.pruner, list, self.state:others(run.trial)) or nil
        return true
      end)
    end
  end
end

-- Why the process is to be stopped now: status and message of its end; nil while it is to run.
function Worker:reason(run, still)
  if system.interrupted() then return {status = "released", message = "interrupted"} end
  if not still() then return {} end  -- another worker took this one for dead
  if run.prune then return {status = "pruned", message = run.prune} end
  local status = self.state:status(self.state.trials[run.trial + 1])
  if status == "failed" or status == "pruned" then return {status = "released", message = ("the trial is %s by another seed"):format(status)} end
end

-- Waits for the process, or stops it. -> exit code, and the reason where it was stopped
function Worker:attend(run, child, still)
  local reason, stopped, look = nil, nil, system.monotonic() + LOOK
  while true do
    local code = child:poll()
    if code then return code, reason end
    local now = system.monotonic()
    if now >= look then
      self:catch_up()
      if self.state.spec.pruner and still() and not reason then self:look(run, still, true) end
      look = now + math.max(LOOK, SHARE * (system.monotonic() - now))
    end
    if not reason then
      reason = self:reason(run, still)
      if reason then
        child:signal(reason.status and TERM or KILL)
        stopped = now
      end
    elseif now - stopped > GRACE then
      child:signal(KILL)
    end
    system.sleep(POLL)
  end
end

-- What a run begins with: the folder of an earlier attempt where that can go on. Its results where it had reached its end.
function Worker:before(run)
  local definition = self.state.spec
  local path = run.attempt > 0 and trial.folder(self.folder, definition, run)
  if not path then return nil end
  local record = require("vbl.runs").open(path)
  if record.status == "finished" then return nil, trial.outcome(definition, path, 0) end
  return trial.resumable(path) and path or nil
end

function Worker:output(run) return ("%s/output/%s.txt"):format(self.folder, trial.name(self.state.spec, run, 1)) end

function Worker:begin(run, resume, free)
  local definition, attempt = self.state.spec, run.attempt + 1
  local config = self.state.trials[run.trial + 1].config
  local command = trial.command(definition, self.folder, config, run, attempt, {resume = resume, device = self.device})
  local started_child, message = system.start(command, {folder = self.state.cwd, output = self:output(run), self = true})
  if not started_child then usage("sweep: " .. message) end
  local child <close> = started_child
  local entry = {type = "start", trial = run.trial, seed = run.seed, attempt = attempt, worker = self.name, owner = self.process,
                 child = lease.process(child:pid()), resume = resume and resume:sub(#self.folder + 2)}
  if not self:append(entry, free) then return end  -- closes the held child, which ends it
  local started, still = system.monotonic(), held_by(self, run, attempt)
  child:go()
  local code, reason = self:attend(run, child, still)
  if reason and not reason.status then return end
  local outcome = reason or trial.outcome(definition, trial.folder(self.folder, definition, run), code, self:output(run))
  if reason and reason.status == "released" and code == 0 then outcome = trial.outcome(definition, trial.folder(self.folder, definition, run), 0) end
  if system.interrupted() then outcome.killed = nil end  -- by what also told this worker to stop
  if outcome.status == "finished" and definition.pruner then self:look(run, still, false) end
  self:finish(run, outcome, still, started)
end

-- free: whether nobody has begun it since it was chosen.
function Worker:start(run)
  local attempt = run.attempt
  local function free() return run.status == "waiting" and run.attempt == attempt end
  local resume, outcome = self:before(run)
  if outcome then return self:finish(run, outcome, free) end
  self:begin(run, resume, free)
end

-- A run whose worker is dead.
function Worker:take(run)
  if run.child and lease.alive(run.child) then lease.stop(run.child) end
  local attempt, name = run.attempt, run.worker
  local function free() return run.status == "running" and run.attempt == attempt and run.worker == name end
  local resume, outcome = self:before(run)
  if run.prune then outcome = {status = "pruned", message = run.prune} end
  if self.state:worn(run) then outcome = {status = "failed", message = ("killed %d times, or its worker (out of memory?)"):format(run.kills + 1)} end
  local status = self.state:status(self.state.trials[run.trial + 1])
  if not outcome and (status == "failed" or status == "pruned") then outcome = {status = "released"} end
  if outcome then return self:finish(run, outcome, free) end
  self:begin(run, resume, free)
end

function Worker:suggest(number)
  local entry = {type = "trial", trial = number}
  self:append(entry, function()
    if #self.state.trials ~= number then return false end
    entry.config = suggest(self.state.spec, number, self.state:known())
    self.state.exhausted = entry.config == nil
    return entry.config ~= nil
  end)
end

-- "lr=0.0003 model.placement=late", without what is the same for all.
function worker.describe(state, number)
  local shown = {}
  for _, dim in ipairs(state.spec.dims) do
    local value = state.trials[number + 1].config[dim.key]
    shown[dim.key] = math.type(value) == "float" and ("%.4g"):format(value) or value
  end
  return table.concat(trial.words(shown), " ")
end

function worker.line(state, run)
  local parts = {("trial %d"):format(run.trial), #state.spec.seeds > 1 and (" seed %d"):format(run.seed) or "", ": ", run.status}
  for _, o in ipairs(state.spec.objectives) do
    parts[#parts + 1] = run.status == "finished" and (" %s %s"):format(o.name, objective.text(run.values[o.name])) or ""
  end
  parts[#parts + 1] = run.message and ": " .. run.message or ""
  parts[#parts + 1] = ("  (%s)"):format(worker.describe(state, run.trial))
  return table.concat(parts)
end

local function attach(folder, opts)
  local name = lease.name()
  local self = setmetatable({folder = folder, name = name, process = lease.process(), device = opts.device, print = opts.print or function() end,
                             journal = journal_of.open(folder, name), state = state_of.new(), beat = lease.heartbeat(folder)}, Worker)
  self:catch_up()
  if not self.state.spec then usage(("sweep: %s: no sweep's folder (its journal is empty)"):format(folder)) end
  self.dead = lease.watch(folder, self.state.lease)
  return self
end

function worker.run(folder, opts)
  local self = attach(folder, opts)
  system.hold_interrupts(true)
  local idle = SHORT_IDLE
  while not system.interrupted() do
    self:catch_up()
    local what, which = self.state:next(function(run) return self.dead(run.worker, run.owner) end)
    if what == "done" or what == "wait" and opts.wait == false then break end
    if what == "wait" then
      system.sleep(idle)
      idle = math.min(2 * idle, LONG_IDLE)
    else
      self[what](self, which)
      idle = SHORT_IDLE
    end
  end
  local signal = system.interrupted()
  system.clear_interrupt()
  system.hold_interrupts(false)
  return signal and 128 + signal or 0
end

return worker

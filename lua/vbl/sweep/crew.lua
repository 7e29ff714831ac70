-- The workers of this machine: starts them, starts one anew that was killed, tells what they do, and ends them on Ctrl-C. They share
-- nothing but the folder, so this process may be killed at any time: its workers then end too (SIGTERM from the kernel), and
-- `vbl sweep resume FOLDER` goes on.
--
--   crew.run(folder, {jobs=, devices=})      to the sweep's end; an interrupt raises, once all have ended
local c = require "vbl.store.c"
local console = require "vbl.runs.console"
local journal_of = require "vbl.sweep.journal"
local lease = require "vbl.sweep.lease"
local objective = require "vbl.sweep.objective"
local process = require "vbl.process"
local results = require "vbl.sweep.results"
local state_of = require "vbl.sweep.state"
local status = require "vbl.sweep.status"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local worker = require "vbl.sweep.worker"

local crew = {}

local POLL, TERM = 0.2, 15
local SHORT, DEATHS = 2, 5  -- a worker that is killed within SHORT seconds, DEATHS times on end, is given up

local Crew = {}
Crew.__index = Crew

function Crew:employ(i)
  local device = self.devices and self.devices[(i - 1) % #self.devices + 1]
  local words = {system.executable(), "sweep", "worker", self.folder}
  if device then table.move({"--device", device}, 1, 2, #words + 1, words) end
  local log = ("%s/workers/%s-%d.log"):format(self.folder, lease.name(), i)
  local child, message = system.start(words, {output = log, self = true})
  if not child then usage("sweep: " .. message) end
  child:go()
  local deaths = self.workers[i] and self.workers[i].deaths or 0
  self.workers[i] = {child = child, log = log, began = system.monotonic(), deaths = deaths}
end

-- One that has ended: its place is free, or taken anew.
function Crew:ended(i, code)
  local w = self.workers[i]
  w.child = nil
  if code == 0 or self.stopping then return end
  if code < 128 then
    self.failure = process.last_words(c.read_file(w.log)) or "a worker ended with exit code " .. code
    return
  end
  w.deaths = system.monotonic() - w.began < SHORT and w.deaths + 1 or 0
  self.screen.line(("worker %d was ended by signal %d%s"):format(i, code - 128, w.deaths < DEATHS and "; another one takes its place" or ""))
  if w.deaths < DEATHS then self:employ(i) end
end

function Crew:working()
  local any = false
  for i, w in ipairs(self.workers) do
    local code = w.child and w.child:poll()
    if code then self:ended(i, code) end
    any = any or self.workers[i].child ~= nil
  end
  return any
end

local function summary(state)
  local counts, best = state:counts(), state:best()
  local text = ("%d of %d trials, %d running, %d pruned, %d failed"):format(counts.finished + counts.pruned + counts.failed, state.budget, counts.running,
                                                                          counts.pruned, counts.failed)
  if #best == 0 then return text end
  if #state.spec.objectives > 1 then return ("%s, %d on the Pareto front"):format(text, #best) end
  local name = state.spec.objectives[1].name
  return ("%s, best %s %s (trial %d)"):format(text, name, objective.text(state:values(best[1])[name]), best[1].number)
end

-- Tells what the journal says that is new.
function Crew:tell()
  for _, entry in ipairs(self.journal:read()) do
    self.state:apply(entry)
    if entry.type == "end" and self.told then self.screen.line(worker.line(self.state, self.state:run(entry))) end
  end
  self.told = true  -- what was there before this process is not news
  self.screen.progress(summary(self.state))
end

function Crew:stop()
  self.stopping = true
  self.screen.line "interrupted: the trials that run save a checkpoint and end"
  for _, w in ipairs(self.workers) do
    if w.child then w.child:signal(TERM) end
  end
end

local function attend(self)
  while self:working() do
    self:tell()
    if system.interrupted() and not self.stopping then self:stop() end
    system.sleep(POLL)
  end
  self:tell()
  self.screen.clear()
end

function crew.run(folder, opts)
  local self = setmetatable({folder = folder, devices = opts.devices, workers = {}, screen = console.new(), state = state_of.new(),
                             journal = journal_of.open(folder, lease.name())}, Crew)
  self.screen.line(("%s: %d worker%s"):format(folder, opts.jobs, opts.jobs == 1 and "" or "s"))
  system.hold_interrupts(true)
  self:tell()
  for i = 1, opts.jobs do self:employ(i) end
  attend(self)
  local reached = status.open(folder)
  print(reached)
  results.write(reached)
  if self.stopping then
    print(("interrupted; go on with: vbl sweep resume %s"):format(folder))
    system.hold_interrupts(false)  -- raises
  end
  system.hold_interrupts(false)
  if self.failure then usage("sweep: " .. self.failure) end
  local what = self.state:next(function() return false end)
  if what ~= "done" then usage(("sweep: %s: its workers ended before it did; go on with: vbl sweep resume %s"):format(folder, folder)) end
  local counts = self.state:counts()
  if self.state:hopeless() then usage(("sweep: the first %d trials failed and none succeeded: nothing more is started"):format(counts.failed)) end
  if counts.finished == 0 then usage(("sweep: no trial succeeded (%d failed, %d pruned)"):format(counts.failed, counts.pruned)) end
end

return crew

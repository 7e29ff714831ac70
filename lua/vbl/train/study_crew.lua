-- Makes the runs of a study, some at a time, each a process (vbl.train.study_cell). A run that fails takes no other with it but those that wait for it
-- (`after`); Ctrl-C lets the processes save a checkpoint, and whatever ends this process ends them.
--   crew.run(cells, flags, jobs) -> cells that failed, each with its message in cell.failure
local cells_of = require "vbl.train.study_cell"
local console = require "vbl.runs.console"
local process = require "vbl.process"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local POLL, LOOK, TERM = 0.2, 10, 15  -- seconds between looks at the processes, at what their runs have reached

local Crew = {}
Crew.__index = Crew

local function title(self, i) return ("%d of %d: %s, seed %d"):format(i, #self.cells, self.cells[i].name, self.cells[i].seed) end

local function best_of(record)
  local best = record.result.best
  return best and ("best %s %.4f in epoch %d"):format(best.metric, best.value, best.epoch) or record.status
end

-- The output of a run that shares the terminal with no other goes there.
function Crew:output(one)
  if self.jobs == 1 then return nil end
  store.make_folder(self.flags.out .. "/output")
  return ("%s/output/%s.txt"):format(self.flags.out, one.name_of_run)
end

function Crew:begin(i)
  local one = self.cells[i]
  local what = cells_of.look(one, self.flags)
  one.state = what == "done" and "done" or "running"
  if what == "done" then return self.screen.line(("== %s: kept, %s: %s"):format(title(self, i), best_of(one.record), one.record.path)) end
  local output = self:output(one)
  self.screen.line(("== %s%s"):format(title(self, i), what == "resume" and ": goes on" or ""))
  one.began = system.monotonic()
  one.child = cells_of.start(one, self.flags, self.threads, output)
  one.output = output
end

local function clock(seconds) return ("%d:%02d"):format(seconds // 60, math.floor(seconds) % 60) end

function Crew:ended(i, code)
  local one = self.cells[i]
  one.child = nil
  local record = cells_of.left(one, self.flags)
  if code == 0 and record and record.status == "finished" then
    one.state = "done"
    return self.screen.line(("   %s: %s, %s: %s"):format(title(self, i), best_of(record), clock(system.monotonic() - one.began), record.path))
  end
  one.state = "failed"
  if self.stopping then return end
  one.failure = code > 128 and "ended by signal " .. code - 128 or record and record.message or
    one.output and process.last_words(store.read_file(one.output)) or "exit code " .. code
  self.screen.line(("   %s: FAILED: %s%s"):format(title(self, i), one.failure, one.output and " (" .. one.output .. ")" or ""))
end

-- The number of a cell that may begin: one whose `after` is done. One whose `after` failed has failed too.
function Crew:next()
  for i, one in ipairs(self.cells) do
    if not one.state then
      local before = one.after and one.after.state
      if not one.after or before == "done" then return i end
      if before == "failed" then
        one.state, one.failure = "failed", ("needs %s, which failed"):format(one.after.name)
        self.screen.line(("   %s: FAILED: %s"):format(title(self, i), one.failure))
      end
    end
  end
end

function Crew:fill()
  while not self.stopping and self.running < self.jobs do
    local i = self:next()
    if not i then return end
    self:begin(i)
    if self.cells[i].child then self.running = self.running + 1 end
  end
end

function Crew:poll()
  for i, one in ipairs(self.cells) do
    local code = one.child and one.child:poll()
    if code then
      self.running = self.running - 1
      self:ended(i, code)
    end
  end
end

-- "easy-vqa-late seed 2: epoch 3 of 6"
function Crew:progress()
  local parts, done = {}, 0
  for _, one in ipairs(self.cells) do
    done = done + (one.state == "done" and 1 or 0)
    if one.child then
      local record = cells_of.left(one, self.flags)
      local _, epoch = nil, nil
      if record then _, epoch = record:last() end
      parts[#parts + 1] = ("%s seed %d, epoch %s of %s"):format(one.name, one.seed, epoch or "-", one.config_now.epochs or "?")
    end
  end
  self.screen.progress(("%d of %d runs done; %s"):format(done, #self.cells, table.concat(parts, "; ")))
end

function Crew:stop()
  self.stopping = true
  self.screen.line "interrupted: the runs that are under way save a checkpoint and end"
  for _, one in ipairs(self.cells) do
    if one.child then one.child:signal(TERM) end
  end
end

function Crew:work()
  local look = 0
  self:fill()
  while self.running > 0 do
    self:poll()
    self:fill()
    if system.interrupted() and not self.stopping then self:stop() end
    if self.jobs > 1 and system.monotonic() > look then
      self:progress()
      look = system.monotonic() + LOOK
    end
    if self.running > 0 then system.sleep(POLL) end
  end
  self.screen.clear()
end

local crew = {}

function crew.run(cells, flags, jobs)
  local self = setmetatable({cells = cells, flags = flags, jobs = jobs, threads = math.max(1, flags.threads // jobs), running = 0, screen = console.new()}, Crew)
  system.hold_interrupts(true)
  local ok, message = pcall(self.work, self)
  if not ok then self:stop() end
  system.hold_interrupts(false)  -- raises what is pending
  if not ok then error(message, 0) end
  local failed = {}
  for _, one in ipairs(cells) do
    if one.state == "failed" then failed[#failed + 1] = one end
  end
  return failed
end

return crew

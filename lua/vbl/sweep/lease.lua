-- Who is alive. A process is {host, pid, start}: host is the name and the boot's number, start the clock ticks from boot to its start
-- (/proc/PID/stat), so that a number given anew is not taken for the old process.
-- On one host the process table tells at once. A worker on another host is alive while its heartbeat, a count in a file, changes: the
-- observer's own clock says for how long it has not, so that clocks of hosts may differ as they like.
--
--   lease.process([pid]) -> {host=, pid=, start=}      this process or one of its children; nil when there is none
--   lease.name() -> HOST-PID-START, this process's name among all
--   lease.alive(process) -> boolean; nil where its host is another
--   lease.stop(process)      ends a process of this host and its group: SIGTERM, after `grace` seconds SIGKILL; returns when it is gone
--   lease.heartbeat(folder) -> function to be called often
--   lease.watch(folder, seconds) -> function(worker's name, process) -> whether it is dead
local c = require "vbl.store.c"
local system = require "vbl.system.c"

local lease = {}

local GRACE, TERM, KILL = 30, 15, 9

local function first_line(path)
  local file = io.open(path)
  if not file then return nil end
  local line = file:read "l"
  file:close()
  return line
end

local host

function lease.host()
  host = host or ("%s/%s"):format(first_line "/proc/sys/kernel/hostname" or "host", first_line "/proc/sys/kernel/random/boot_id" or "")
  return host
end

-- Fields 3 (state) and 22 (start) of /proc/PID/stat, behind the name, which may hold anything but ends at the last bracket.
local function state_of(pid)
  local line = first_line(("/proc/%d/stat"):format(pid))
  local fields = line and line:match "^.*%)%s(.*)$"
  if not fields then return nil end
  local list = {}
  for field in fields:gmatch "%S+" do list[#list + 1] = field end
  return list[1], math.tointeger(tonumber(list[20]))
end

function lease.process(pid)
  pid = pid or system.pid()
  local _, start = state_of(pid)
  return start and {host = lease.host(), pid = pid, start = start}
end

function lease.name()
  local me = lease.process()
  return ("%s-%d-%d"):format(me.host:match "^[^/]*":gsub("[^%w%-]", "-"), me.pid, me.start)
end

function lease.alive(process)
  if process.host ~= lease.host() then return nil end
  local state, start = state_of(process.pid)
  return start == process.start and state ~= "Z" and state ~= "X"
end

function lease.stop(process)
  local started = system.monotonic()
  local signal = TERM
  while lease.alive(process) do
    if signal then system.kill(process.pid, signal) end
    signal = nil
    if system.monotonic() - started > GRACE then signal = KILL end
    system.sleep(0.05)
  end
end

function lease.heartbeat(folder)
  local path, count, last = ("%s/workers/%s.beat"):format(folder, lease.name()), 0, nil
  return function(seconds)
    local now = system.monotonic()
    if last and now - last < seconds / 6 then return end
    count, last = count + 1, now
    c.write_atomic(path, count .. "\n")
  end
end

function lease.watch(folder, seconds)
  local seen = {}  -- worker -> {its heartbeat, when it was first seen}
  return function(worker, process)
    local alive = lease.alive(process)
    if alive ~= nil then return not alive end
    local beat, now = first_line(("%s/workers/%s.beat"):format(folder, worker)) or "none", system.monotonic()
    if not seen[worker] or seen[worker][1] ~= beat then seen[worker] = {beat, now} end
    return now - seen[worker][2] > seconds
  end
end

return lease

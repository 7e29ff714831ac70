-- What a process that met a fault said and left: the judge of tests/faults.lua, whose workloads and results these are.
--   judge.recovers(workload[, text]) -> nil or what went wrong: gone on with, it comes to the undisturbed end
--   judge.verdict(workload, result, action, all) -> "past", "tolerated", "said", "errors", "theirs" (a library's crash), or nil and what is wrong
local traces = require "fault_traces"

local judge = {}

-- Of memory that is refused while a library is loaded the loader says no more than that it could not be opened.
local reasons = {ENOMEM = {"memory", "Memory", "Thread creation failed", "cannot open shared object file"}, ENOSPC = {"No space left"}, EIO = {"Input/output error"}, EACCES = {"Permission denied"}, EMFILE = {"Too many open files"},
                 EROFS = {"Read-only file system"}, EXDEV = {"cross-device"}, ENOENT = {"No such file"}, EDQUOT = {"quota"}, EBUSY = {"busy"}, ENOLCK = {"No locks"},
                 ESTALE = {"Stale"}, EAGAIN = {"thread", "Thread", "temporarily unavailable"}}

local function says(text, action)
  if text:find("standard output: not all could be written", 1, true) then return true end  -- the C library keeps no reason
  for _, part in ipairs(reasons[action] or {}) do
    if text:find(part, 1, true) then return true end
  end
  return false
end

-- The lines that the undisturbed run does not have, but for their numbers ("peak memory 65 MB" is no word of memory that was refused).
local function news(w, text)
  local known, list = {}, {}
  local function masked(line) return (line:gsub("%d+", "#")) end
  for line in w.calm:gmatch "[^\n]+" do known[masked(line)] = true end
  for line in text:gmatch "[^\n]+" do
    if not known[masked(line)] then list[#list + 1] = line end
  end
  return table.concat(list, "\n")
end

local signals = {[134] = "SIGABRT", [135] = "SIGBUS", [136] = "SIGFPE", [137] = "SIGKILL", [139] = "SIGSEGV"}

-- What is left must do: the same again, undisturbed, comes to the same end, but for checkpoints that are said to be missing: of an epoch that is
-- over, and the best one, in whose place stands the best of those that were written. text: what the first run said, if it could.
function judge.recovers(w, text)
  local r, missing = w.again(), {}
  for kind in ((text or "") .. r.err):gmatch "checkpoint (%S+) was not written" do missing[kind] = true end
  if r.code == 1 and r.err:find("the run is finished, but the checkpoint", 1, true) then
    local difference = w.whole(missing)
    return difference and "gone on with, the end is another: " .. difference or nil
  end
  if r.code ~= 0 then return ("afterwards it does not go on: exit code %s: %s"):format(r.code, r.err:sub(-600)) end
  missing.last = nil
  local difference = w.whole(next(missing) and missing)
  return difference and "gone on with, the end is another: " .. difference or nil
end

-- What it left beside its results, before anything goes on. all: each call failed, from one on.
local function left_wrong(w, r, all)
  for _, run in ipairs(w.runs and traces.runs(w.runs) or {}) do
    local wrong = traces.run(run, w.name ~= "sweep" and r or nil)  -- a trial is another process than the sweep's
    if wrong then return wrong end
  end
  if r.code ~= 0 then return nil end  -- the process is over, libgomp's and oneDNN's ends among them
  return traces.descriptors(r.open, w.open) or w.needs and not all and traces.turns(r.out, w.out, w.needs) or nil
end

-- Refused memory for the code that it generates, oneDNN crashes; libgfortran, while it is loaded with OpenBLAS, crashes or aborts.
local function inside_library(note)
  for frame in (note:match " by (.*)" or ""):gmatch "%S+" do
    local name = frame:match "^[^.+]*"
    if name ~= "libvbl_faults" and name ~= "libc" and name ~= "libasan" then return name == "libdnnl" or name == "libgfortran" end
  end
end

-- What the process lacked is no fault of its data.
local function blames_data(text, action)
  return (action == "ENOMEM" or action == "EMFILE") and (text:match "[^\n]*damaged[^\n]*" or text:match "[^\n]*fail to decode[^\n]*" or text:match "[^\n]*skipped with its texts[^\n]*")
end

function judge.verdict(w, r, action, all)
  if (r.code == 139 or r.code == 134 or r.err:find("AddressSanitizer: SEGV", 1, true)) and inside_library(r.note) then
    local wrong = judge.recovers(w)
    return not wrong and "theirs" or nil, wrong
  end
  if r.err:find("ERROR: AddressSanitizer", 1, true) or r.err:find("ERROR: LeakSanitizer", 1, true) then return nil, r.err:match "ERROR: .*":sub(1, 3000) end
  if r.count.any == 0 then return nil, "nothing was counted: is the program another than the driver's?" end
  if r.fired == 0 then return "past" end
  if r.hung then return nil, "hangs" end
  if r.code >= 128 then return nil, signals[r.code] or "signal " .. r.code - 128 end
  r.all = all
  local wrong = left_wrong(w, r, all)
  if wrong then return nil, wrong end
  local text = news(w, r.err .. (w.interactive and "" or r.out))
  local said = says(text, action)
  wrong = blames_data(text, action)
  if wrong then return nil, "it blames the data: " .. wrong end
  if r.code ~= 0 then
    if not r.err:find "%S" then return nil, "no message, exit code " .. r.code end
    if not said then return nil, "the message does not say the reason" end
    wrong = judge.recovers(w, text)
    if wrong then return nil, wrong end
    return "errors"
  end
  local difference = w.whole()
  if not difference and w.interactive and r.out ~= w.out then difference = "the output differs" end
  if difference and not said then return nil, "success is said, but " .. difference end
  if difference then
    wrong = judge.recovers(w, text)
    if wrong and not w.interactive then return nil, wrong end
  end
  return said and "said" or "tolerated"
end

return judge

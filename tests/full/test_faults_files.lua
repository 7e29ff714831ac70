-- Calls on files, folders, locks, threads and processes fail, one after the other, in each workload: see tests/faults.lua. Of each kind the first, the
-- last and as many by chance: VBL_TEST_FAULTS each.
local faults = require "faults"

local plans = {  -- class, action, how many calls from the k-th on (0: all)
  {"write", "ENOSPC", 0}, {"write", "EIO", 1}, {"write", "SHORT", 0}, {"read", "SHORT", 0}, {"read", "EIO", 1}, {"create", "EROFS", 0}, {"create", "EACCES", 1},
  {"open", "EMFILE", 1}, {"sync", "EIO", 1}, {"close", "EIO", 1}, {"rename", "EXDEV", 0}, {"rename", "EIO", 1}, {"rename", "LOST", 1}, {"mkdir", "EACCES", 0},
  {"mkdir", "LOST", 1}, {"unlink", "EACCES", 1}, {"unlink", "LOST", 1}, {"lock", "ENOLCK", 1}, {"map", "ENOMEM", 1}, {"thread", "EAGAIN", 1},
  {"process", "EAGAIN", 1}, {"clock", "BACK", 0},
}

-- Maps: the program's own alone, as oneDNN runs code in pages that it did not get.

local most = tonumber(os.getenv "VBL_TEST_FAULTS" or 6)
local fewer = {sweep = 3}  -- a sweep takes a dozen times as long as a run

faults.each({"pretrain", "threads", "finetune", "resume", "pack", "prompt", "sweep"}, function(name)
  local w = faults.workloads[name]()
  for i, plan in ipairs(plans) do
    local n = math.max(1, most // (fewer[name] or 1))
    local caller = plan[1] == "map" and "program" or nil
    if w.count[plan[1]] > 0 then faults.attack(w, plan[1], plan[2], {count = plan[3], first = n, last = n, drawn = n, seed = i, caller = caller}) end
  end
end)

faults.finish()

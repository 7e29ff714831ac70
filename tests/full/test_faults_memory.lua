-- Memory is refused at the places of the program that ask for it: at the first and at the last call from each, then at all from some call on.
local faults = require "faults"

local seed = tonumber(os.getenv "VBL_TEST_SEED" or 1)
local most = tonumber(os.getenv "VBL_TEST_FAULTS" or 100)
local few = math.min(most // 10, 200)

faults.each({"prompt", "pack", "pretrain", "resume", "finetune", "sweep"}, function(name)
  local w = faults.workloads[name]()
  faults.attack(w, "memory", "ENOMEM", {count = 2, sites = most, seed = seed})  -- twice: Lua asks again after it has collected
  faults.attack(w, "memory", "ENOMEM", {count = 1, first = 0, last = 0, drawn = few, seed = seed + 1})
  faults.attack(w, "memory", "ENOMEM", {count = 0, first = 0, last = 0, drawn = few, seed = seed + 2})
end)

faults.finish()

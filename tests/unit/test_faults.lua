-- A few of the faults and kills that tests/full/test_faults_*.lua and test_kills.lua go through at length (docs/robustness.md).
local check = require "check"
local faults = require "faults"

check.group("the prompt: memory refused", function()
  faults.attack(faults.workloads.prompt(), "memory", "ENOMEM", {count = 2, first = 0, last = 1, drawn = 5, seed = 3})
end)

check.group("pretraining: a full disk, a rename whose answer is lost, a refused thread", function()
  local w = faults.workloads.pretrain()
  faults.attack(w, "write", "ENOSPC", {count = 0, first = 0, last = 0, drawn = 1, seed = 4})
  faults.attack(w, "rename", "LOST", {first = 0, last = 0, drawn = 2})
  faults.attack(w, "thread", "EAGAIN", {first = 1, last = 0, drawn = 0})
  faults.kills(w, 3, 2)
end)

faults.finish()

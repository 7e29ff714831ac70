-- A few of the faults and kills that tests/full/test_faults_*.lua and test_kills.lua go through at length (docs/robustness.md).
local check = require "check"
local faults = require "faults"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

-- The tool itself: what was synced stays, and the rest does not.
check.group("a power cut", function()
  local script = faults.write("cut.lua", ([[
    local c, at = require "vbl.store.c", %q .. "/"
    local log = c.append(at .. "log")
    c.write_atomic(at .. "synced", "whole")  -- its folder is synced, with the log's name
    log:write "one\n"
    log:sync()
    log:write "two\n"
    local file = io.open(at .. "unsynced", "w")
    file:write "lost"
    file:close()
    os.rename(at .. "unsynced", at .. "renamed")
    os.remove(at .. "nothing")
  ]]):format(faults.disk))
  local function read(name)
    local path = faults.disk .. "/" .. name
    return system.exists(path) and store.read_file(path) or nil
  end
  for _, way in ipairs {"strict", "names", "mixed"} do
    store.remove(faults.disk)
    store.make_folder(faults.disk)
    local r = faults.power_cut(way, "unlink:1", 5, function(opts) return faults.run({script}, opts) end)
    check.ok(r.fired == 1 and r.code == 137, r.err)
    check.equal(read "synced", "whole")
    check.equal(read "unsynced", nil)
    if way == "mixed" then
      check.ok(("one\ntwo\n"):sub(1, #read "log") == read "log" and #read "log" >= 4, read "log")
    else
      check.equal(read "log", "one\n")
      check.equal(read "renamed", way == "names" and "" or nil)
    end
  end
end)

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

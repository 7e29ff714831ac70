-- A few of the faults and kills that tests/full/test_faults_*.lua and test_kills.lua go through at length (docs/robustness.md).
local check = require "check"
local faults = require "faults"
local judge = require "fault_judge"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local traces = require "fault_traces"

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

-- The judge finds what it looks for.
check.group("what a fault leaves", function()
  local calm = faults.run {"-e", "x = 1"}
  local leak = faults.run {"-e", "require 'vbl.store.c' local f = io.open '/dev/zero' os.exit(0, false)"}
  check.equal(traces.descriptors(calm.open, calm.open), nil)
  check.ok((traces.descriptors(leak.open, calm.open) or ""):find("left open: /dev/zero", 1, true), leak.open)
  local text, needs = traces.marked {{"a"}, {"b", needs = {1}}, {"c"}, {"d"}}
  check.ok(text:find '^a\nio.write%("<1>\\n"%);\nb\n')
  local whole = "1\n<1>\n2\n<2>\n3\n<3>\n4\n<4>\n"
  check.equal(traces.turns(whole, whole, needs), nil)
  check.equal(traces.turns("<1>\n<2>\n3\n<3>\n4\n<4>\n", whole, needs), nil)  -- the second needs the first
  check.equal(traces.turns("1\n2\n<2>\n3\n<3>\n4\n<4>\n", whole, needs), nil)  -- a mark was lost
  check.ok(traces.turns("1\n<1>\n2\n<2>\n<3>\n<4>\n", whole, needs))
  local run, row = faults.folder .. "/a-run", '{"step":1,"name":"x","value":1}'
  store.make_folder(run)
  local function files(given)
    for name, content in pairs {["config.lua"] = "return {}", ["metrics.jsonl"] = row .. "\n", ["log.txt"] = "2025-01-01 00:00:00 - INFO - run folder x\n",
                                ["result.json"] = '{"status":"finished"}', ["report.html"] = '<p class="status finished"></html>\n'} do
      store.write_atomic(run .. "/" .. name, given[name] or content)
    end
    return traces.run(run, {code = given.code or 0, err = ""}) or ""
  end
  check.equal(files {}, "")
  check.ok(files({["metrics.jsonl"] = row .. '\n{"a"'}):find "ends within a line")
  check.ok(files({["metrics.jsonl"] = row .. '\n{"a"{"a":2}\n'}):find "no whole line")
  check.ok(files({["log.txt"] = "2025-01-01 00:00:00 - INFO - hal2025-01-01 00:00:00 - INFO - b\n"}):find "no whole line")
  check.ok(files({["report.html"] = "<p>"}):find "not whole")
  check.ok(files({code = 1}):find "the process ended with 1")
  check.ok(files({["result.json"] = '{"status":"failed"}', code = 1}):find "report.html says finished")
  check.ok(files({["result.json"] = '{"status":"failed"}', ["report.html"] = '<p class="status failed"></html>', code = 1}):find "log.txt ends as if")
end)

check.group("what counts as the word of a refusal", function()
  local w = {calm = "peak memory 65 MB\n1 threads\n", open = "", again = function() return {code = 0, err = ""} end}
  local r = {code = 0, err = "", out = "peak memory 71 MB\n1 threads\n", fired = 1, note = "", open = "", count = {any = 1}}
  w.whole = function() return "the end differs" end
  for _, action in ipairs {"ENOMEM", "EAGAIN"} do
    local kind, wrong = judge.verdict(w, r, action)
    check.ok(not kind and wrong:find("success is said, but the end differs", 1, true), wrong)
  end
  w.whole = function() end
  check.equal(judge.verdict(w, r, "ENOMEM"), "tolerated")
  r.err = "vbl: no report of the run: not enough memory\n"
  check.equal(judge.verdict(w, r, "ENOMEM"), "said")
  r.err = "image a.png: damaged image data (memory)\n"
  check.ok(select(2, judge.verdict(w, r, "ENOMEM")):find "blames the data")
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

-- A run that is killed, at any moment and any number of times, and resumed ends as the run that was not: the same weights, moments and metrics.
local check = require "check"
local c = require "vbl.store.c"
local trainer = require "trainer"
local random = require "vbl.data.c"
local system = require "vbl.system.c"

local whole = trainer.expect(0, {"--threads", "1", env = {MOMENT = "nowhere 0"}})

-- Kills at each of the moments in turn, resuming after each; then to the end. Returns how often it was killed, false where the first kill
-- left no run. What is left of a run may end before a later moment's count.
local function killed_at(moments)
  local run, kills = nil, 0
  for _, moment in ipairs(moments) do
    local words = run and {"--threads", "1", "--resume", run} or {"--threads", "1"}
    words.env = {MOMENT = moment}
    local text, code, new = trainer.run(words)
    check.ok(code == 137 or code == 0 and run and moment:find "^count", ("%s: exit code %s: %s"):format(moment, code, text))
    run, kills = run or new, kills + (code == 137 and 1 or 0)
  end
  if not run or not system.exists(run .. "/config.lua") then return false end
  trainer.expect(0, {"--threads", "1", "--resume", run})
  trainer.same(whole, run)
  return kills
end

check.group("killed before the first checkpoint", function() check.ok(killed_at {"forward 3 KILL"}) end)

check.group("killed inside a checkpoint's writing, first, within an epoch, at an epoch's end", function()
  check.ok(killed_at {"tensors 1 KILL", "tensors 2 KILL", "state 1 KILL"})
  check.ok(killed_at {"tensors 4 KILL", "tensors 5 KILL"})
  check.ok(killed_at {"state 8 KILL"})
end)

-- How many thousand instructions the run takes.
local function length()
  local _, text = trainer.expect(0, {"--threads", "1", env = {MOMENT = "count 0"}}, "calls")
  return tonumber(text:match "calls\t(%d+)")
end

check.group("killed at random moments, some runs several times", function()
  local most, kills = length(), 0
  local draw = 0
  local function moment()
    draw = draw + 1
    return ("count %d KILL"):format(1 + math.floor(random.uniform(11, "order", draw) * most))
  end
  for _, times in ipairs {1, 1, 1, 2, 2, 3} do
    local moments = {}
    for i = 1, times do moments[i] = moment() end
    -- What is left gets shorter with every resume: later kills come earlier.
    for i = 2, times do moments[i] = ("count %d KILL"):format(math.max(1, tonumber(moments[i]:match "%d+") // (2 * i))) end
    kills = kills + (killed_at(moments) or 0)
  end
  print(("  %d kills within %d000 instructions"):format(kills, most))
  check.ok(kills >= 8)
end)

check.group("killed by the clock: inside kernels, writes and waits too", function()
  local started = system.monotonic()
  trainer.expect(0, {"--threads", "1"})
  local seconds, run = system.monotonic() - started, nil
  for i = 1, 4 do
    local words = run and {"--threads", "1", "--resume", run} or {"--threads", "1"}
    words.kill_after = 0.1 + seconds * 0.7 * random.uniform(12, "order", i)
    local _, code, new = trainer.run(words)
    check.ok(code == 137 or code == 0)
    run = run or new
  end
  trainer.expect(0, {"--threads", "1", "--resume", run})
  trainer.same(whole, run)
end)

-- The last epoch is the one that is killed.
check.group("result.json: the alignment before training and at the last epoch, of a resumed run too", function()
  local _, _, run = trainer.run {"--threads", "1", env = {MOMENT = "state 8 KILL"}}
  trainer.expect(0, {"--threads", "1", "--resume", run})
  local found = {}
  for i, path in ipairs {whole, run} do
    local alignment = vbl.load(path .. "/result.json").alignment
    found[i] = c.json_encode(alignment, {nan = "string"})
    for when, epoch in pairs {before = 0, after = 2} do
      local rows = vbl.runs.open(path):metrics {split = "probe.mismatched", name = "layer.1.procrustes"}
      check.equal(alignment[when].mismatched[2].procrustes, rows[epoch + 1].value)
    end
  end
  check.equal(found[1], found[2])
  local without = trainer.expect(0, {"probe_samples=0", "epochs=1"})
  check.equal(vbl.load(without .. "/result.json").alignment, nil)
end)

trainer.finish()

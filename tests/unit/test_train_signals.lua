-- Ctrl-C and SIGTERM while training: what was reached is saved, the way to go on is said, the exit code is 128 + the signal's number, and the
-- resumed run ends as one that was never stopped.
local check = require "check"
local trainer = require "trainer"
local c = require "vbl.store.c"
local system = require "vbl.system.c"

local whole = trainer.expect(0, {"--threads", "1"})

local function step_of(run)
  local path = run .. "/checkpoints/last/state.json"
  return system.exists(path) and vbl.load(path).state.counters.step
end

-- Stops a run at the moment, checks the saved step, resumes.
local function stopped(moment, code, step, ...)
  local first, again = moment:match "^(.-) then (.*)$"
  local run, text = trainer.expect(code, {"--threads", "1", env = {MOMENT = first or moment, AGAIN = again}}, "interrupted", "go on with: vbl ", "--resume", ...)
  check.ok(text:find("--resume " .. run, 1, true), text)
  check.ok(c.read_file(run .. "/log.txt"):find("go on with", 1, true))
  check.ok(text:find("\nvbl: interrupted at [^\n]*%.lua:%d+\n$") and not text:find("vbl.train", 1, true), text)
  check.equal(step_of(run), step)
  trainer.expect(0, {"--threads", "1", "--resume", run})
  trainer.same(whole, run)
end

-- Each step prepares three works. Epoch 0's evaluation prepares the first three; one after an epoch three of the test and three of training pairs.
check.group("within a step: the step is finished and saved", function()
  stopped("prepare 8 INT", 130, 2, "at step 2 of 8")
  stopped("prepare 23 TERM", 143, 5, "at step 5 of 8")
end)

check.group("within an evaluation, before training and after an epoch: nothing of it is written", function()
  stopped("forward 2 INT", 130, 0, "at step 0 of 8")
  stopped("prepare 17 TERM", 143, 4, "at step 4 of 8")
  stopped("prepare 20 INT", 130, 4, "at step 4 of 8")
end)

check.group("while a checkpoint is written: it is finished", function()
  stopped("tensors 3 INT", 130, 3)
  stopped("state 6 TERM", 143, 3)
end)

check.group("Ctrl-C twice: the step is dropped, the checkpoint before it stays", function()
  stopped("prepare 14 INT INT", 130, 3, "checkpoints/last")
  stopped("prepare 5 INT INT", 130, 0)
end)

check.group("Ctrl-C twice between an update and its metrics, and within the lines of a step and of an epoch", function()
  stopped("update 5 INT INT", 130, 4)
  local line, step, epoch = 0, nil, nil
  for text in trainer.metrics(whole):gmatch "[^\n]+" do
    line = line + 1
    if not step and text:find('"step":5,"epoch":2,"split":"step"', 1, true) then step = line + 3 end
    if not epoch and text:find('"step":4,"epoch":1,"split":"test"', 1, true) then epoch = line + 3 end
  end
  stopped(("metric %d INT INT"):format(step), 130, 4)
  stopped(("metric %d INT INT"):format(epoch), 130, 3)
end)

check.group("Ctrl-C again, and again, while what was reached is saved: it is saved, and the way to go on is said", function()
  stopped("prepare 8 INT then INT INT", 130, 2, "at step 2 of 8")
  stopped("prepare 14 INT INT then INT", 130, 3, "after step 3 of 8")
end)

check.group("Ctrl-C twice in an evaluation and in a checkpoint's writing", function()
  stopped("forward 3 INT INT", 130, 0)
  stopped("tensors 4 INT INT", 130, 3)
end)

-- The prompt that follows the script (-i) is typed into.
local typed = trainer.write("typed.txt", "t = vbl.train.last\nt\nt:continue().folder\nprint('left', vbl.train.last)\nt:continue()\n")

local function prompted(code, moment, ...)
  local first, again = moment:match "^(.-) then (.*)$"
  return trainer.expect(code, {"-i", trainer.script, "--threads", "1", script = true, env = {MOMENT = first or moment, AGAIN = again}, limit = ("exec <'%s';"):format(typed)}, ...)
end

check.group("at the prompt: trainer:continue() goes on in the same process, bit for bit; after a second Ctrl-C from the checkpoint before", function()
  local function continued(moment, ...)
    local run, text = prompted(0, moment, "go on with: vbl.train.last:continue(), or later: vbl ", "trainer of ", "left\tnil", "it has gone on already", ...)
    check.ok(text:find("\n" .. run .. "\nleft", 1, true), text)
    trainer.same(whole, run)
  end
  continued("prepare 8 INT", "at step 2 of 8; :continue()", "goes on at step 2 of 8")
  continued("prepare 14 INT INT", "goes on at step 3 of 8")
  continued("prepare 8 INT then INT", "at step 2 of 8; :continue()", "goes on at step 2 of 8")
end)

check.group("SIGTERM ends the script, and no prompt follows", function() prompted(143, "prepare 8 TERM", "interrupted at step 2 of 8") end)

check.group("Ctrl-C before training: no run is needed to go on", function()
  local script = trainer.write("early.lua", [[
    local system = require "vbl.system.c"
    system.run {"/bin/sh", "-c", "kill -INT " .. system.pid()}
    vbl.train.pretrain(vbl.config({}, vbl.train.schemas()))
  ]])
  local _, text = trainer.expect(130, {script, script = true}, "interrupted")
  check.ok(not text:find("go on with", 1, true), text)
end)

trainer.finish()

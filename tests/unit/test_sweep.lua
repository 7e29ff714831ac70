-- Sweeps as a user starts them, on an experiment that trains nothing: what is found, what fails and why, what is pruned, what is stopped,
-- killed and gone on with.
local check = require "check"
local sweeps = require "sweeps"
local c = require "vbl.store.c"
local lease = require "vbl.sweep.lease"
local system = require "vbl.system.c"

local function finish(child)
  local code
  repeat
    code = child:poll()
    if not code then system.sleep(0.01) end
  until code
  return code
end

check.group("a child is held until it is let go, in a group of its own, and ends with its parent", function()
  local mark, out = sweeps.folder .. "/mark", sweeps.folder .. "/out.txt"
  local child = assert(system.start({"sh", "-c", "echo $PWD; touch mark; exit 3"}, {folder = sweeps.folder, output = out}))
  system.sleep(0.1)
  check.ok(not system.exists(mark) and child:poll() == nil and lease.alive(lease.process(child:pid())))
  child:go()
  check.equal(finish(child), 3)
  check.ok(system.exists(mark) and c.read_file(out):find(sweeps.folder, 1, true))
  check.error(function() child:go() end, "goes already")
  do
    local dropped <close> = assert(system.start {"sh", "-c", "touch never"})
  end
  check.ok(not system.exists "never")
  child = assert(system.start {"sh", "-c", "sleep 60 & wait"})
  child:go()
  system.sleep(0.05)
  child:signal(9)
  check.equal(finish(child), 128 + 9)
  child = assert(system.start({"/nowhere/program"}, {output = out}))
  child:go()
  check.equal(finish(child), 127)
  check.ok(c.read_file(out):find("cannot start /nowhere/program: No such file or directory", 1, true))
  local text = sweeps.run {"-e", [[local s = require "vbl.system.c"; local c = s.start {"sleep", "60"}; c:go(); print(c:pid()); s.sleep(0.1); s.kill(s.pid(), 9) os.exit(0)]]}
  local pid = tonumber(text:match "%d+")
  for _ = 1, 100 do
    if not lease.process(pid) then break end
    system.sleep(0.02)
  end
  check.ok(not (lease.process(pid) and lease.alive(lease.process(pid))), "the child outlived its parent")
end)

check.group("the journal under writers beside each other: every entry once, in one order", function()
  local folder, writers, each = sweeps.folder .. "/log", 4, 25
  for _, part in ipairs {"journal", "workers"} do c.make_folder(folder .. "/" .. part) end
  local script = sweeps.write("writer.lua", [[
    local journal = require("vbl.sweep.journal").open(arg[1], "w" .. arg[2])
    for i = 1, tonumber(arg[3]) do
      repeat journal:read() until journal:append {type = "note", writer = tonumber(arg[2]), i = i, after = journal.count}
    end
  ]])
  local children = {}
  for w = 1, writers do
    children[w] = assert(system.start {system.executable(), script, folder, tostring(w), tostring(each)})
    children[w]:go()
  end
  for _, child in ipairs(children) do check.equal(finish(child), 0) end
  local last, entries = {}, sweeps.entries(folder)
  check.equal(#entries, writers * each)
  for n, e in ipairs(entries) do
    check.equal(e.after, n - 1)                     -- written knowing all before it
    check.equal(e.i, (last[e.writer] or 0) + 1)     -- a writer's own in their order, none twice
    last[e.writer] = e.i
  end
  for _, other in ipairs {"7\n", "[]\n", '{"trial": 1}\n', "null\n"} do
    c.write_atomic(folder .. "/journal/000007.json", other)
    check.error(function() sweeps.entries(folder) end, "000007.json", "no entry of a journal")
  end
  c.remove(folder .. "/journal/000007.json")
  check.error(function() sweeps.entries(folder) end, "000007.json", "lost an entry")
end)

check.group("grid with seeds: every configuration and seed, the score a mean, the best and its command", function()
  local folder = sweeps.folder .. "/grid"
  local text = sweeps.expect(0, {sweeps.file("grid", [[space = {x = sweep.linear(0, 1, 2), kind = sweep.choice {"a", "b"}, epochs = 1},
    objective = "val.loss", method = "grid", seeds = {0, 2}, jobs = 2]])}, "4 finished", "best: trial 0", "0.2 ± 0.014 (2)")
  local ends = sweeps.check_journal(folder, {0, 2})
  check.equal(#sweeps.entries(folder), 1 + 4 + 8 + 8)
  check.near(ends[0][2].values["val.loss"], 0.3 ^ 2 + 0.02 + 0.1, 1e-15)
  local command = text:match "again: vbl ([^\n]*)"
  local again = sweeps.run {"-e", "", table.unpack((function()
    local words = {}
    for word in (command .. " --out " .. folder .. "/again"):gmatch "%S+" do words[#words + 1] = word end
    return words
  end)())}
  check.equal(again, "")
  local run = folder .. "/again/" .. system.list(folder .. "/again")[1]
  check.equal(vbl.load(run .. "/result.json").values["val.loss"], ends[0][0].values["val.loss"])
  local record = vbl.sweep.open(folder)
  check.ok(#record.trials == 4 and record.best[1].number == 0 and record.trials[1].n == 2 and record.trials[4].values["val.loss"] > 1)
  check.equal(#vbl.runs.list {out = folder .. "/trials"}, 8)
end)

check.group("failed trials say why and are never scored; --retry begins them again", function()
  local folder = sweeps.folder .. "/fails"
  local file = sweeps.file("fails", [[space = {harm = sweep.choice {"", "fail 1", "crash 1", "nan", "kill-self 1"}, epochs = 2},
    objective = "val.loss", method = "grid", jobs = 2]])
  sweeps.expect(0, {file}, "2 finished, 3 failed", "trial 1: failed: told to fail at epoch 1", "trial 2: failed: ended by signal 6 (SIGABRT)",
                "trial 3: failed: val.loss is", "best: trial 0")
  local ends = sweeps.check_journal(folder, {0})
  check.ok(ends[1][0].values == nil and ends[3][0].values == nil)
  check.equal(ends[4][0].attempt, 2)  -- killed from outside: went on from its checkpoint
  check.equal(ends[4][0].values["val.loss"], ends[0][0].values["val.loss"])
  sweeps.expect(0, {"sweep", "resume", folder, "--retry"}, "4 finished, 1 failed")  -- the harm is done once; NaN stays
end)

check.group("an objective that no trial reports: what they report is said, and nothing more is started after five", function()
  local file = sweeps.file("nothing", [[space = {x = sweep.linear(0, 1), epochs = 1}, objective = "max val.acuracy", method = "random", trials = 30, jobs = 2]])
  sweeps.expect(1, {file}, "reports no 'val.acuracy'", "it reports: val.loss", "none succeeded")
  check.ok(#vbl.sweep.open(sweeps.folder .. "/nothing").trials <= 7)
end)

check.group("median pruning: bad runs are stopped with a checkpoint, good ones are not", function()
  local folder = sweeps.folder .. "/prune"
  sweeps.expect(0, {sweeps.file("prune", [[space = {x = sweep.choice {0.3, 0.31, 0.32, 3.0, 4.0}, epochs = 4, pause = 0.6}, objective = "val.loss",
    method = "grid", jobs = 3, pruner = {"median", startup = 2}]])}, "pruned", "worse than the median", "best: trial 0")
  local ends = sweeps.check_journal(folder, {0})
  check.ok(ends[3][0].status == "pruned" and ends[4][0].status == "pruned" and ends[3][0].values == nil)
  local state = vbl.load(folder .. "/" .. ends[3][0].run .. "/checkpoints/last/state.json").state
  check.ok(state.epoch < 4, "stopped at epoch " .. state.epoch)
end)

check.group("a report of the last step is known as such: there is nothing left to save", function()
  local files, rows = require("run_files").new(), {}
  for epoch = 0, 3 do rows[epoch + 1] = {step = 10 * epoch, epoch = epoch, split = "val", name = "loss", value = 1 / (epoch + 1)} end
  local path = files:make("a", {manifest = {steps = 30}, metrics = rows})
  local definition = {objectives = {require("vbl.sweep.objective").read("val.loss")[1]}}
  local reports = require("vbl.sweep.trial").reports(definition, path)
  check.equal(#reports .. tostring(reports[2].last) .. tostring(reports[3].last), "3falsetrue")
  reports = require("vbl.sweep.trial").reports(definition, files:make("b", {metrics = rows}))
  check.equal(reports[3].last, false)  -- of an experiment that does not say how many steps it has
  files:remove()
end)

check.group("two objectives: the front, a key of the manifest", function()
  local text = sweeps.expect(0, {sweeps.file("front", [[space = {x = sweep.choice {0.3, 0.8, 1.3}, y = sweep.choice {0.5, 0.1}, epochs = 1},
    objective = {"val.loss", "max manifest.total_parameters"}, method = "grid", jobs = 2]])}, "6 finished", "Pareto front")
  sweeps.expect(0, {sweeps.file("counts", [[space = {x = 0.3, y = sweep.choice {18017.53}, epochs = 1}, objective = {"val.loss", "max manifest.total_parameters"}, method = "grid",
    seeds = {0, 1}, jobs = 2]])}, "1801753 ± 0 (2)")
  local record = vbl.sweep.open(sweeps.folder .. "/front")
  check.equal(#record.best, 2)  -- x = 0.3 with either y
  check.ok(text:find("x=0.3 y=0.5", 1, true) and text:find("x=0.3 y=0.1", 1, true))
  -- What it came to, for a spreadsheet: a line a trial, the front marked; the same as status says.
  local lines, best = vbl.load(sweeps.folder .. "/front/trials.tsv"), {}
  check.equal(table.concat(lines[1], " "), "trial status val.loss val.loss sd manifest.total_parameters manifest.total_parameters sd runs seconds best x y message")
  check.equal(#lines, 7)
  local reached = vbl.sweep.open(sweeps.folder .. "/front")
  for i, t in ipairs(reached.trials) do
    check.near(tonumber(lines[i + 1][3]), t.values["val.loss"], 1e-12)
    if lines[i + 1][9] == "yes" then best[#best + 1] = t.number end
  end
  local numbers = {}
  for i, t in ipairs(reached.best) do numbers[i] = t.number end
  check.equal(table.concat(best, " "), table.concat(numbers, " "))
end)

check.group("kill -9 of a worker, of all processes, and at the end of a run: nothing lost, nothing twice", function()
  for name, harm in pairs {worker = "kill-worker 1", ["worker-late"] = "kill-worker end", all = "kill-all 2", begin = "kill-all 0"} do
    local folder = sweeps.folder .. "/k-" .. name
    local file = sweeps.file("k-" .. name, ([[space = {x = sweep.choice {0.1, 0.2, 0.3, 0.4}, harm = %q, epochs = 3}, objective = "val.loss",
      method = "grid", jobs = 2]]):format(harm))
    local code = select(2, sweeps.run {file})
    check.equal(code, harm:find "all" and 128 + 9 or 0)
    for _ = 1, 20 do
      if code == 0 then break end
      code = select(2, sweeps.run {"sweep", "resume", folder})
    end
    check.equal(code, 0)
    local ends = sweeps.check_journal(folder, {0})
    for i, x in ipairs {0.1, 0.2, 0.3, 0.4} do check.near(ends[i - 1][0].values["val.loss"], (x - 0.3) ^ 2 + 0.1 / 3, 1e-15) end
    for i = 0, 3 do
      check.ok((ends[i][0].attempt == 1) == (harm == "kill-worker end"), ("%s: trial %d ended in attempt %d"):format(harm, i, ends[i][0].attempt))
      local rows = {}  -- a run that went on wrote each epoch once
      for _, row in ipairs(vbl.runs.open(folder .. "/" .. ends[i][0].run):metrics()) do rows[#rows + 1] = row.epoch end
      check.equal(table.concat(rows, " "), "1 2 3")
    end
    check.equal(#sweeps.processes(folder), 0)
  end
end)

-- Starts vbl with the words, waits until a run reports epoch 1 that had not before, sends the signal, waits. -> output, code
local function stopped(words, folder, signal)
  local out = sweeps.folder .. "/stopped.txt"
  c.remove(out)
  local function reporting()
    local n = 0
    for _, name in ipairs(system.list(folder .. "/trials") or {}) do n = n + (system.exists(folder .. "/trials/" .. name .. "/checkpoints/last") and 1 or 0) end
    return n
  end
  local before = reporting()
  local child = assert(system.start({system.executable(), table.unpack(words)}, {output = out}))
  child:go()
  for _ = 1, 500 do
    if reporting() > before then break end
    system.sleep(0.02)
  end
  system.kill(child:pid(), signal)
  local code = finish(child)
  return c.read_file(out), code
end

check.group("Ctrl-C and SIGTERM: the runs save and end, and the sweep goes on", function()
  for signal, code in pairs {[2] = 130, [15] = 143} do
    local name = "stop-" .. signal
    local folder = sweeps.folder .. "/" .. name
    local text, got = stopped({sweeps.file(name, [[space = {x = sweep.choice {0.1, 0.2, 0.3}, pause = 0.3, epochs = 3}, objective = "val.loss", method = "grid", jobs = 2]])},
                              folder, signal)
    check.equal(got, code)
    check.ok(text:find("go on with: vbl sweep resume " .. folder, 1, true), text)
    check.equal(#sweeps.processes(folder), 0)
    sweeps.expect(0, {"sweep", "resume", folder, "jobs=1"}, "3 finished")
    sweeps.check_journal(folder, {0})
  end
end)

check.group("more trials are the same sweep; another space is not", function()
  local folder = sweeps.folder .. "/edit"
  local function file(high, trials)
    return sweeps.file("edit", ([[space = {x = sweep.linear(0, %s), epochs = 1}, objective = "val.loss", method = "random", trials = %d, jobs = 2]]):format(high, trials))
  end
  sweeps.expect(0, {file(1, 2)}, "2 finished")
  sweeps.expect(1, {file(1, 2)}, "holds this sweep already", "vbl sweep resume " .. folder)
  sweeps.expect(0, {"sweep", "resume", folder, "trials=4"}, "4 finished")
  sweeps.expect(0, {"sweep", "resume", folder}, "4 finished", "over 4 trials")  -- what a resume asked for is not taken back by the next
  file(1, 5)
  sweeps.expect(0, {"sweep", "resume", folder}, "5 finished", "over 5 trials")  -- but by an edit
  file(1, 4)
  sweeps.expect(0, {"sweep", "resume", folder, "trials=6"}, "6 finished")
  sweeps.expect(0, {"sweep", "resume", folder}, "6 finished", "over 6 trials")
  file(2, 4)
  sweeps.expect(1, {"sweep", "resume", folder}, "was edited", "'space.x.high' is 1 in", "and 2 in the file", "Undo the edit")
  sweeps.expect(1, {sweeps.folder .. "/edit.lua"}, "holds another sweep", "'space.x.high'")
  sweeps.expect(0, {"sweep", "status", folder}, "6 finished")
end)

check.group("an interrupted resume goes on to as many trials as it was asked for, more or fewer than the file says", function()
  local folder = sweeps.folder .. "/budget"
  local file = sweeps.file("budget", [[space = {x = sweep.linear(0, 1, 6), pause = 0.3, epochs = 2}, objective = "val.loss", method = "grid", jobs = 1]])
  check.equal(select(2, stopped({file}, folder, 15)), 143)
  for _, trials in ipairs {2, 4, 9} do
    local text, code = stopped({"sweep", "resume", folder, "trials=" .. trials}, folder, 15)
    check.ok(code == 143 and text:find("go on with: vbl sweep resume " .. folder, 1, true), text)
    trials = math.min(trials, 6)  -- as many as the grid has
    sweeps.expect(0, {"sweep", "resume", folder}, trials .. " finished", ("over %d trials"):format(trials))
    check.equal(#vbl.sweep.open(folder).trials, trials)
  end
end)

check.group("what is wrong is said before anything is made", function()
  local function refused(fields, ...)
    sweeps.expect(1, {sweeps.file("bad", fields)}, ...)
    check.ok(not system.exists(sweeps.folder .. "/bad"))
  end
  local rest = [[, objective = "val.loss", trials = 2, method = "random"]]
  refused([[space = {x = sweep.linear(0, 1)}, objective = "val.loss", trials = 2, method = "tpr"]], "unknown method 'tpr', did you mean 'tpe'")
  refused([[space = {}]] .. rest, "space is empty")
  refused([[space = {xx = sweep.linear(0, 1)}]] .. rest, "does not take xx=", "unknown key 'xx'")
  refused([[space = {kind = sweep.choice {1, 2}, epochs = sweep.choice {"many"}}]] .. rest, "key 'epochs': expected a number")
  refused([[space = {x = sweep.linear(0, 1)}, trails = 3]] .. rest, "unknown key 'trails', did you mean 'trials'")
  refused([[space = {x = sweep.linear(0, 1)}, objective = "val.loss", method = "random"]], "trials is missing")
  refused([[space = {x = sweep.linear(0, 1)}, objective = "val.loss", method = "grid"]], "how many points")
  refused([[space = {x = sweep.linear(0, 1)}, seeds = {}]] .. rest, "seeds: expected at least one")
  local function bad_file(text, ...) sweeps.expect(1, {sweeps.write("bad.lua", text)}, ...) end
  bad_file([[vbl.sweep {name = "a", experiment = "/nowhere/x.lua", method = "random"}]], "/nowhere/x.lua: No such file")
  bad_file(([[vbl.sweep {name = "a", experiment = %q, folder = "/proc/x/y", space = {x = vbl.sweep.linear(0, 1)}, objective = "val.loss", trials = 1, method = "random"}]])
    :format(sweeps.toy), "/proc/x")
  bad_file(([[vbl.sweep {name = "a", experiment = %q, folder = %q, space = {x = vbl.sweep.linear(0, 1)}, objective = "val.loss", trials = 1, method = "random"}]])
    :format(sweeps.toy, sweeps.folder), "is not empty and holds no sweep")
  sweeps.expect(1, {"sweep", "status", sweeps.folder}, "no sweep's folder")
  sweeps.expect(1, {"sweep", "statsu"}, "did you mean 'status'")
  sweeps.expect(0, {"sweep", "--help"}, "vbl sweep resume FOLDER")
  local plan = sweeps.file("plan", [[space = {x = sweep.linear(0, 1)}, objective = "val.loss", method = "random", trials = 3]])
  sweeps.expect(0, {plan, "--plan"}, "random over 3 trials", "trial 2")
  plan = sweeps.file("plan", [[space = {xx = sweep.linear(0, 1)}, objective = "val.loss", method = "random", trials = 3]])
  sweeps.expect(1, {plan, "--plan"}, "does not take xx=", "unknown key 'xx'")
  sweeps.expect(1, {plan, "trils=3"}, "unknown key 'trils', did you mean 'trials'")
end)

check.group("the examples of the documents run as they stand, but for their sizes", function()
  local small = [[["model.dim"] = 16, ["model.layers"] = 4, ["model.mlp"] = 32, ["scenes.test"] = 40, probe_samples = 0, ]]
  local heads = {page = c.read_file "docs/sweeps.md":match "```lua\n(local sweep.-)```", module = c.read_file "lua/vbl/sweep/init.lua":match "\n%-%-   (local sweep.-\n%-%-   }\n)"}
  for name, text in pairs(heads) do
    text = text:gsub("\n%-%-", "\n"):gsub("space = {", "%0" .. small):gsub("= 4000, epochs = 5", "= 96, epochs = 1"):gsub("seeds = {0, 1, 2}", "seeds = {0}, threads = 1")
    sweeps.expect(0, {sweeps.write(name .. "-example.lua", text), "--out", sweeps.folder .. "/" .. name, "trials=2"}, "fusion, tpe over 2 trials", "* best: trial ")
  end
end)

-- Each configuration is that which the entries before it give. -> how many trials had been pruned before the last of them
local function check_suggested(folder)
  local state, suggest, pruned = require("vbl.sweep.state").new(), require "vbl.sweep.suggest", 0
  for _, entry in ipairs(sweeps.entries(folder)) do
    if entry.type == "trial" then
      check.equal(c.json_encode(suggest(state.spec, entry.trial, state:known())), c.json_encode(entry.config))
      pruned = state:counts().pruned
    end
    state:apply(entry)
  end
  return pruned
end

check.group("what tpe suggested follows from the journal before it", function()
  local folder = sweeps.folder .. "/tpe"
  sweeps.expect(0, {sweeps.file("tpe", [[space = {x = sweep.linear(-1, 1), layers = sweep.subset {0, 5, k = {1, 3}}, epochs = 1}, objective = "val.loss", method = "tpe",
    startup = 4, trials = 12, jobs = 3, seed = 7]])}, "12 finished")
  check_suggested(folder)
end)

check.group("tpe with pruned trials and a kill: what was suggested follows from the journal all the same", function()
  local folder = sweeps.folder .. "/tpe-pruned"
  local file = sweeps.file("tpe-pruned", [[space = {x = sweep.linear(-1, 1), epochs = 3, pause = 0.6}, objective = "val.loss", method = "tpe", startup = 3, trials = 9, jobs = 3,
    pruner = {"halving", eta = 3}]])
  stopped({file}, folder, 9)
  sweeps.expect(0, {"sweep", "resume", folder}, " pruned")
  check.ok(check_suggested(folder) > 0, "no trial was pruned before the last was suggested")
end)

check.group("a sweep that was killed at each of its trials suggests what one does that was not", function()
  local function swept(name, harm)
    local folder = sweeps.folder .. "/" .. name
    local file = sweeps.file(name, ([[space = {x = sweep.linear(-1, 1), epochs = 1, harm = %q}, objective = "val.loss", method = "tpe", startup = 3, trials = 8, jobs = 1]]):format(harm))
    local code, kills = select(2, sweeps.run {file}), 0
    while code ~= 0 and kills < 20 do
      code, kills = select(2, sweeps.run {"sweep", "resume", folder}), kills + 1
    end
    local list = {}
    for i, t in ipairs(vbl.sweep.open(folder).trials) do list[i] = t.config.x end
    return table.concat(list, " "), kills
  end
  local whole, killed = swept("whole", ""), {swept("killed", "kill-all 0")}
  check.equal(killed[2], 8)
  check.equal(killed[1], whole)
end)

check.group("workers of another host: alive while the heartbeat changes, whatever its clock says", function()
  local folder = sweeps.folder .. "/beats"
  c.make_folder(folder .. "/workers")
  local dead, other = lease.watch(folder, 0.3), {host = "elsewhere/1", pid = system.pid(), start = 1}
  c.write_atomic(folder .. "/workers/w.beat", "1\n")
  check.ok(not dead("w", other))
  system.sleep(0.2)
  c.write_atomic(folder .. "/workers/w.beat", "2\n")
  check.ok(not dead("w", other))
  system.sleep(0.2)
  check.ok(not dead("w", other))
  system.sleep(0.2)
  check.ok(dead("w", other))
  local me = lease.process()
  check.ok(not dead("me", me) and dead("me", {host = me.host, pid = me.pid, start = me.start + 1}))
end)

check.group("a run of a dead worker elsewhere goes on from its checkpoint once the heartbeat has been silent for the lease", function()
  local folder = sweeps.folder .. "/elsewhere"
  local file = sweeps.file("elsewhere", [[space = {x = sweep.choice {0.1}, harm = "fail 2", epochs = 3}, objective = "val.loss", method = "grid", lease = 2, jobs = 1]])
  sweeps.expect(1, {file}, "1 failed", "no trial succeeded")
  c.remove(folder .. "/journal/000004.json")  -- as if its worker had died before it could say so
  local path = folder .. "/journal/000003.json"
  local start = vbl.load(path)
  check.equal(start.type, "start")
  start.owner.host, start.child.host = "elsewhere/1", "elsewhere/1"
  vbl.save(path, start)
  local began = system.monotonic()
  sweeps.expect(0, {"sweep", "resume", folder}, "1 finished")
  check.ok(system.monotonic() - began >= 2)
  local entries = sweeps.entries(folder)
  check.ok(entries[4].type == "start" and entries[4].attempt == 2 and entries[4].resume == entries[5].run)
  sweeps.check_journal(folder, {0})
end)

check.group("a worker that was taken for dead ends its process and writes no result", function()
  local folder = sweeps.folder .. "/fence"
  local file = sweeps.file("fence", [[space = {x = sweep.choice {0.1}, pause = 1.5, epochs = 3}, objective = "val.loss", method = "grid", jobs = 1]])
  local child = assert(system.start({system.executable(), file}, {output = sweeps.folder .. "/fence.txt"}))
  child:go()
  local journal = require("vbl.sweep.journal").open(sweeps.folder .. "/fence", "usurper")
  for _ = 1, 500 do
    journal:read()
    if journal.count == 3 then break end
    system.sleep(0.02)
  end
  local me = lease.process()
  check.ok(journal:append {type = "start", trial = 0, seed = 0, attempt = 2, worker = "usurper", owner = me, child = me})
  local theirs = vbl.load(folder .. "/journal/000003.json").child
  for _ = 1, 200 do
    if not lease.alive(theirs) then break end
    system.sleep(0.02)
  end
  check.ok(not lease.alive(theirs), "its process still runs")
  journal:read()
  check.ok(journal:append {type = "end", trial = 0, seed = 0, attempt = 2, status = "finished", values = {["val.loss"] = 7}})
  check.equal(finish(child), 0)
  check.equal(sweeps.check_journal(folder, {0})[0][0].values["val.loss"], 7)
end)

check.group("the Slurm script: one worker an element, quoted, its options", function()
  local slurm = require "vbl.sweep.slurm"
  local text = slurm.script("/data/my runs/s", {name = "s", threads = 4}, "/home/a", slurm.read {jobs = 8, time = "04:00:00", options = {"--mem=8G"}})
  for _, part in ipairs {"#!/bin/sh\n", "#SBATCH --array=1-8\n", "#SBATCH --cpus-per-task=4\n", "#SBATCH --time=04:00:00\n", "#SBATCH --mem=8G\n",
                         "sweep worker '/data/my runs/s' --no-wait\n"} do
    check.ok(text:find(part, 1, true), "lacks " .. part)
  end
  check.error(function() slurm.read {jobs = 0} end, "jobs")
  check.error(function() slurm.read {jobs = 1, partion = "x"} end, "did you mean 'partition'")
end)

sweeps.finish()

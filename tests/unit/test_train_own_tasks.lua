-- Tasks that a script hands over: which they are is kept with the run, and what is wrong with one is a sentence that names it.
local check = require "check"
local trainer = require "trainer"
local c = require "vbl.store.c"

-- A script whose own task is `more` on top of a sound one; `parts` is what it hands over. At its STOP-th draw the task sends the process a Ctrl-C.
local function script(name, more, parts)
  return trainer.write(name .. ".lua", ([[
local system = require "vbl.system.c"
local config = vbl.config({
  scenes = {train = 32, test = 16},
  model = {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"},
  tasks = {mlm = {}}, epochs = 1, batch = 8, test_samples = 8, probe_samples = 0, checkpoint_every = 2, log_every = 1,
}, vbl.train.schemas())
local draws, task = 0, {name = "mine"}
function task:prepare(_, batch)
  draws = draws + 1
  if draws == tonumber(os.getenv "STOP") then system.run {"/bin/sh", "-c", "kill -INT " .. system.pid()} end
  return {n = batch.n, batch = batch}
end
local function cls(model, work, lo, hi, pass)
  local out = model:run(vbl.tasks.part(work.batch, lo, hi), {pass = pass})
  return model.cls(out.text, out.text_layout)
end
function task:forward(model, work, ...)
  local x = cls(model, work, ...)
  local loss = (x * x):sum() / work.n
  return {loss = loss, stats = {["loss.mine"] = {loss, 0}}}
end
local mlm = vbl.tasks.mlm(config.tasks.mlm)
%s
vbl.train.pretrain(config, %s)
]]):format(more, parts or "{tasks = {mlm, task}}"))
end

local function words(path, ...) return {path, script = true, "--threads", "1", ...} end

local sound = script("sound", "")

-- Ends before training, with one line.
local function refused(more, parts, ...)
  local run, text = trainer.expect(1, words(script("refused", more, parts)), ...)
  check.ok(not run and select(2, text:gsub("\n", "")) == 1, text:sub(1, 600))
end

-- Ends in the first evaluation or step, with a sentence: no place in the trainer's own code.
local function stopped(more, ...)
  local _, text = trainer.expect(1, words(script("stopped", more)), ...)
  check.ok(not text:find("traceback", 1, true) and not text:find("vbl.train.", 1, true), text:sub(-1200))
end

check.group("another script does not go on with a run of other tasks; the one that began it does", function()
  local function cut()
    local opts = words(sound)
    opts.env = {STOP = "5"}
    return trainer.expect(130, opts)
  end
  local run = cut()
  trainer.expect(1, words(script("without", "", "{}"), "--resume", run), "the run trains the tasks mlm, mine and this script", "hands over mlm: go on with the script that began it")
  trainer.expect(1, words(script("turned", "", "{tasks = {task, mlm}}"), "--resume", run), "hands over mine, mlm")
  trainer.expect(0, words(sound, "--resume", run), "resumed at step")
  run = cut()
  local text = c.read_file(run .. "/manifest.json")
  local old, n = text:gsub('"task_names": %b[],%s*', "")
  check.equal(n, 1)
  c.write_atomic(run .. "/manifest.json", old)
  trainer.expect(0, words(sound, "--resume", run), "resumed at step")
end)

check.group("parts that there are none of", function()
  trainer.expect(1, words(script("parts", "", "{task = {task}}")), "parts of vbl.train.pretrain: no option 'task', did you mean 'tasks'? (data, model, tasks)")
  trainer.expect(1, words(trainer.write("finetune.lua", 'vbl.train.finetune(vbl.config({}, vbl.train.schemas "finetune"), {tasks = {}})')),
                 "parts of vbl.train.finetune: no option 'tasks' (data, model)")
  check.error(function() vbl.train.job({flags = {}}, {modle = {}}) end, "parts of vbl.train.job: no option 'modle', did you mean 'model'?")
end)

check.group("--plan ends the script in pretrain", function()
  local script = trainer.write("after.lua", (c.read_file(sound):gsub("(vbl%.train%.pretrain.*)$", 'local run = %1assert(run.test["loss.mine"])\nprint "the run is there"\n')))
  trainer.expect(0, words(script), "the run is there")
  local _, text = trainer.expect(0, words(script, "--plan"), "optimizer steps")
  check.ok(not text:find("the run is there", 1, true), text)
end)

check.group("what is no task", function()
  refused("", "{tasks = task}", "tasks: expected a list of tasks, got a table without one")
  refused("", "{tasks = {mlm, 'ap'}}", "tasks[2]: expected a task with a name, got 'ap'")
  refused("task.name = nil", nil, "tasks[2]: expected a task with a name, got the name nil")
  refused("task.prepare = nil", nil, "task mine: prepare: expected a function prepare(self, data, batch, key), got nothing")
  refused("task.forward = 3", nil, "task mine: forward: expected a function forward(self, model, work, lo, hi, pass), got 3")
  refused("task.weight = -1", nil, "task mine: weight: expected a number of at least 0, or a function(step, total_steps), got -1")
  refused("task.passes = 0", nil, "task mine: passes: expected a whole number from 1 to 2048, got 0")
  refused("task.batch = 9", nil, "task mine: batch: expected a whole number from 1 to the step's 8, got 9")
end)

check.group("a task without a weight is trained with 1", function()
  local one = trainer.expect(0, words(script("weight", "task.weight = 1")))
  check.equal(trainer.metrics(trainer.expect(0, words(sound))), trainer.metrics(one))
  check.equal(vbl.runs.open(one):metrics({split = "step", name = "weight.mine"})[1].value, 1)
  check.ok(vbl.runs.open(one):metrics({split = "step", name = "norm.mine"})[1].value > 0)
  stopped("task.weight = function() end", "task mine: weight(step, total_steps) has to return a number, got nil at step 1")
end)

check.group("slips of the pen are told, fields of a task's own are not", function()
  refused("task.wieght = 0.1", nil, "task mine: no field 'wieght' is known, did you mean 'weight'?")
  refused("task.Batch = 2", nil, "did you mean 'batch'?")
  refused("task.weights = 0.1", nil, "did you mean 'weight'?")
  refused("task.forwrad, task.forward = task.forward, nil", nil, "no field 'forwrad' is known, did you mean 'forward'?")
  stopped("function task:forward(...) local x = cls(...):sum() return {los = x, stats = {}} end", "task mine: forward returns 'los', did you mean 'loss'?")
  trainer.expect(0, words(script("fields", "task.height, task.patch, task.weights, task.joint, task.names = 2, 16, {1, 2}, print, {}"), "--plan"), "optimizer steps")
end)

check.group("a loss without a gradient is told once, also where the run was stopped between", function()
  local function constant(how) return "function task:forward(...) local x = cls(...) local loss = " .. how .. " return {loss = loss, stats = {['loss.mine'] = {loss, 0}}} end" end
  local function told(run)
    local rows = vbl.runs.open(run):alarms()
    return #rows == 1 and rows[1].kind == "untrained" and rows[1].text:find("step 1: the loss of task mine has no gradient", 1, true)
  end
  local detached = script("detached", constant "(x * x):sum():detach()")
  local whole = trainer.expect(0, words(detached))
  check.ok(told(whole))
  check.ok(told(trainer.expect(0, words(detached, "micro_batch=4"))))
  check.ok(told(trainer.expect(0, words(script("frozen", "config.freeze = {'bert.*', 'vit.*', 'fusion.*'}")))))
  check.equal(#vbl.runs.open(trainer.expect(0, words(sound))):alarms(), 0)
  local opts = words(detached)
  opts.env = {STOP = "5"}
  local cut = trainer.expect(130, opts)
  trainer.expect(0, words(detached, "--resume", cut), "resumed at step")
  trainer.same(whole, cut, {"last", "epoch-1"})
end)

check.group("what a task returns", function()
  stopped("function task:prepare() end", "task mine: prepare has to return {n = how many samples, ...}, got nothing")
  stopped("function task:prepare() return {batch = 1} end", "task mine: prepare has to return {n = how many samples, ...}, got n = nil")
  stopped("function task:forward() end", "task mine: forward has to return {loss =, stats = {name = {sum, count}}}, got nothing")
  stopped("function task:forward() return {loss = vbl.zeros(1)} end", "task mine: forward has to return stats = {name = {sum, count}}, got nothing")
  stopped("function task:forward() return {loss = 3.0, stats = {}} end", "task mine: forward has to return a loss that is a tensor of one element, got 3.0")
  stopped("function task:forward(...) return {loss = cls(...), stats = {}} end", "task mine: forward has to return a loss of one element, got a tensor of [8, 16]: take its sum, divided by work.n")
  stopped("function task:forward() return {stats = {bad = vbl.zeros(1)}} end", "task mine: stats['bad']: expected {sum, count}, got a tensor")
  stopped("function task:forward() return {stats = {bad = {vbl.zeros(2), 0}}} end", "task mine: stats['bad']: expected {sum, count}, a number or a tensor of one element, and a number, got {a tensor, 0}")
  stopped("function task:forward(...) return {keys = {cls(...)}, stats = {}} end", "task mine: forward returns keys, and the task has no function join(self, keys, model)")
  stopped("function task:forward(...) return {keys = {cls(...)}, stats = {}} end function task:join() end",
          "task mine: join has to return a loss that is a tensor of one element, got nothing")
  stopped("function task:forward(...) return {keys = {cls(...)}, stats = {}} end function task:join(keys) return keys[1]:sum(), 3 end",
          "task mine: join has to return {name = number} behind its loss, got 3")
end)

check.group("a loss of [1] is one of [], with micro-batches too", function()
  local one = script("one", "local forward = task.forward function task:forward(...) local out = forward(self, ...) out.loss = out.loss:reshape(1) return out end")
  local a, b = trainer.expect(0, words(sound, "micro_batch=4")), trainer.expect(0, words(one, "micro_batch=4"))
  check.equal(trainer.metrics(a), trainer.metrics(b))
end)

trainer.finish()

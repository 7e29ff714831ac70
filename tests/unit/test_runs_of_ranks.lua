-- One run on two ranks, as mpirun starts them: the numbers of one process, one folder, the same bits again and after whatever stopped it.
local check = require "check"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local trainer = require "trainer"

local mpirun = (system.output {"sh", "-c", "command -v mpirun"} or ""):match "^/[^\n]+"
if not mpirun or not system.exists(system.executable():match "^(.*)/" .. "/libvbl_mpi.so") then
  print "SKIPPED: built without MPI, or no mpirun here (libopenmpi-dev, openmpi-bin)"
  os.exit(77)
end

-- words.env, .launcher for two ranks.
local function on_two(words)
  words.launcher = {mpirun, "-n", "2"}
  words.env = words.env or {}
  for name, value in pairs {OMPI_ALLOW_RUN_AS_ROOT = 1, OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1, OMPI_MCA_rmaps_base_oversubscribe = 1, OMPI_MCA_plm = "isolated",
                             LSAN_OPTIONS = "detect_leaks=0"} do words.env[name] = value end
  if not words.looks then table.move({"--threads", "1"}, 1, 2, #words + 1, words) end
  return words
end

local whole, told = trainer.expect(0, on_two {})

-- Every metric of a is one of b, in the same order. Up to the first step, from the same weights, the values are equal but for the order of the sums over a
-- batch: 2e-6, as of unit/test_accumulate. From there on the optimizer turns what rounding left of a gradient into steps.
local function near(a, b)
  local ours, theirs, near_ones = vbl.load(a .. "/metrics.jsonl"), vbl.load(b .. "/metrics.jsonl"), 0
  check.equal(#theirs, #ours)
  for i, row in ipairs(ours) do
    local other = theirs[i] or {}
    local what = ("%s %s, step %d"):format(row.split, row.name, row.step)
    check.equal(("%s %s, step %s"):format(other.split, other.name, other.step), what)
    if row.step <= 1 and row.name ~= "samples_per_second" and type(row.value) == "number" and row.value == row.value then
      check.ok(math.abs(other.value - row.value) <= 2e-6 * math.max(1, math.abs(row.value)), ("%s: %.9g, one process has %.9g"):format(what, other.value, row.value))
      near_ones = near_ones + 1
    end
  end
  check.ok(near_ones > 30, near_ones .. " values")
end

check.group("the run is one process's, in one folder", function()
  local alone = trainer.expect(0, {"--threads", "1"})
  near(alone, whole)
  check.equal(vbl.load(whole .. "/manifest.json").ranks, 2)
  check.equal(vbl.load(alone .. "/manifest.json").ranks, nil)
  check.equal(#system.list((whole:match "^(.*)/")), 1)
  check.ok(not told:find "\27", "a line that is redrawn in place, where mpirun's output is no terminal")
end)

check.group("the same bits again", function() trainer.same(whole, (trainer.expect(0, on_two {}))) end)

local function step_of(run) return vbl.load(run .. "/checkpoints/last/state.json").state.counters.step end

check.group("one rank is killed: all end, and the run goes on bit for bit", function()
  local text, code, run = trainer.run(on_two {env = {MOMENT = "prepare 23 KILL", RANK = "1"}})
  check.ok(code ~= 0, text)
  check.equal(step_of(run), 4)
  trainer.expect(0, on_two {"--resume", run})
  trainer.same(whole, run)
end)

check.group("one rank is told to stop: all do, at one step, which is saved", function()
  for _, rank in ipairs {"0", "1"} do
    local text, code, run = trainer.run(on_two {env = {MOMENT = "prepare 23 TERM", RANK = rank}})
    check.ok(code ~= 0 and text:find("interrupted at step 5 of 8", 1, true), text)
    check.ok(text:find(("go on with: mpirun -n 2 vbl %s --resume %s"):format(trainer.script, run), 1, true), text)
    check.equal(step_of(run), 5)
    trainer.expect(0, on_two {"--resume", run})
    trainer.same(whole, run)
  end
end)

check.group("one process goes on with what two began, and says that it rounds otherwise", function()
  local _, _, run = trainer.run(on_two {env = {MOMENT = "prepare 23 TERM"}})
  trainer.expect(0, {"--threads", "1", "--resume", run}, "began with 2 ranks and goes on with 1")
  near(whole, run)
end)

local function count(text, part)
  local n = 0
  for _ in text:gmatch(part) do n = n + 1 end
  return n
end

-- Photographs of one colour with a square; of four files the pixels are damaged, which is found when they are decoded.
local function photographs()
  store.make_folder(trainer.folder .. "/photographs")
  local lines, split = {}, {}
  for i = 1, 48 do
    local image = vbl.full({3, 32, 32}, i * 5, {dtype = "u8"})
    image:narrow(2, 1 + i % 9, 12):narrow(3, 1 + i % 7, 10):fill_(255 - i * 3)
    local path = ("%s/photographs/%02d.png"):format(trainer.folder, i)
    vbl.save(path, image)
    if i % 12 == 5 then
      local text = store.read_file(path)
      local data = text:find "IDAT" + 4
      store.write_atomic(path, text:sub(1, data + 1) .. ("\xff"):rep(20) .. text:sub(data + 22))
    end
    lines[i], split[i] = ("photographs/%02d.png\ta square, number %d of %d\n"):format(i, i, 50 - i), ("photographs/%02d.png\t%s\n"):format(i, i > 32 and "test" or "train")
  end
  trainer.write("captions.tsv", table.concat(lines))
  trainer.write("split.tsv", table.concat(split))
  return "data=captions:" .. trainer.folder .. "/captions.tsv"
end

check.group("each rank reads its samples' images, and all know which did not decode", function()
  local words = {photographs(), "model.image=32", "captions.max_bad=0.2", "tasks.mim.batch=6", "tasks.ap.augment.strength=strong", "tasks.mim.augment.crop={0.5,1}", "epochs=1"}
  local alone, said = trainer.expect(0, {"--threads", "1", table.unpack(words)}, "replaced by the next")
  local shared, said_too = trainer.expect(0, on_two(words), "replaced by the next")
  near(alone, shared)
  check.equal(count(said_too, "replaced by the next"), count(said, "replaced by the next"))
end)

check.group("a mistake is said once", function()
  for _, words in ipairs {{"bach=4", "unknown key 'bach'"}, {"lr=1e30", "step %d+: loss of task mlm is NaN"}, {"batch=0", "batch"}} do
    local text, code = trainer.run(on_two {words[1]})
    check.ok(code ~= 0, text)
    check.ok(count(text, "vbl: [^\n]*" .. words[2]) == 1, ("%s: %s"):format(words[2], text))
  end
end)

check.group("an error of one rank ends the others with its words", function()
  local script = trainer.write("one_fails.lua", 'local dist = vbl.dist\ndist.start()\nif dist.rank() == 1 then error "the lamp went out" end\nprint(dist.sum(1))')
  local text, code = trainer.run(on_two {script, script = true, looks = true})
  check.ok(code ~= 0 and text:find("one_fails.lua:3: the lamp went out", 1, true) and text:find("rank 1 ended: ", 1, true), text)
end)

-- Of a script's text: what two ranks say, and the exit code.
local made = 0
local function of_script(text, env)
  made = made + 1
  return trainer.run(on_two {trainer.write(("ends_%d.lua"):format(made), text), script = true, looks = true, env = env})
end

check.group("a rank that ends before it asks for the others is missed", function()
  for _, way in ipairs {{0, "it came to its end"}, {3, "it failed"}} do
    local text, code = of_script(('if select(2, require("vbl.dist.c").launched()) == 1 then os.exit(%d) end\nvbl.dist.start()\nprint(vbl.dist.sum(1))'):format(way[1]))
    check.ok(code ~= 0 and count(text, "vbl: [^\n]*rank 1 ended: " .. way[2]) == 1, text)
  end
end)

-- os.exit says nothing, so it is for the others to say that a rank has gone.
check.group("nor does the first rank go unnoticed", function()
  local text, code = of_script('vbl.dist.start()\nif vbl.dist.first() then os.exit(0) end\nvbl.dist.sum(1)')
  check.ok(code ~= 0 and count(text, "vbl: [^\n]*rank 0 ended: it came to its end") == 1, text)
end)

check.group("words are said once: where the first rank comes later to its own, and long ones", function()
  local text, code = of_script('vbl.dist.start()\nif vbl.dist.first() then os.execute "sleep 2" end\nerror "the lamp went out"')
  check.ok(code ~= 0 and count(text, "the lamp went out") == 1, text)
  text, code = of_script('vbl.dist.start()\nif vbl.dist.rank() == 1 then error("the lamp" .. (" and another"):rep(200)) end\nvbl.dist.sum(1)')
  check.ok(code ~= 0 and count(text, "the lamp") == 1, text)
end)

check.group("what a script cannot begin with is said once", function()
  for text, words in pairs {["x = = 2"] = "unexpected symbol", ["vbl.confg {}"] = "confg"} do
    local said, code = of_script(text)
    check.ok(code ~= 0 and count(said, "vbl: [^\n]*" .. words) == 1, said)
  end
  local said, code = trainer.run(on_two {"--sed", "3"})
  check.ok(code ~= 0 and count(said, "unknown flag") == 1, said)
end)

check.group("the standard input is the first rank's alone", function()
  local text, code = trainer.run(on_two {"-", script = true, looks = true, limit = "exec </dev/null;"})
  check.ok(code ~= 0 and count(text, "the standard input is of one process") == 1, text)
end)

check.group("what a rank starts is no rank", function()
  local text, code = of_script([[vbl.dist.start()
    local program = require("vbl.system.c").executable()
    if vbl.dist.first() then os.execute(program .. " -e 'vbl.dist.start() print(\"alone\", vbl.dist.size())'") end
    print("together", vbl.dist.sum(1))]])
  check.ok(code == 0 and text:find "alone%s+1\n" and text:find "together%s+2", text)
end)

-- What a script of a small run begins with.
local function small_run(name, epochs)
  return ([[
    local config = vbl.config({scenes = {train = 32, test = 32}, tasks = {mlm = {}}, epochs = %d, batch = 16, test_samples = 16, probe_samples = 0,
      model = {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16}}, vbl.train.schemas())
    config.flags.out = "%s/%s"
  ]]):format(epochs, trainer.folder, name)
end

check.group("a run that an error stopped goes on in the same processes", function()
  local text, code = of_script(small_run("continued", 2) .. [[
    local task, calls = vbl.tasks.mlm {}, 0
    local prepare = task.prepare
    function task.prepare(...)
      calls = calls + 1
      if calls == 6 then error "the lamp went out" end
      return prepare(...)
    end
    print(pcall(vbl.train.pretrain, config, {tasks = {task}}))
    print("at its end", vbl.train.last:continue().test["loss.mlm"])]])
  check.ok(code == 0 and text:find "the lamp went out" and text:find "at its end%s+%d", text)
end)

check.group("which epoch is the best is for all ranks one", function()
  local text, code = of_script(small_run("best", 3) .. [[
    local kind, epochs = require "vbl.train.pretraining", 0
    function kind.score(job, found)
      epochs = epochs + 1
      return {metric = "loss", value = 1, score = vbl.dist.first() and -epochs or epochs}
    end
    print("at its end", vbl.train.pretrain(config).test["loss.mlm"])]])
  check.ok(code == 0 and text:find "at its end%s+%d", text)
end)

check.group("fine-tuning", function()
  local alone = trainer.expect(0, {trainer.finetune, script = true, "--threads", "1", "--final"})
  local both = trainer.expect(0, on_two {trainer.finetune, script = true, "--final"})
  near(alone, both)
  check.equal(#vbl.load(both .. "/predictions/test.jsonl"), #vbl.load(alone .. "/predictions/test.jsonl"))
end)

check.group("what is of one process", function()
  local text, code = trainer.run(on_two {"doctor", script = true, looks = true})
  check.ok(code ~= 0 and count(text, "which takes a script") == 1, text)
end)
trainer.finish()

-- Fine-tuning as a run: the best checkpoint is what counts, the test split is locked, a stopped run goes on bit for bit, and mistakes are one
-- sentence.
local check = require "check"
local trainer = require "trainer"
local c = require "vbl.store.c"
local data_files = require "data_files"
local system = require "vbl.system.c"
local vbl = require "vbl"

local function words(...) return {trainer.finetune, "--threads", "1", script = true, ...} end

local function result(run) return vbl.load(run .. "/result.json") end

local function predictions(run, split)
  local lines = {}
  for line in io.lines(("%s/predictions/%s.jsonl"):format(run, split)) do lines[#lines + 1] = c.json_decode(line) end
  return table.remove(lines, 1), lines
end

-- metrics.jsonl: value of a name and split at an epoch.
local function metric(run, epoch, split, name)
  local value
  for _, row in ipairs(require("vbl.runs.metrics").read(run .. "/metrics.jsonl")) do
    if row.epoch == epoch and row.split == split and row.name == name then value = value or row.value end
  end
  return value
end

local whole
check.group("a run: folder, result, predictions, locked test", function()
  local text
  whole, text = trainer.expect(0, words(), "Epoch 0/3", "Epoch 3/3", "best checkpoint on val", "the test split is locked")
  local r, manifest = result(whole), vbl.load(whole .. "/manifest.json")
  check.equal(r.status .. r.kind .. r.task, "finishedfinetunescenes")
  check.equal(manifest.kind .. manifest.task .. manifest.baseline, "finetunescenesnone")
  check.equal(manifest.splits.train + manifest.splits.val, 96)
  check.equal(manifest.splits.test, 40)
  check.equal(#r.alignment.before.matched, 6)
  check.equal(#r.alignment.after.mismatched, 6)
  check.ok(r.intervals["val.accuracy"][1] <= r.values["val.accuracy"] and r.values["val.accuracy"] <= r.intervals["val.accuracy"][2])
  local header, lines = predictions(whole, "val")
  check.equal(header.kind .. header.split .. #header.classes, "multiclassval23")
  check.equal(#lines, manifest.splits.val)
  local right = 0
  for _, line in ipairs(lines) do
    local best = 1
    for k, score in ipairs(line.scores) do best = score > line.scores[best] and k or best end
    right = right + (best - 1 == line.label and 1 or 0)
  end
  check.near(right / #lines, r.values["val.accuracy"], 1e-12)
  check.ok(not system.exists(whole .. "/predictions/test.jsonl"))
  check.ok(not c.read_file(whole .. "/metrics.jsonl"):find('"split":"test"', 1, true))
  check.ok(not text:find("test accuracy", 1, true))
end)

check.group("--final on a finished run opens the test split, and nothing else changes", function()
  local before = result(whole)
  trainer.expect(0, {trainer.finetune, "--threads", "1", "--resume", whole, "--final", script = true}, "best checkpoint on test")
  local after = result(whole)
  for name, value in pairs(before.values) do check.equal(after.values[name], value) end
  check.ok(after.values["test.accuracy"] and after.intervals["test.accuracy"][2] > after.intervals["test.accuracy"][1])
  local _, lines = predictions(whole, "test")
  check.equal(#lines, 40)
end)

-- The rate rises to the end of the run: its last epochs destroy what the first learnt.
check.group("the best epoch is what is scored, not the last", function()
  local run = trainer.expect(0, words("warmup=1", "lr=3", "epochs=4", "metric=loss", "--final"))
  local r = result(run)
  check.ok(r.best.epoch < 4, ("best epoch %d of 4"):format(r.best.epoch))
  check.ok(metric(run, 4, "val", "loss.scenes") > metric(run, r.best.epoch, "val", "loss.scenes"))
  check.equal(r.values["val.loss"], metric(run, r.best.epoch, "val", "loss.scenes"))
  check.equal(r.values["val.accuracy"], metric(run, r.best.epoch, "val", "accuracy.scenes"))
  check.equal(predictions(run, "test").checkpoint.epoch, r.best.epoch)
end)

check.group("early stopping", function()
  local run = trainer.expect(0, words("warmup=1", "lr=3", "epochs=12", "metric=loss", "patience=2"), "stopped early: no better loss since epoch")
  local r = result(run)
  check.equal(metric(run, r.best.epoch + 3, "val", "loss.scenes"), nil)
  check.ok(metric(run, r.best.epoch + 2, "val", "loss.scenes") ~= nil)
end)

check.group("killed and resumed, bit for bit", function()
  local plain = trainer.expect(0, words())
  for _, moments in ipairs {{"update 3 KILL"}, {"tensors 2 KILL", "update 4 KILL"}, {"forward 24 KILL"}, {"state 7 KILL"}} do
    local run
    for _, moment in ipairs(moments) do
      local given = run and {trainer.finetune, "--threads", "1", "--resume", run, script = true} or words()
      given.env = {MOMENT = moment}
      local text, code, new = trainer.run(given)
      check.ok(code == 137, ("%s: exit code %s: %s"):format(moment, code, text:sub(-300)))
      run = run or new
    end
    trainer.expect(0, {trainer.finetune, "--threads", "1", "--resume", run, script = true})
    trainer.same(plain, run, {"last", "best"})
    check.equal(c.read_file(plain .. "/predictions/val.jsonl"), c.read_file(run .. "/predictions/val.jsonl"))
  end
end)

check.group("interrupted: result.json says so, and the run goes on", function()
  local given = words()
  given.env = {MOMENT = "update 4 INT"}
  local text, _, run = trainer.run(given)
  check.ok(run ~= nil, text)
  check.equal(result(run).status, "interrupted")
  trainer.expect(0, {trainer.finetune, "--threads", "1", "--resume", run, script = true})
  check.equal(result(run).status, "finished")
end)

-- Films of two genres; the words tell them on train and dev, on test the other way round.
local function genres(files)
  local names = {"light", "dark"}
  for split, n in pairs {train = 24, dev = 16, test = 16} do
    local lines = {}
    for i = 1, n do
      local k = i % 2
      files:image(("img/%s-%d.png"):format(split, i), i)
      lines[i] = c.json_encode {id = ("%s-%d"):format(split, i), img = ("img/%s-%d.png"):format(split, i), text = k == 1 and "a bright day" or "a black night",
                                label = {names[(k + (split == "test" and 1 or 0)) % 2 + 1], i % 3 == 0 and "light" or nil}}
    end
    files:write(split .. ".jsonl", table.concat(lines, "\n") .. "\n")
  end
end

check.group("thresholds come from validation alone", function()
  local files = data_files.new()
  genres(files)
  local run = trainer.expect(0, words("data=jsonl:" .. files.path, "probe_samples=0", "model.image=32", "epochs=2", "--final"), "f1_macro_tuned")
  local val, test = predictions(run, "val"), predictions(run, "test")
  check.equal(c.json_encode(val.thresholds), c.json_encode(test.thresholds))
  check.equal(val.kind .. val.split .. val.data_split, "multilabelvaldev")
  local r = result(run)
  check.ok(r.values["test.f1_macro_tuned"] ~= nil and r.values["test.f1_macro"] ~= nil)
  files:remove()
end)

check.group("matching and retrieval on captions, each with its scores", function()
  local run = trainer.expect(0, words("task=itm", "epochs=1", "probe_samples=0", "head.fusion=product"), "val auroc", "binary, 2 classes, the positive one 'match'")
  local header, lines = predictions(run, "val")
  check.equal(header.kind .. header.classes[1], "binaryno match")
  local matched = 0
  for _, line in ipairs(lines) do matched = matched + line.label end
  check.ok(math.abs(matched - #lines / 2) <= #lines / 16 + 1)
  run = trainer.expect(0, words("task=retrieval", "epochs=1", "probe_samples=0"), "val r1_t2i")
  header, lines = predictions(run, "val")
  local hits = 0
  for _, line in ipairs(lines) do hits = hits + (line.ranks.t2i <= 5 and 1 or 0) end
  check.near(hits / #lines, result(run).values["val.r5_t2i"], 1e-12)
end)

check.group("co-attention switched off at the end, and baselines from a run", function()
  local run = trainer.expect(0, words("ablate={\"fusion.1\", \"fusion.*\"}", "epochs=1", "probe_samples=0"), "accuracy on val without fusion.1")
  check.ok(result(run).values["val.accuracy.without.fusion.*"] ~= nil)
  for _, baseline in ipairs {"text", "image", "no_fusion", "single_stream", "random", "shuffled"} do
    local made = trainer.expect(0, words("from=" .. run, "baseline=" .. baseline, "epochs=1", "probe_samples=8", "scenes.train=64"))
    check.equal(vbl.load(made .. "/manifest.json").baseline, baseline)
  end
  local _, text = trainer.expect(0, words("from=" .. run, "baseline=text", "--plan"), "optimizer steps")
  check.ok(text:find("vit.blocks +[%d,]+ +0\n"), "frozen: the stream that is not read")
  -- The rates from scratch would undo what the weights have learnt, whichever key names them.
  local function rate(...) return dofile(trainer.expect(0, words("epochs=0", "probe_samples=0", ...)) .. "/config.lua").lr end
  local pretrained = rate("from=" .. run)
  check.ok(pretrained < rate())
  check.equal(rate("model.weights=" .. run .. "/checkpoints/last"), pretrained)
  -- What a run came from may be gone: it goes on, and can be looked at, all the same.
  local given = words("from=" .. run, "epochs=1", "probe_samples=0")
  given.env = {MOMENT = "update 4 KILL"}
  local _, _, killed = trainer.run(given)
  c.remove(run)
  trainer.expect(0, {trainer.finetune, "--threads", "1", "--resume", killed, script = true})
  local job = vbl.train.open(killed)
  check.equal(job.kind.name .. job.test:size(), "finetune" .. vbl.load(killed .. "/manifest.json").splits.val)
end)

check.group("an interrupt while co-attention is off: the run that goes on in this process is whole", function()
  local list = {"ablate={\"fusion.1\", \"fusion.*\"}", "epochs=1", "probe_samples=0"}
  local plain, typed = trainer.expect(0, words(table.unpack(list))), trainer.write("typed.txt", "vbl.train.last:continue()\n")
  -- Two calls check the names before training, and one begins the evaluation; the fourth is the first ablation, the fifth its end.
  for _, moment in ipairs {"ablate 4 INT", "ablate 4 INT INT", "ablate 5 INT INT"} do
    local given = {"-i", trainer.finetune, "--threads", "1", script = true, env = {MOMENT = moment}, limit = ("exec <'%s';"):format(typed), table.unpack(list)}
    local run = trainer.expect(0, given, "interrupted after step", "goes on at step")
    for name, value in pairs(result(plain).values) do check.equal(result(run).values[name], value) end
    check.ok(c.read_file(run .. "/predictions/val.jsonl") == c.read_file(plain .. "/predictions/val.jsonl"))
  end
end)

local function sentence(given, ...)
  local run, text = trainer.expect(1, given, ...)
  check.ok(run == nil and select(2, text:gsub("\n", "")) == 1, text:sub(1, 500))
end

check.group("a classifier's classes, and splits that cannot choose an epoch or were seen", function()
  -- A classifier answers for its own classes: other data's stays as it was made, the same data's is taken.
  local files = data_files.new()
  for i = 1, 24 do files:image(("i/%d.png"):format(i), i) end
  local function classes(name, list)
    local lines = {}
    for i = 1, 24 do lines[i] = ('{"img": "i/%d.png", "text": "one of %d", "label": "%s"}'):format(i, i % 3, list[i % 3 + 1]) end
    files:write(name .. ".jsonl", table.concat(lines, "\n") .. "\n")
    return "data=jsonl:" .. files.path .. "/" .. name .. ".jsonl"
  end
  local small = {"model.image=32", "model.patch=8", "probe_samples=0", "epochs=0"}
  local first = trainer.expect(0, words(classes("one", {"cat", "dog", "eel"}), table.unpack(small)))
  trainer.expect(0, words(classes("other", {"z", "y", "a"}), "from=" .. first, table.unpack(small)), "the file's has the classes cat, dog, eel, this one a, y, z; it stays as it was made")
  local taken = select(2, trainer.expect(0, words(classes("one", {"cat", "dog", "eel"}), "from=" .. first, table.unpack(small)), "tensors matched"))
  check.ok(not taken:find("it stays as it was made", 1, true), taken)
  sentence(words("data=jsonl:" .. files.path .. "/one.jsonl", "task=itm", table.unpack(small)), "has labels of its own, cat, dog, eel; task=auto takes them")
  -- What cannot choose an epoch is said before training.
  local one_class = {}
  for i = 1, 12 do one_class[i] = ('{"img": "i/%d.png", "text": "t%d", "label": %s, "split": "%s"}'):format(i, i, i > 8 and "1" or i % 2, i > 8 and "val" or "train") end
  files:write("one_class.jsonl", table.concat(one_class, "\n") .. "\n")
  trainer.expect(1, words("data=jsonl:" .. files.path .. "/one_class.jsonl", table.unpack(small)), "auroc is undefined on the labels of val (4 samples")
  files:write("blank.jsonl", (table.concat(one_class, "\n"):gsub('"label": 1, "split": "val"', '"split": "val"')) .. "\n")
  sentence(words("data=jsonl:" .. files.path .. "/blank.jsonl", table.unpack(small)), "no sample of val has a label")
  -- An image of train among the validated ones is told of.
  files:write("seen.jsonl", (table.concat(one_class, "\n"):gsub('"i/9.png", "text": "t9", "label": 1', '"i/1.png", "text": "t9", "label": 0')) .. "\n")
  trainer.expect(0, words("data=jsonl:" .. files.path .. "/seen.jsonl", table.unpack(small)), "1 of the 4 samples of val show an image that train shows too (the first: i/1.png#9)")
  files:remove()
end)

check.group("mistakes", function()
  sentence(words("metric=acuracy"), "config: metric: task scenes has no metric 'acuracy', did you mean 'accuracy'?")
  sentence(words("task=mmimdb"), "task mmimdb: needs multilabel labels; scenes has none")
  sentence(words("task=scense"), "did you mean 'scenes'?")
  sentence(words("baseline=txt"), "config: baseline", "did you mean 'text'?")
  sentence(words("task=retrieval", "baseline=text"), "it has no text-only baseline")
  sentence(words("head.fusion=hardamard"), "classifier.fusion: expected one of concat, sum, product")
  sentence(words("ablate={\"fusion.7\"}"), "no co-attending block is named 'fusion.7'")
  sentence(words("ablate={co=\"fusion.0\"}"), "expected a list of names")
  sentence(words("freeze={\"brt.*\"}"), "freeze: no parameter is named 'brt.*', did you mean 'bert.*'?")
  sentence(words("freeze={text=\"bert.*\"}"), "freeze: no parameter is named by text = bert.*: expected a list of names")
  sentence(words("val=dve"), "config: val: the data set has no split 'dve'")
  sentence(words("val=test"), "val and test are both 'test'")
  sentence(words("from=/nowhere"), "config: from: /nowhere: no such run, checkpoint or file")
  sentence(words("class_weights=balance"), "config: class_weights", "did you mean 'balanced'?")
  sentence(words("val_fraction=0.001", "scenes.train=20"), "a share of 0.001 held out of 20 samples")
end)

check.group("no sample in two of the splits", function()
  local files = data_files.new()
  for i = 1, 30 do files:image(("img/%d.png"):format(i), i) end
  -- Ten samples, from number `first`.
  local function split(name, first)
    local lines = {}
    for i = 0, 9 do lines[i + 1] = c.json_encode {id = ("s%d"):format(first + i), img = ("img/%d.png"):format(first + i), text = "a picture", label = i % 2} end
    files:write(name .. ".jsonl", table.concat(lines, "\n") .. "\n")
  end
  local function refused(second, third, ...)
    split("train", 1)
    split("val", second)
    split("test", third)
    sentence(words("data=jsonl:" .. files.path, "probe_samples=0", "model.image=32"), ...)
  end
  refused(9, 21, "2 samples of val are also in train (the first: s", "); a probe set must not meet the training set")
  refused(11, 10, "1 sample of test is also in train (the first: s10)")
  refused(11, 19, "2 samples of test are also in val (the first: s", "); what is chosen on one says nothing on the other")
  files:remove()
end)

check.group("a run whose checkpoints were deleted", function()
  c.remove(whole .. "/checkpoints")
  sentence(words("from=" .. whole), "has no whole checkpoint best or last: they were deleted")
  sentence(words("from=" .. whole .. "/checkpoints/best"), "there is no such checkpoint")
  trainer.expect(1, {trainer.finetune, "--resume", whole, script = true}, "its checkpoints were deleted")
  trainer.expect(1, {"--resume", whole}, "it is a finetune run; this script goes on with a pretrain run")
end)

trainer.finish()

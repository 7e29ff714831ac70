-- experiments/analyse.lua, measure_files.lua and sensitivity.lua as a user starts them, on tiny sizes; and what they say of wrong files.
local vbl = require "vbl"
local check = require "check"
local store = require "vbl.store.c"
local trainer = require "trainer"
local system = require "vbl.system.c"

local function script(name, words) return {script = true, looks = true, "experiments/" .. name .. ".lua", table.unpack(words)} end

check.group("analyse: a run, then one of its checkpoints", function()
  local run = trainer.expect(0, {"scenes.test=64"})
  check.ok(vbl.load(run .. "/result.json").status == "finished" and system.exists(run .. "/report.html"), "a run leaves its report")
  local small = {"samples=32", "epoch_samples=32", "tokens=8", "null=9", "measures={\"cka\", \"mknn\"}", "maps={\"cka\"}"}
  trainer.expect(0, script("analyse", {run, table.unpack(small)}), "checkpoint last", "matched", "mismatched", "text - vision", "written to")
  for _, name in ipairs {"layers", "matrix-cka", "pooling", "adjacent", "adjacent-tokens", "dimensionality", "probing", "baseline", "evolution",
                         "evolution-matrix-cka", "correlation", "scatter-layer0"} do
    check.ok(system.exists(("%s/analysis/%s.tsv"):format(run, name)), name .. ".tsv is missing")
  end
  local evolution = vbl.load(run .. "/analysis/evolution.tsv", {header = true})
  check.equal(evolution[1].epoch, "0")
  check.equal(evolution[#evolution].epoch, "2")
  -- Epoch 0 and the last epoch are what the run itself measured, here on the same 8 pairs.
  trainer.expect(0, script("analyse", {run .. "/checkpoints/epoch-1", "epoch_samples=8", "samples=16", "tokens=0", "null=0", "measures={\"procrustes\"}", "maps={}"}),
                 "checkpoint epoch-1")
  local again = vbl.load(run .. "/analysis/evolution.tsv", {header = true})
  for _, row in ipairs(vbl.runs.metrics.read(run .. "/metrics.jsonl")) do
    if row.name == "layer.3.procrustes" and row.split == "probe.mismatched" then
      local found
      for _, r in ipairs(again) do
        if tonumber(r.epoch) == row.epoch and r.layer == "3" and r.partner == "mismatched" then found = tonumber(r.value) end
      end
      check.near(found, row.value, 1e-6)
    end
  end
  trainer.expect(1, script("analyse", {run .. "/checkpoints/epoch-9"}), "no checkpoint 'epoch-9'")
  local few = select(2, trainer.expect(1, script("analyse", {run, "samples=3"}), "samples = 3); at least 8 are needed"))
  check.ok(not few:find("traceback", 1, true), few)
  -- Independent encoders have to be whole: what a file lacks would be the run's own.
  local small = {"epochs=false", "samples=16", "tokens=0", "null=0", "measures={\"cka\"}", "maps={\"cka\"}"}
  local whole, part = vbl.load(run .. "/checkpoints/last/model.safetensors"), {}
  for name, t in pairs(whole) do part[name] = name:find "^bert%." and t or nil end
  vbl.save(trainer.folder .. "/text.safetensors", part)
  trainer.expect(1, script("analyse", {run, "baseline=" .. trainer.folder .. "/text.safetensors", table.unpack(small)}), "of the encoders' parameters, the first vit.", "it needs both whole")
  for name, t in pairs(whole) do part[name] = name:find "^vit%." and t or part[name] end
  vbl.save(trainer.folder .. "/both.safetensors", part)
  trainer.expect(0, script("analyse", {run, "baseline=" .. trainer.folder .. "/both.safetensors", table.unpack(small)}), "written to")
end)

check.group("epoch 0 is what the run began with, or left out", function()
  local started = trainer.expect(0, {"epochs=1", "probe_samples=0"})
  local at = trainer.folder .. "/began"
  system.run {"cp", "-rL", started .. "/checkpoints/last", at}
  local run = trainer.expect(0, {"model.weights=" .. at, "epochs=1", "probe_samples=0"})
  local function epochs_of(path)
    local job, list = vbl.train.open(path)
    local numbers = {}
    for i, row in ipairs(list) do
      job.at(row)
      numbers[i] = row.epoch
    end
    return table.concat(numbers, " ")
  end
  check.equal(epochs_of(started), "0 1")
  check.equal(epochs_of(run), "0 1")
  -- Another file under its name, and none: what is there then is not epoch 0.
  system.run {"cp", run .. "/checkpoints/last/model.safetensors", at .. "/model.safetensors"}
  check.equal(epochs_of(run), "1")
  store.remove(at)
  check.equal(epochs_of(run), "1")
  local _, text = trainer.expect(0, script("analyse", {run, "epoch_samples=8", "samples=16", "tokens=0", "null=0", "measures={\"cka\"}", "maps={}"}), "epoch 0 is left out")
  check.ok(text:find("left out: its seed and weights do not give the model any more", 1, true))
end)

check.group("analyse, attention, report: elsewhere than in the run, into which nothing can be written", function()
  local run = trainer.expect(0, {"scenes.test=64", "probe_samples=0"})
  store.remove(run .. "/report.html")
  store.write_atomic(run .. "/analysis", "no folder")
  store.make_folder(run .. "/report.html/taken")
  local small = {"samples=16", "epochs=false", "tokens=0", "null=0", "measures={\"cka\"}", "maps={}"}
  local refused = select(2, trainer.expect(1, script("analyse", {run, table.unpack(small)}), "vbl: the analysis cannot be written: ", run .. "/analysis", "--out DIR takes it elsewhere"))
  check.equal(select(2, refused:gsub("\n", "")), 1)
  trainer.expect(1, script("attention", {run, "pairs=1"}), "the analysis cannot be written: ", "--out DIR")
  local there = trainer.folder .. "/looked/at"
  trainer.expect(0, script("analyse", {run, "--out", there, table.unpack(small)}), "written to " .. there .. "/\n")
  trainer.expect(0, script("attention", {run, "--out=" .. there .. "/", "pairs=1"}), "written to " .. there .. "/attention-*.png")
  for _, name in ipairs {"layers.tsv", "features.safetensors", "attention.json"} do check.ok(system.exists(there .. "/" .. name), name) end
  check.equal(store.read_file(run .. "/analysis"), "no folder")
  trainer.expect(1, {"report", run, script = true, looks = true}, "vbl: report: " .. run .. "/report.html", "--out FILE.html takes it elsewhere")
  trainer.expect(0, {"report", run, "--out", there .. "/page.html", script = true, looks = true}, there .. "/page.html")
end)

check.group("the name of a run in runs/: resumed, fine-tuned from, analysed, exported", function()
  local there, here = trainer.folder .. "/named", system.cwd()
  store.make_folder(there)
  local function says(words, ...)
    words.limit, words.script, words.looks = ("cd '%s';"):format(there), true, true
    return trainer.expect(0, words, ...)
  end
  says({trainer.script, "--name", "first", "epochs=1", "scenes.test=64", "probe_samples=0"})
  says({trainer.script, "--resume", "first"}, "resumed at step 4 of 4")
  says({trainer.finetune, "--name", "second", "from=first", "epochs=1", "probe_samples=0"}, "from runs/")
  check.ok(require("vbl.runs.folder").config(vbl.runs.find("second", there .. "/runs")).from:find "^runs/[%d-]+%-first$")
  says({here .. "/experiments/analyse.lua", "first", "samples=16", "epochs=false", "tokens=0", "null=0", "measures={\"cka\"}", "maps={}"}, "written to runs/")
  local function refuses(word, message)
    local _, text = trainer.expect(1, {here .. "/experiments/analyse.lua", "first", "samples=16", word, limit = ("cd '%s'; rm -f runs/*/analysis/features*;"):format(there), script = true, looks = true}, message)
    check.ok(not text:find "traceback", text)
    check.equal(system.output {"/bin/sh", "-c", ("ls '%s'/runs/*-first/analysis | /bin/grep features || :"):format(there)}, "")
  end
  refuses('measures={"ckaa"}', "vbl: no measure is named 'ckaa', did you mean 'cka'?")
  refuses('maps={"linear_probe"}', "vbl: 'linear_probe' is no measure of matrices")
  refuses('measures={"effective_rank"}', "vbl: effective_rank is a measure of one matrix")
  refuses("measures={}", "vbl: measures: expected at least one name")
  says({"export", "first", "exported"}, "exported/")
  check.ok(system.exists(there .. "/exported/vilbert.safetensors"))
end)

check.group("analyse: wrong words", function()
  trainer.expect(1, script("analyse", {}), "expected RUN|CHECKPOINT")
  trainer.expect(1, script("analyse", {trainer.folder}), "neither a run, by its folder")
  trainer.expect(1, script("analyse", {trainer.folder, "sample=3"}), "unknown key 'sample', did you mean 'samples'?")
  trainer.expect(1, script("analyse", {trainer.folder, "--final"}), "--final: this script makes no run")
  local help = select(2, trainer.expect(0, script("analyse", {"--help"}), "RUN|CHECKPOINT [key=value ...]", "held-out pairs", "where the files go (RUN/analysis)"))
  check.ok(not help:find("--name", 1, true), help)
  help = select(2, trainer.expect(0, script("measure_files", {"--help"}), "usage: "))
  check.ok(not help:find("--out", 1, true), help)
  trainer.expect(1, script("measure_files", {"a.npy", "b.npy", "--out", trainer.folder}), "--out: this script makes no run")
end)

check.group("measure_files", function()
  vbl.manual_seed(1)
  local x = vbl.randn(40, 6)
  local y = x:matmul(vbl.randn(6, 6)) + vbl.randn(40, 6)
  local function write(name, value)
    vbl.save(trainer.folder .. "/" .. name, value)
    return trainer.folder .. "/" .. name
  end
  local a, b = write("a.npy", x), write("b.safetensors", {features = y:to "f64"})
  local few = {"null=19", "measures={\"cka\", \"mknn\"}"}
  local _, text = trainer.expect(0, script("measure_files", {a, b, "save=" .. trainer.folder .. "/out.tsv", table.unpack(few)}), "cka", "chance", "[40, 6]")
  check.ok(text:find(("%.4f"):format(vbl.measure.cka(x, y)), 1, true), text)
  check.equal(#vbl.load(trainer.folder .. "/out.tsv", {header = true}), 2)
  local function refused(words, ...)
    for _, word in ipairs(few) do words[#words + 1] = word end
    trainer.expect(1, script("measure_files", words), ...)
  end
  for name, content in pairs {["words.tsv"] = "a.jpg\ta dog\n", ["rows.json"] = '{"a": [1, 2]}', ["none.tsv"] = ""} do
    refused({a, trainer.write(name, content)}, name .. ": holds no arrays; expected .npy, .npz or .safetensors")
  end
  refused({a, b, "groups=" .. trainer.folder .. "/nowhere.tsv"}, "nowhere.tsv: cannot open: No such file")
  refused({a, b, "groups=" .. trainer.write("word.json", '"abc"')}, "word.json: holds no labels")
  refused({a, write("short.npy", y:narrow(1, 1, 39))}, "a.npy has 40 rows", "short.npy has 39")
  local bad = y:clone()
  bad[{3, 2}] = 0 / 0
  refused({a, write("nan.npy", bad)}, "nan.npy: NaN at row 3 of 40, column 2 of 6")
  local tokens = write("tokens.npy", vbl.randn(40, 5, 6))
  refused({a, tokens}, "tokens.npy: [40, 5, 6] has tokens; pool=cls")
  trainer.expect(0, script("measure_files", {a, tokens, "pool=mean", table.unpack(few)}), "mknn")
  local several = write("several.npz", {u = x, v = y})
  refused({a, several}, "several arrays", "u [40, 6], v [40, 6]")
  trainer.expect(0, script("measure_files", {a, several .. ":v", table.unpack(few)}), "mknn")
  refused({a, several .. ":w"}, "no array of this name")
  refused({a, trainer.folder .. "/none.npy"}, "none.npy", "No such file")
  refused({a, write("ids.npy", vbl.ones({40, 2}, {dtype = "i32"}))}, "ids.npy: holds i32")
  refused({a}, "expected A B")
  refused({a, b, "k=40"}, "k = 40", "n - 1 = 39")
  refused({a, b, "pool=clss"}, "pool: expected none, cls or mean, got 'clss'")
  trainer.expect(1, script("measure_files", {a, b, "measures={\"ckaa\"}"}), "no measure is named 'ckaa', did you mean 'cka'?")
end)

check.group("sensitivity", function()
  local base = trainer.folder .. "/curves"
  trainer.expect(0, script("sensitivity", {"items=64", "dim=8", "n={32, 64}", "k={5, 10}", "draws=2", "out_base=" .. base}), "CKA, biased", "written to")
  check.ok(#vbl.load(base .. ".tsv", {header = true}) > 20)
end)

trainer.finish()

-- Mistakes on an experiment's command line: one sentence that names the key, file or line and the way out; exit code 1; no run folder is left.
local check = require "check"
local trainer = require "trainer"
local c = require "vbl.store.c"
local system = require "vbl.system.c"

-- The run must not start. `words` as for trainer.run; the texts must be in what it says.
local function refused(words, ...)
  local run, text = trainer.expect(1, words, ...)
  check.ok(run == nil, ("%s left a run folder"):format(table.concat(words, " ")))
  check.ok(text:find "^vbl: ", text:sub(1, 500))
  return text
end

local function sentence(words, ...)
  local text = refused(words, ...)
  check.ok(select(2, text:gsub("\n", "")) == 1, text:sub(1, 500))
end

check.group("keys", function()
  sentence({"epoch=3"}, "unknown key 'epoch', did you mean 'epochs'?")
  sentence({"model.dmi=3"}, "unknown key 'model.dmi', did you mean 'model.dim'?")
  sentence({"tasks.ap.hed=concat"}, "unknown key 'tasks.ap.hed', did you mean 'tasks.ap.head'?")
  sentence({"tasks.apl={}"}, "unknown key 'tasks.apl', did you mean 'tasks.ap'?")
  sentence({"scenes.trian=3"}, "'scenes.trian', did you mean 'scenes.train'?")
  sentence({"mix.hwo=joint"}, "'mix.hwo', did you mean 'mix.how'?")
  sentence({"epochs=three"}, "key 'epochs': expected a number, got 'three'")
  sentence({"model.packed=1"}, "key 'model.packed': expected a boolean")
  sentence({"freeze=bert"}, "key 'freeze': expected a table")
  sentence({"epochs"}, "expected key=value or a flag, got 'epochs'")
end)

check.group("values", function()
  sentence({"epochs=1.5"}, "config: epochs: expected a whole number of at least 0, got 1.5")
  sentence({"epochs=-1"}, "epochs")
  sentence({"batch=0"}, "config: batch: expected a whole number of at least 1, got 0")
  sentence({"lr=-1"}, "config: lr")
  sentence({"lr=1e999"}, "config: lr")
  sentence({"lr=0"}, "config: lr: at a rate of 0 no weight moves; expected a number above 0 or auto (epochs=0 only evaluates)")
  sentence({"lr=0", "--plan"}, "config: lr: at a rate of 0 no weight moves")
  sentence({"mix.how=x", "--plan"}, "config: mix.how: expected one of joint, alternating, sampled, got 'x'")
  sentence({"lr=fast"}, "lr", "expected a number")
  sentence({"warmup=2"}, "config: warmup: expected a number from 0 to 1, got 2")
  sentence({"log_every=0"}, "config: log_every")
  sentence({"checkpoint_every=0"}, "config: checkpoint_every")
  sentence({"test_samples=0"}, "config: test_samples")
  sentence({"betas={0.9}"}, "config: betas: expected two numbers")
  sentence({"partners={\"mached\"}"}, "partners: item 1: expected matched, mismatched or none, got 'mached'", "did you mean 'matched'?")
  sentence({"mix.how=alternate"}, "mix.how", "did you mean 'alternating'?")
  sentence({"mix.weighting=gradients"}, "mix.weighting", "did you mean 'gradient'?")
  sentence({"tasks.ap.head=conct"}, "task ap: head")
  sentence({"tasks.ap.contrastive.lernable=true"}, "did you mean 'tasks.ap.contrastive.learnable'?")
  sentence({"tasks.ap.contrastive.on=fusd"}, "contrastive.on")
  sentence({"tasks.ap.contrastive={wieght=1}"}, "wieght", "did you mean 'tasks.ap.contrastive.weight'?")
  sentence({"tasks.mim.positions=hidden"}, "task mim: positions")
  sentence({"tasks.mlm.probability=2"}, "task mlm: option 'probability'")
  sentence({"tasks.mlm.weight=-1"}, "task mlm: option 'weight'")
  sentence({"tasks.mim.temperature=0"}, "task mim: option 'temperature'")
  sentence({"tasks.mlm=false", "tasks.ap=false", "tasks.mim=false"}, "config: tasks: none is left to train")
  sentence({"tasks.mim=true"}, "key 'tasks.mim': expected a table or false, got 'true' (its keys one by one: tasks.mim.augment=VALUE)")
  sentence({"probe_samples=5"}, "config: probe_samples: the layer analysis needs 8 held-out pairs, and takes 5 of", "probe_samples=0 leaves it out")
  sentence({"scenes.test=6"}, "takes 6 of 6 here", "scenes.test=N holds out more")
  sentence({"tasks.mlm.batch=17"}, "tasks.mlm.batch: expected a whole number from 1 to batch = 16, got 17")
  sentence({"freeze={\"brt.*\"}"}, "freeze", "'brt.*'")
  sentence({"freeze={\"*\"}"}, "freeze: no parameter is left to train")
  sentence({"model.fusion=stackd"}, "fusion", "stackd")
  sentence({"model.dim=30", "model.attention_heads=4"}, "dim = 30 does not divide into 4")
  sentence({"model.preset=tny"}, "preset", "tny")
  sentence({"model.vocab=50"}, "the data's vocabulary has 106 tokens, more than model.vocab = 50", "without model.vocab")
  sentence({"model.vocab=50", "--plan"}, "more than model.vocab = 50")
  sentence({"scenes.objects=7"}, "objects")
  sentence({"scenes.train=0"}, "train")
end)

check.group("flags", function()
  sentence({"--threads", "0"}, "--threads: expected a whole number from 1 to 1024, got '0'")
  sentence({"--threads"}, "--threads")
  sentence({"--sed", "1"}, "unknown flag '--sed', did you mean '--seed'?")
  sentence({"--seed", "-1"}, "--seed")
  sentence({"--name", "a/b"}, "--name: expected letters, digits, '-', '_' and '.', got 'a/b' (a-b would do)")
  sentence({"--device", "gpu"}, "--device: expected cpu, cuda or cuda:N, got 'gpu'")
  local cuda = false
  for _, device in ipairs(vbl.devices()) do cuda = cuda or device.name:find "^cuda" ~= nil end
  if cuda then
    print "  SKIPPED: --device cuda without a device (there is one)"
  else
    sentence({"--device", "cuda"}, "--device cuda: ", "use cpu")
  end
  sentence({"--out", "/proc/none"}, "/proc/none")
end)

check.group("--resume takes no keys and none of the flags that a run keeps", function()
  local run = assert(trainer.expect(0, {"epochs=0"}))
  local function refused_resume(words, ...)
    table.insert(words, 1, "--resume")
    table.insert(words, 2, run)
    sentence(words, "goes on with the run's own config; leave out", ...)
  end
  refused_resume({"epochs=3"}, "epochs=3 (with others a new run begins from its weights: model.weights=" .. run .. "/checkpoints/last)")
  refused_resume({"--seed", "3"}, "--seed")
  refused_resume({"--out=x", "lr=1"}, "lr=1 --out")
  refused_resume({"--name", "x"}, "--name")
  sentence({"--resume", trainer.folder}, "not a run's folder")
  sentence({"--resume"}, "--resume: expected RUN")
end)

check.group("data", function()
  sentence({"data=scene"}, "no data set 'scene', did you mean 'scenes'?")
  sentence({"data=scenes:x"}, "scenes is drawn from a seed and takes no path, got 'scenes:x'")
  sentence({"data=none.tsv"}, "none.tsv: No such file or folder")
  refused({"data=captions:" .. trainer.folder .. "/none.tsv"}, "/none.tsv", "No such file")
  local bad = trainer.write("bad.tsv", "a.png no tab here\nb.png\t\n")
  refused({"data=captions:" .. bad}, "bad.tsv:1: no tab")
  refused({"data=captions:" .. trainer.write("empty.tsv", "")}, "empty.tsv")
  local images = trainer.write("missing.tsv", "no-such.png\ta dog\n")
  refused({"data=captions:" .. images}, "no-such.png")
end)

check.group("a function in the config", function()
  local script = trainer.write("function.lua", [[
    vbl.train.pretrain(vbl.config({tasks = {mlm = {weight = function(step, total) return 1 - step / total end}}, scenes = {train = 32, test = 16},
      model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16}}, vbl.train.schemas()))]])
  sentence({trainer.write("plain.lua", 'vbl.train.pretrain {data = "scenes"}'), script = true}, "vbl: train: expected the config that vbl.config",
           "a table without its flags")
  sentence({script, script = true}, "config: tasks.mlm.weight: a function cannot be written to the run's config.lua", "parts")
end)

check.group("--plan and --help start nothing", function()
  local run, text = trainer.expect(0, {"--plan", "tasks.mlm.batch=4"}, "optimizer steps", "8 (4 an epoch, 2 epochs, batch 16", "learning rate")
  check.ok(run == nil and not text:find("NaN", 1, true), text)
  run, text = trainer.expect(0, {"--plan", "tasks.ap.head=auto"})
  check.ok(text:find("heads.ap ", 1, true), text)
  run, text = trainer.expect(0, {"--plan", "tasks.mlm=false", "warmup=0.5"})
  check.ok(text:find("heads.ap", 1, true) and not text:find("heads.mlm", 1, true), text)
  check.ok(not text:find("less than asked for", 1, true), text)
  trainer.expect(0, {"--plan", "batch=100000", "test_samples=33", "probe_samples=40", "warmup=0.1"}, "2 (1 an epoch", "batch = 100000: a step takes all 64 training pairs",
                 "test_samples = 33: all 32 held-out pairs", "probe_samples = 40: all 32", "warmup = 0.1: of 2 steps that is not one")
  run, text = trainer.expect(0, {"--help"}, "checkpoint_every", "tasks.ap.head", "--resume", "steps between checkpoints")
  check.ok(text:find "scenes%.train +%d+ +scenes: pairs to train on\n" and text:find("held-out pairs", 1, true), "one default a key: " .. text)
  -- What a key is that the script does not list.
  check.ok(text:find "clip%s+1.0%s" and text:find "betas%s+{0.9, 0.98}%s" and text:find 'mix.how%s+"joint"%s', text)
  check.ok(text:find "model.mlp .*tiny 512, small 1024, base 3072" and text:find "model.fusion .*interleaved, stacked or single_stream", text)
end)

trainer.finish()

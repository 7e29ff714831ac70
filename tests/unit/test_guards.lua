-- The guards over a run's numbers: each is quiet on what is sound and speaks of what is planted.
local check = require "check"
local constant = require "vbl.train.guards.constant"
local data_files = require "data_files"
local labels = require "vbl.tasks.labels"
local levels = require "vbl.train.guards.levels"
local prior = require "vbl.tasks.prior"
local random = require "vbl.data.c"
local same_mode = require "vbl.train.guards.same_mode"
local shares = require "vbl.train.guards.shares"
local spikes = require "vbl.train.guards.spikes"
local store = require "vbl.store.c"
local trainer = require "trainer"
local unigram = require "vbl.tasks.unigram"

-- Normal draw number i, by Box and Muller.
local function normal(i)
  return math.sqrt(-2 * math.log(1 - random.uniform(5, "order", 2 * i))) * math.cos(2 * math.pi * random.uniform(5, "order", 2 * i + 1))
end

check.group("spikes: quiet on noise that varies by factors and falls by a hundred; a planted one is told with its size", function()
  local known, spread = {}, 0.3
  local function noise(i) return math.exp(spread * normal(i) - i * math.log(100) / 5000) end
  for i = 1, 5000 do
    local found = spikes.see(known, noise(i))
    if found then check.ok(false, ("step %d: %g deviations"):format(i, found.deviations)) end
  end
  local median = 0.01
  local found = spikes.see(known, 20 * median)
  check.ok(found and math.abs(math.log(found.median / median)) < 3 * spread / math.sqrt(64) * 1.26, found and found.median)
  check.ok(math.abs(found.deviations - math.log(20) / spread) < 0.5 * found.deviations, found.deviations)
  check.ok(not spikes.see({}, 20), "the first value is compared with nothing")
  check.equal(#known, spikes.WINDOW)
end)

check.group("spikes: of a series that hardly moves less than a factor is none; a new level is told and then known", function()
  local known, told = {}, 0
  for i = 1, 100 do spikes.see(known, 0.6931 + 1e-6 * normal(i)) end
  check.ok(not spikes.see(known, 1.2))
  for i = 1, 80 do told = told + (spikes.see(known, 3 + 1e-3 * normal(i)) and 1 or 0) end
  check.ok(told >= 20 and told <= spikes.WINDOW // 2 + 1, told)
end)

check.group("shares of the gradient: those of the tensors, by group, sum to 1", function()
  local function leaf(v) return vbl.tensor(v):requires_grad_(true) end
  local list = {{name = "bert.a", tensor = leaf {1, 2}}, {name = "vit.b", tensor = leaf {3}}, {name = "fusion.0.text.c", tensor = leaf {4}},
                {name = "heads.ap.weight", tensor = leaf {5}}, {name = "classifier.fc1.bias", tensor = leaf {6}}}
  local job = {mix = {parameters = list}, optimizer = vbl.optim.adamw(list, {clip = 0})}
  job.optimizer:zero_grad()
  check.ok(not shares.groups(job) and not shares.largest(job))
  ;(list[1].tensor:sum() * 2 + list[3].tensor:sum() * 3 + list[4].tensor:sum() * 2):backward()  -- squares: 8, none, 9, 4, none
  local norms = job.optimizer:norms()
  for i, square in ipairs {8, 0, 9, 4, 0} do check.near(norms[i], math.sqrt(square), 1e-12) end
  local found = shares.groups(job)
  for group, square in pairs {text = 8, vision = 0, fusion = 9, heads = 4} do check.near(found[group], square / 21, 1e-12) end
  local name, share = shares.largest(job)
  check.equal(name, "fusion.0.text.c")
  check.near(share, 9 / 21, 1e-12)
end)

-- A view of n captions; caption i has the word pieces ids_of(i), between [CLS] and [SEP].
local function texts(n, ids_of)
  return {size = function() return n end, caption = function(_, i) return i end,
          data = {tokenizer = {encode = function(_, i)
            local ids = {0, table.unpack(ids_of(i))}
            ids[#ids + 1] = 1
            return ids
          end}}}
end

check.group("entropy of word pieces", function()
  check.near(unigram.entropy(texts(64, function(i) return {10 + i % 8} end)), math.log(8), 1e-12)
  check.near(unigram.entropy(texts(40, function(i) return {i % 2, 7, 7, 7} end)), -(0.25 * math.log(0.125) + 0.75 * math.log(0.75)), 1e-12)
  check.near(unigram.entropy(texts(9000, function(i) return {i // 2 % 2} end)), math.log(2), 1e-3)
  check.equal(unigram.entropy(texts(0, function() end)), nil)
end)

local function source(mean, n, spread) return {sum = mean * n, count = n, squares = n * (mean * mean + spread * spread), batches = n} end

-- The kinds of alarms of an epoch in which AP's loss was `ap` (over the steps, of training pairs, held out), each with the standard error 0.002.
local function at_chance(ap)
  local s = {sums = {["loss.ap"] = source(ap[1], 100, 0.02)}}
  return levels.check({tasks = {{name = "ap"}}}, s, 3, {values = {["loss.ap"] = ap[3]}, errors = {["loss.ap"] = 0.002}, train = {["loss.ap"] = ap[2]},
                                 train_errors = {["loss.ap"] = 0.002}})
end

check.group("chance: at ln 2 in every way of looking, within the standard error; not where one of them is below", function()
  local chance = math.log(2)
  local found = at_chance {chance, chance - 0.004, chance + 0.01}
  check.equal(#found, 1)
  check.ok(found[1].kind == "chance" and found[1].text:find("epoch 3: AP is no better than chance: loss 0.6931 +- 0.0020 over the epoch's steps", 1, true), found[1].text)
  check.ok(found[1].text:find("ln 2 = 0.6931", 1, true), found[1].text)
  for i = 1, 3 do
    local losses = {chance, chance, chance}
    losses[i] = chance - 0.006
    check.equal(#at_chance(losses), 0)
  end
end)

check.group("chance: the other tasks' levels", function()
  local function alarms(loss, extra)
    local values = {}
    for key, value in pairs(extra or {}) do values[key] = value end
    for key, value in pairs(loss) do values[key] = value end
    local errors = {}
    for key in pairs(loss) do errors[key] = 0.01 end
    return levels.check({tasks = {{name = "pull"}}, train = texts(64, function(i) return {i % 8} end)}, {sums = {}}, 1, {values = values, errors = errors})
  end
  check.equal(#alarms({["loss.mlm"] = math.log(8)}), 1)
  check.equal(#alarms({["loss.mlm"] = math.log(8) - 0.03}), 0)
  check.equal(#alarms({["loss.mim"] = math.log(200)}, {["candidates.mim"] = 200}), 1)
  check.equal(#alarms({["loss.mim"] = math.log(200) - 0.03}, {["candidates.mim"] = 200}), 0)
  check.equal(#alarms({["loss.contrastive"] = 2.7}, {["chance.contrastive"] = 2.7}), 1)
  check.equal(#alarms({["loss.contrastive"] = 2.66}, {["chance.contrastive"] = 2.7}), 0)
  check.equal(#alarms({["loss.pull"] = 0.7}, {["chance.pull"] = 0.7}), 1)
  check.equal(#alarms({["loss.pull"] = 0.66}, {["chance.pull"] = 0.7}), 0)
  check.equal(#alarms({["loss.pull"] = 5}), 0)
  check.equal(#alarms({["loss.other"] = 5}), 0)
end)

-- A view of labels: classes, lists of classes, or class -> weight; false: unknown.
local function labelled(list)
  return {size = function() return #list end, label = function(_, i) return list[i] or nil end}
end

-- The loss of a task of that kind when its answer to every sample is `logits`, taken as a run takes it.
local function constant_loss(kind, list, logits, class_weights)
  local rows, weights, total, answers = {}, {}, 0, {}
  for i, label in ipairs(list) do
    local row = {}
    for k = 1, #logits do row[k] = 0 end
    if kind == "multilabel" then
      for _, class in ipairs(label) do row[class + 1] = 1 end
    elseif kind == "soft" then
      for class, weight in pairs(label) do row[class + 1] = weight end
    end
    rows[i] = type(label) == "table" and row or kind == "binary" and {label} or label
    weights[i] = class_weights and class_weights[label + 1] or 1
    total, answers[i] = total + weights[i], logits
  end
  local targets = vbl.tensor(rows, {dtype = kind == "multiclass" and "i32" or "f32"})
  return labels[kind].loss(vbl.tensor(answers), targets, weights, total):item()
end

local function logit(p) return math.log(p / (1 - p)) end

check.group("entropy of labels: the least loss of a constant answer, of each kind", function()
  local log = math.log
  local cases = {
    {kind = "binary", list = {0, 0, 0, 1, 0, 1, 0, 0}, best = {logit(0.25)}},
    {kind = "binary", list = {0, 0, 0, 1, 0, 1, 0, 0}, best = {0}, weights = {8 / 12, 8 / 4}, level = log(2)},
    {kind = "multiclass", list = {0, 2, 2, 1, 2, 2, 0, 2}, best = {log(2), log(1), log(5)}},
    {kind = "multiclass", list = {0, 2, 2, 1, 2, 2, 0, 2}, best = {log(6), log(1), log(5)}, weights = {3, 1, 1}},
    {kind = "multilabel", list = {{0}, {}, {0, 1}, {0}, {2}}, best = {logit(0.6), logit(0.2), logit(0.2)}},
    {kind = "soft", list = {{[0] = 1, [2] = 0.3}, {[1] = 0.6}, {}, {[0] = 0.2}}, best = {logit(0.3), logit(0.15), logit(0.075)}},
  }
  for _, case in ipairs(cases) do
    local task = {kind = case.kind, class_weights = case.weights, classes = case.kind == "binary" and {"a", "b"} or {"a", "b", "c"}}
    local level = prior.entropy(task, labelled(case.list))
    check.near(level, constant_loss(case.kind, case.list, case.best, case.weights), 1e-6)
    check.ok(not case.level or math.abs(level - case.level) < 1e-12, level)
    for k = 1, #case.best do
      local other = table.move(case.best, 1, #case.best, 1, {})
      other[k] = other[k] + 0.3
      check.ok(constant_loss(case.kind, case.list, other, case.weights) > level + 1e-3, case.kind)
    end
  end
  check.near(prior.entropy({kind = "binary", classes = {"a", "b"}}, labelled {1, false, 0, false}), log(2), 1e-12)
  check.equal(prior.entropy({kind = "soft", classes = {"a"}}, labelled {false, false}), nil)
  check.near(prior.entropy({kind = "binary", drawn = true}, labelled {}), log(2), 1e-12)
end)

check.group("chance: a task on labels at their entropy, each loss by its own samples' labels; retrieval at ln of a batch", function()
  local function alarms(task, losses, size)
    task.name = "films"
    local function view(list) return size and {size = function() return size end} or labelled(list) end
    local job = {tasks = {task}, task_name = "films", config = {batch = 32}, train = view {0, 1, 0, 1}, test = view {0, 0, 0, 1}}
    local s = {sums = {["loss.films"] = source(losses[1], 100, 0.02)}}
    local function of(v) return {["loss.films"] = v} end
    return levels.check(job, s, 2, {values = of(losses[3]), errors = of(0.002), train = of(losses[2]), train_errors = of(0.002)})
  end
  local quarter = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
  local binary = {kind = "binary", classes = {"a", "b"}}
  local found = alarms(binary, {math.log(2), math.log(2), quarter})
  check.equal(#found, 1)
  check.ok(found[1].text:find("epoch 2: films is no better than chance: loss 0.6931 +- 0.0020 over the epoch's steps", 1, true), found[1].text)
  check.ok(found[1].text:find("chance is the entropy of the held-out labels = 0.5623", 1, true), found[1].text)
  for i = 1, 3 do
    local losses = {math.log(2), math.log(2), quarter}
    losses[i] = losses[i] - 0.006
    check.equal(#alarms(binary, losses), 0)
  end
  local retrieval, ln = {kind = "retrieval"}, math.log(32)
  local level = (64 * ln + 8 * math.log(8)) / 72  -- batches of 32, 32 and 8
  check.equal(#alarms(retrieval, {ln, ln, level}, 72), 1)
  check.equal(#alarms(retrieval, {ln, ln, level - 0.006}, 72), 0)
end)

-- Layers of a probe: all measures move, but for those in `fixed`.
local function probe(layers, epoch, n, fixed)
  local list = {}
  for i = 1, layers do
    list[i] = {n = n}
    for k, name in ipairs(vbl.analysis.names) do list[i][name] = fixed[name] or 0.5 + 0.01 * i * k + 0.1 * epoch end
  end
  return {matched = list}
end

check.group("a measure that stands still over the layers or the epochs, and the others move", function()
  local s = {}
  check.equal(#constant.check(s, 0, probe(4, 0, 256, {})), 0)
  check.equal(#constant.check(s, 1, probe(4, 1, 256, {})), 0)
  local found = constant.check({}, 0, probe(4, 0, 256, {svcca = 0}))
  check.equal(#found, 1)
  check.ok(found[1].text:find("svcca (matched) is the same to 1e-6 at all 4 layers (0.000000", 1, true), found[1].text)
  check.equal(#constant.check({}, 0, probe(4, 0, 32, {svcca = 0})), 0)
  check.equal(#constant.check({}, 0, probe(4, 0, 256, {svcca = 0 / 0})), 0)
end)

check.group("a measure that stands still over the epochs", function()
  local function varied(epoch, still, frozen)
    local layers = probe(5, frozen and 0 or epoch, 256, {})
    for i, layer in ipairs(layers.matched) do
      if still then layer.cka = 0.1 * i end
    end
    return layers
  end
  local s = {}
  constant.check(s, 0, varied(0, true))
  local found = constant.check(s, 1, varied(1, true))
  check.equal(#found, 1)
  check.ok(found[1].text:find("cka (matched) is the same to 1e-6 at each layer since epoch 0", 1, true), found[1].text)
  s = {}
  constant.check(s, 0, varied(0, true, true))
  check.equal(#constant.check(s, 1, varied(1, true, true)), 0)  -- nothing was trained: all stand still
end)

check.group("training pairs in eval mode: whole batches, evenly over the set", function()
  local function starts(size, batch, most)
    return same_mode.starts({config = {batch = batch}, train = {size = function() return size end}}, most)
  end
  check.equal(table.concat(starts(6000, 32, 1024), " "), "1 1493 2985 4477 5969")
  check.equal(table.concat(starts(20, 32, 1024), " "), "1")
  check.equal(table.concat(starts(100000, 32, 64), " "), "1 99969")
end)

-- A run in whose first epoch a spike is planted.
local spiky = trainer.write("spiky.lua", [[
  local config = vbl.config({scenes = {train = 320, test = 32}, tasks = {mlm = {}}, epochs = 2, batch = 8, lr = 1e-4, probe_samples = 0,
    model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16}, log_every = 20}, vbl.train.schemas())
  local task = vbl.tasks.mlm()
  local forward = task.forward
  function task:forward(model, work, lo, hi, pass)
    local out = forward(self, model, work, lo, hi, pass)
    if model.rng.step == 37 and model.training then out.loss = out.loss * 1000 out.stats["loss.mlm"][1] = out.loss:item() end
    return out
  end
  local result = vbl.train.pretrain(config, {tasks = {task}})
]])

check.group("a run: the spike at its step with the tensor, shares and the eval-mode losses in the metrics", function()
  local run, text = trainer.expect(0, {spiky, script = true, "--threads", "1"}, "WARNING - step 37: loss.mlm is ", "WARNING - step 37: grad_norm is ", "times its running median",
                                   "% of the squared gradient norm", "Epoch 1/2, in eval mode, 8 training pairs: loss MLM: ")
  local record = vbl.runs.open(run)
  local kinds = {}
  for _, row in ipairs(record:alarms()) do
    kinds[row.kind .. " " .. row.step] = (kinds[row.kind .. " " .. row.step] or 0) + 1
    check.ok(text:find(row.text, 1, true) and row.epoch >= 1, row.text)
  end
  check.equal(kinds["spike 37"], 2)
  check.equal(#record:metrics {split = "train_eval", name = "loss.mlm"}, 2)
  local sum = 0
  for _, group in ipairs {"text", "vision", "fusion", "heads"} do
    local rows = record:metrics {split = "step", name = "share." .. group}
    check.equal(#rows, 4)
    sum = sum + rows[1].value
  end
  check.near(sum, 1, 1e-9)
  local sheet = require "vbl.runs.sheet"(record)
  check.ok(sheet:find("warning: step 37: loss.mlm is ", 1, true), sheet)
  check.ok(store.read_file(run .. "/report.html"):find("While it trained: step 37: grad_norm", 1, true), "report")
end)

-- Films whose captions tell the genre, or whose genres are drawn anew.
local function films(shuffled)
  local files, texts = data_files.new(), {"a bright day", "a black night"}
  for split, n in pairs {train = 256, dev = 128} do
    local lines = {}
    for i = 1, n do
      local kind = 1 + i % 2
      files:image(("img/%d.png"):format(i % 8), i % 8)
      local genre = shuffled and 1 + math.floor(2 * random.uniform(7, "order", i + (split == "dev" and n or 0))) or kind
      lines[i] = ('{"id":"%s-%d","img":"img/%d.png","text":"%s","label":"%s"}'):format(split, i, i % 8, texts[kind], genre == 1 and "light" or "dark")
    end
    files:write(split .. ".jsonl", table.concat(lines, "\n") .. "\n")
  end
  return files
end

check.group("a fine-tuning run: at chance on shuffled labels, in the log, the sheet and the report; quiet where it learns", function()
  local function train(shuffled)
    local files = films(shuffled)
    local run, text = trainer.expect(0, {trainer.finetune, "data=jsonl:" .. files.path, "model.image=32", "epochs=2", "probe_samples=0", script = true})
    files:remove()
    return run, text
  end
  local run, text = train(false)
  check.ok(not text:find("at chance", 1, true), text)
  check.equal(#vbl.runs.open(run):alarms(), 0)
  run, text = train(true)
  check.ok(text:find("WARNING - epoch 1: jsonl is no better than chance: loss ", 1, true) and text:find("the entropy of the held-out labels = 0.69", 1, true), text)
  local record = vbl.runs.open(run)
  check.equal(#record:alarms(), 2)
  check.ok(require "vbl.runs.sheet"(record):find("warning: epoch 1: jsonl is no better than chance", 1, true))
  local best = record.result.best.epoch
  check.ok(store.read_file(run .. "/report.html"):find(('class="warning">While it trained: epoch %d: jsonl is no better than chance'):format(best), 1, true), "report")
end)

-- What a task's loss becomes: a value that is finite, whose gradient is not.
check.group("a gradient that is not finite: the parameter nearest to the loss", function()
  local script = trainer.write("gradient.lua", [[
    local config = vbl.config({scenes = {train = 64, test = 32}, tasks = {mlm = {}}, epochs = 1, batch = 16, probe_samples = 0,
      model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16}}, vbl.train.schemas())
    local task = vbl.tasks.mlm()
    local forward = task.forward
    function task:forward(model, work, lo, hi, pass)
      local out = forward(self, model, work, lo, hi, pass)
      if model.rng.step == 2 and model.training then  -- the root of 0: infinite slope, times 0
        for _, name in ipairs {"bert.embeddings.LayerNorm.weight", "vit.norm.weight", "heads.mlm.bias"} do
          out.loss = out.loss + (model.list[name] * 0):sum():sqrt()
        end
      end
      return out
    end
    vbl.train.pretrain(config, {tasks = {task}})
  ]])
  trainer.expect(1, {script, script = true, "--threads", "1"}, "step 2: gradient of bert.embeddings.LayerNorm.weight has 16 NaN or Inf values; no weight was changed",
                 "in task mlm the activations are finite and, going backward, the first non-finite gradient is that of heads.mlm.bias (", "weights finite")
end)

check.group("one batch by heart: which loss did not fall, and the exit code", function()
  local tiny = {"experiments/overfit_batch.lua", script = true, "--threads", "1", "model.dim=32", "model.layers=1", "model.depth=1", "model.mlp=64",
                "model.cross_attention_layers={0}", "model.attention_heads=2"}
  local function with(...) return table.move({...}, 1, select("#", ...), #tiny + 1, table.move(tiny, 1, #tiny, 1, {script = true})) end
  trainer.expect(0, with("tasks.mim=false", "lr=0.01"), "ok: the batch is learnt by heart")
  local _, text = trainer.expect(1, with("tasks.ap=false", "tasks.mim=false", "lr=1e-9"), "step 400  MLM ", "FAILED: MLM went from ", " and should be below 0.0500")
  check.ok(not text:find("AP ", 1, true), text)
end)

trainer.finish()

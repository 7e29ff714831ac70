-- Every way of mixing tasks and every option of the tasks and the model: trains, and resumes bit for bit after a kill.
local check = require "check"
local checkpoint = require "vbl.runs.checkpoint"
local trainer = require "trainer"
local metrics = require "vbl.runs.metrics"
local store = require "vbl.store.c"
local vbl = require "vbl"

local function with(list, ...)
  local words = {"--threads", "1", "scenes.train=48", "probe_samples=0", "checkpoint_every=2", table.unpack(list)}
  for _, word in ipairs {...} do words[#words + 1] = word end
  return words
end

-- Trains; kills another run where epoch 1 ends, after its checkpoint of step 2; resumes it, compares. Returns the whole run.
local function resumes(name, list, kinds)
  local run
  check.group(name, function()
    run = trainer.expect(0, with(list))
    local words = with(list)
    words.env = {MOMENT = "state 7 KILL"}
    local cut = trainer.expect(137, words)
    trainer.expect(0, {"--threads", "1", "--resume", cut}, "resumed at step 2 of")
    trainer.same(run, cut, kinds)
  end)
  return run
end

-- name -> {value, ...} of the training steps
local function steps(run)
  local values = {}
  for _, row in ipairs(metrics.read(run .. "/metrics.jsonl")) do
    if row.split == "step" then
      values[row.name] = values[row.name] or {}
      values[row.name][row.step] = row.value
    end
  end
  return values
end

local function count(t)
  local n = 0
  for _ in pairs(t or {}) do n = n + 1 end
  return n
end

local run = resumes("alternating", {"mix.how=alternating"})
check.group("alternating: one task a step, in turn", function()
  local v = steps(run)
  for step = 1, 6 do
    for i, name in ipairs {"mlm", "ap", "mim"} do check.equal(v["loss." .. name][step] ~= nil, (step - 1) % 3 + 1 == i) end
  end
end)

run = resumes("sampled", {"mix.how=sampled", "tasks.mlm={weight=2}", "epochs=4"}, {"last", "best", "epoch-4"})
check.group("sampled: one task a step, the loss not scaled by the weight that draws it", function()
  local v = steps(run)
  check.equal(count(v["loss.mlm"]) + count(v["loss.ap"]) + count(v["loss.mim"]), 12)
  for _, w in pairs(v["weight.mlm"]) do check.equal(w, 1) end
end)

run = resumes("uncertainty", {"mix.weighting=uncertainty"})
check.group("uncertainty: the weights are learnt", function()
  local v = steps(run)
  check.equal(v["weight.mlm"][1], 1)
  check.ok(v["weight.mlm"][6] ~= 1 and v["weight.ap"][6] ~= v["weight.mlm"][6])
  local leaves = vbl.load(run .. "/checkpoints/last/mix.safetensors")
  check.near(math.exp(-leaves["mix.log_variance.mlm"]:item()), v["weight.mlm"][6], 0.05)
end)

-- The run's last checkpoint as it was once: the mix's leaves among the model's tensors.
local function as_before(path)
  local folder = path .. "/checkpoints"
  local record = checkpoint.read_state(folder, "last")
  local tensors, names, metadata = store.safetensors_load(folder .. "/last/model.safetensors")
  for name, tensor in pairs(vbl.load(folder .. "/last/mix.safetensors")) do tensors[name], names[#names + 1] = tensor, name end
  local moments, list = vbl.load(folder .. "/last/optimizer.safetensors"), {}
  for i, name in ipairs(names) do list[i] = tensors[name] end
  record.state.fingerprint = record.fingerprint
  checkpoint.write(folder, "last", {model = {names = names, tensors = list, metadata = metadata}, state = record.state,
                                    optimizer = {names = {"m", "v"}, tensors = {moments.m, moments.v}}}, record.offsets)
end

local function tuned_from(path) return {trainer.finetune, "--threads", "1", "epochs=1", "probe_samples=0", "from=" .. path, script = true} end

check.group("uncertainty: a run is weights for others, and its leaves are no part of them", function()
  for name in pairs(vbl.load(run .. "/checkpoints/last/model.safetensors")) do check.ok(not name:find "^mix%.", name) end
  trainer.expect(0, tuned_from(run))
  trainer.expect(0, with {"model.weights=" .. run .. "/checkpoints/last", "epochs=1"})
end)

check.group("uncertainty: checkpoints that hold the leaves among the model's tensors", function()
  local words = with {"mix.weighting=uncertainty"}
  words.env = {MOMENT = "state 7 KILL"}
  local cut = trainer.expect(137, words)
  as_before(cut)
  local _, text = trainer.expect(0, with {"model.weights=" .. cut .. "/checkpoints/last", "epochs=1"})
  check.ok(text:find("not used: 3", 1, true) and text:find("mix.log_variance.mim (", 1, true), text:sub(1, 1500))
  trainer.expect(0, {"--threads", "1", "--resume", cut}, "resumed at step 2 of")
  trainer.same(run, cut)
end)

check.group("uncertainty: one model for several jobs", function()
  local config = vbl.config({
    data = "scenes", scenes = {train = 16, test = 16}, tasks = {mlm = {}, ap = {}}, mix = {weighting = "uncertainty"}, epochs = 1, batch = 16, probe_samples = 0,
    model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16, fusion = "interleaved", placement = "none"},
  }, vbl.train.schemas())
  local first = vbl.train.job(config)
  local second = vbl.train.job(config, {model = first.model, data = first.data})
  check.equal(second.model:num_parameters(), first.model:num_parameters())
  second.model:save(trainer.folder .. "/reused.safetensors")
end)

run = resumes("gradient", {"mix.weighting=gradient", "tasks.mim={weight=0.5}"})
check.group("gradient: norms of every task at every step", function()
  local v = steps(run)
  for _, name in ipairs {"mlm", "ap", "mim"} do check.equal(count(v["norm." .. name]), 6) end
end)

-- A run of MLM and a second task, its loss `factor` times that of MLM.
local beside = trainer.write("beside.lua", [[
  local config = vbl.config({scenes = {train = 64, test = 16}, tasks = {mlm = {}}, mix = {weighting = "gradient"}, epochs = 2, batch = 16, probe_samples = 0,
    model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16, dropout = 0}, log_every = 1, checkpoint_every = 1}, vbl.train.schemas())
  local function scaled(name, factor)
    local task, mlm = {name = name, weight = 0.5}, vbl.tasks.mlm {}
    function task:prepare(data, batch, key)
      if tostring(key.step) == os.getenv "CUT" then os.execute "kill -KILL $PPID" end
      return mlm:prepare(data, batch, key)
    end
    function task:forward(...)
      local out = mlm:forward(...)
      return {loss = out.loss * factor, stats = {}}
    end
    return task
  end
  vbl.train.pretrain(config, {tasks = {vbl.tasks.mlm {}, scaled("faint", 2^tonumber(os.getenv "FACTOR"))}})
]])

check.group("gradient: what is no more than rounding is left out, and said once", function()
  local function train(factor, ...)
    local run, text = trainer.expect(0, {beside, script = true, "--threads", "1", env = {FACTOR = factor}, ...})
    return run, select(2, text:gsub("WARNING %- step 1: the gradient of task faint has norm %S+, no more than rounding beside the tasks' mean of ", "")), steps(run)
  end
  local near, said, v = train "-14"
  check.equal(said, 0)
  for step = 1, 8 do check.near(v["grad_norm"][step] / v["norm.mlm"][step], 0.5 * (1 + 2^-14) * 1.5, 1e-4) end  -- both to the mean norm, the second by half
  local faint
  faint, said, v = train "-24"
  check.equal(said, 1)
  for step = 1, 8 do check.near(v["grad_norm"][step] / v["norm.mlm"][step], 0.5, 1e-4) end
  check.equal(#vbl.runs.open(faint):alarms(), 1)
  check.equal(#vbl.runs.open(near):alarms(), 0)
  local cut = trainer.expect(137, {beside, script = true, "--threads", "1", env = {FACTOR = "-24", CUT = "6"}})
  trainer.expect(0, {beside, script = true, "--threads", "1", "--resume", cut, env = {FACTOR = "-24"}}, "resumed at step 5 of 8")
  trainer.same(faint, cut)
end)

check.group("a weight of 0, in each weighting", function()
  for _, weighting in ipairs {"fixed", "uncertainty", "gradient"} do
    local zero = trainer.expect(0, with({"mix.weighting=" .. weighting, "tasks.mim={weight=0}", "epochs=1"}))
    check.ok(not trainer.metrics(zero):find("NaN", 1, true), weighting)
  end
end)

resumes("alternating, uncertainty, interleaved, contrastive",
        {"mix.how=alternating", "mix.weighting=uncertainty", "model.fusion=interleaved", "model.placement=full"})
resumes("per-task batches, micro-batches", {"tasks.mlm.batch=7", "tasks.mim={batch=5}", "micro_batch=3", "tasks.ap.contrastive.on=fused"})
local learnable = {"tasks.ap={head=\"similarity\",contrastive={weight=0.5,learnable=true,temperature=0.2}}"}
run = resumes("learnable temperature, similarity head", learnable)
check.group("the temperature starts where it was given and moves", function()
  local function log_temperature(path) return vbl.load(path .. "/checkpoints/last/model.safetensors")["heads.log_temperature"]:item() end
  check.near(log_temperature((trainer.expect(0, with(learnable, "epochs=0")))), math.log(0.2), 1e-6)
  local moved = math.abs(log_temperature(run) - math.log(0.2))
  check.ok(moved > 1e-5 and moved < 0.1, moved)
end)
run = resumes("mask token, masked positions, no gradient into the target",
              {"model.mask_token=true", "tasks.mim={positions=\"masked\",target=\"stop\"}", "model.text_norm=pre", "micro_batch=5"})
resumes("all positions, pre-norm text, interleaved", {"tasks.mim={positions=\"all\"}", "model.text_norm=pre", "model.fusion=interleaved"})

check.group("the mask token is learnt", function()
  local function token(path)
    for name, tensor in pairs(vbl.load(path .. "/checkpoints/last/model.safetensors")) do
      if name:find "mask_token" then return tensor end
    end
  end
  local before = token((trainer.expect(0, with {"model.mask_token=true", "model.text_norm=pre", "epochs=0"})))
  check.ok((token(run) - before):abs():max():item() > 1e-5)
end)

-- Frozen weights end as they began; the others move.
local function weights(path) return vbl.load(path .. "/checkpoints/last/model.safetensors") end

local function bytes(tensor) return store.json_encode(tensor:reshape(-1):totable(), {nan = "string"}) end

check.group("frozen weights stay, bit for bit; the others move", function()
  local model = {"tasks.mim={batch=8}", "model.fusion=interleaved"}
  local before = weights((trainer.expect(0, with(model, "epochs=0"))))
  for _, case in ipairs {{"freeze={\"bert.*\"}", "^bert%."}, {"freeze={\"vit.*\",\"fusion.*\"}", "^vit%.", "^fusion%."},
                         {"freeze={\"bert.*\",\"vit.*\",\"fusion.*\"}", "^bert%.", "^vit%.", "^fusion%."}} do
    for _, micro in ipairs {"micro_batch=16", "micro_batch=3"} do
      local after = weights((trainer.expect(0, with(model, case[1], micro))))
      local moved = 0
      for name, tensor in pairs(before) do
        local frozen = false
        for i = 2, #case do frozen = frozen or name:find(case[i]) ~= nil end
        local same = bytes(tensor) == bytes(after[name])
        if frozen then check.ok(same, name) else moved = moved + (same and 0 or 1) end
      end
      check.ok(moved >= 4, case[1])
    end
  end
end)

trainer.finish()

-- A run's memory is flat: the bytes of live tensors after step 50 are those after step 100, in every way of mixing tasks and with micro-batches. What is
-- planned of a mixture that takes a task at a time counts them all.
local check = require "check"
local memory = require "vbl.train.memory"
local step_of = require "vbl.train.step"
local trainer = require "trainer"
local vbl = require "vbl"

local script = trainer.write("memory.lua", [[
local config = vbl.config({scenes = {train = 440, test = 16}, tasks = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {}},
  model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"},
  epochs = 1, batch = 4, probe_samples = 0, log_every = 7, checkpoint_every = 30}, vbl.train.schemas())
local task = vbl.tasks.mlm()
local prepare, seen = task.prepare, {}
local tasks = {task, vbl.tasks.ap(config.tasks.ap), vbl.tasks.mim(config.tasks.mim)}
-- The state after a step is the one before the next, less the next batch's tokens, whose size differs (blocks are multiples of 64 bytes).
function task:prepare(data, batch, key)
  seen[key.step] = vbl.memory().live - (batch.tokens:numel() * 4 + 63) // 64 * 64
  return prepare(self, data, batch, key)
end
vbl.train.pretrain(config, {tasks = tasks})
for _, step in ipairs {49, 52, 55, 97, 100, 103} do print("live after step", step, seen[step]) end
]])

local function flat(name, ...)
  local words = {script, script = true, "--threads", "1", ...}
  check.group(name, function()
    local _, text = trainer.expect(0, words)
    local values = {}
    for step, bytes in text:gmatch "live after step\t(%d+)\t(%d+)" do values[#values + 1] = {tonumber(step), tonumber(bytes)} end
    check.ok(#values == 6, text:sub(-500))
    for i = 2, #values do check.equal(values[i][2], values[1][2]) end
  end)
end

flat("joint", "mix.how=joint")
flat("micro-batches", "micro_batch=1")
flat("alternating, uncertainty", "mix.how=alternating", "mix.weighting=uncertainty")  -- every third step is MLM's: 49, 52, ...
flat("gradient weighting, interleaved", "mix.weighting=gradient", "model.fusion=interleaved", "model.placement=full")

-- 20 steps of 16 pairs; the heads are those of all tasks, whichever of them are there.
local function job_of(tasks, mixture, seed)
  local config = vbl.config({
    data = "scenes", scenes = {train = 320, test = 16}, mix = mixture, epochs = 1, batch = 16, probe_samples = 0,
    model = {preset = "tiny", dim = 32, layers = 2, attention_heads = 2, mlp = 64, patch = 16, dropout = 0, heads = {"mlm", "ap"}},
  }, vbl.train.schemas())
  config.flags.seed = seed
  return vbl.train.job(config, {tasks = tasks})
end

local function peak(job, device, batch) return memory.of(job, device or "cuda", batch or 16).peak end

-- The tasks' numbers are those of runs of one alone. Their captions are others, hence within 3 %.
local function compare(tasks, mixture, seed)
  local job, most, flops = job_of(tasks, mixture, seed), 0, 0
  for _, task in ipairs(tasks) do
    local alone, steps = job_of({task}, {}, seed), 0
    for step = 1, job.total_steps do steps = steps + (job.mix:active(step, job.total_steps)[1] == task and 1 or 0) end
    if steps > 0 then most = math.max(most, peak(alone)) end
    flops = flops + steps * memory.flops(alone)
  end
  check.equal(job.total_steps, 20)
  check.near(peak(job) / most, 1, 0.03)
  check.near(memory.flops(job) * 20 / flops, 1, 0.03)
end

check.group("the plan of a mixture: every kind of step", function()
  local function tasks(weight)
    return {vbl.tasks.mlm {weight = weight}, vbl.tasks.ap {}, setmetatable({name = "again"}, {__index = vbl.tasks.mlm {batch = 4}}), vbl.tasks.mim {}}
  end
  compare(tasks(1), {how = "alternating"}, 1)
  for seed = 1, 4 do compare(tasks(8), {how = "sampled"}, seed) end
end)

local function planned_and_taken(job, batch_size)
  local planned = peak(job, "cpu", batch_size)
  collectgarbage() collectgarbage()
  local own = 16 * job.model:num_parameters()  -- parameters, gradients and moments, there before the steps
  local before, batch = vbl.memory().live, job.train:range(1, batch_size)
  vbl.reset_peak_memory()
  for number = 1, 3 do
    vbl.scope(function() step_of.settle(job, step_of.queue(job, batch, number, {separate = number == 3})) end)
  end
  return planned, own + vbl.memory().peak - before
end

-- A module of the script's, which its task has from where it was made, and a constant from before: both stand on the CPU while memory is counted.
check.group("the plan of a model and a task of a script's own", function()
  local function own_job(hidden)
    local data = vbl.data.open("scenes", {train = 64, test = 16, seed = 1, image = 64})
    local model = vbl.models.vilbert {preset = "tiny", patch = 16, dropout = 0, vocab = data.tokenizer:size(), heads = {"mlm"}}
    local scope = vbl.nn.scope(model.list, "own.", vbl.nn.init.fan_in, function() return vbl.nn.init.zeros end)
    local layer, mask = vbl.nn.Linear(scope, "wide", 128, hidden), vbl.full({hidden}, 0.5)
    local task = {name = "own"}
    function task.prepare(_, _, batch) return {n = batch.n, batch = batch} end
    function task.forward(_, m, work, lo, hi, pass)
      local out = m:run(vbl.tasks.part(work.batch, lo, hi), {pass = pass})
      local loss = (layer(m.cls(out.text, out.text_layout)) * mask):square():sum() / work.n
      return {loss = loss, stats = {["loss.own"] = {loss, 0}}}
    end
    local config = vbl.config({data = "scenes", scenes = {train = 64, test = 16}, epochs = 1, batch = 4, probe_samples = 0, model = {preset = "tiny"}}, vbl.train.schemas())
    return vbl.train.job(config, {model = model, tasks = {task}})
  end
  local planned, taken = planned_and_taken(own_job(8192), 4)
  check.near(planned / taken, 1, 0.05)
  check.ok(planned > peak(own_job(8), "cpu", 4) + 12 * 128 * 8000)  -- parameters and moments at least
end)

-- Two samples: parameters and gradients are most of it, and those of each task by itself what is at the peak.
check.group("the plan of gradients that are weighted, against what steps take", function()
  local job = vbl.train.job(vbl.config({
    data = "scenes", scenes = {train = 64, test = 16}, tasks = {mlm = {}, ap = {}, mim = {}}, mix = {weighting = "gradient"}, epochs = 1, batch = 2, probe_samples = 0,
    model = {preset = "tiny", patch = 16},
  }, vbl.train.schemas()))
  local planned, taken = planned_and_taken(job, 2)
  check.near(planned / taken, 1, 0.03)
end)

trainer.finish()

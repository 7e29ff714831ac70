-- checkpointing = true: layers and fusion blocks run again in backward. Losses, gradients and whole runs are those without, bit for bit; memory is less.
local check = require "check"
local accumulate = require "vbl.train.accumulate"
local memory = require "vbl.train.memory"
local step_of = require "vbl.train.step"
local store = require "vbl.store.c"
local trainer = require "trainer"
local usage = require "vbl.usage"

local function job_of(given, model)
  local config = {
    flags = {seed = 3, device = "cpu"}, name = "checkpointing", data = "scenes", scenes = {train = 32, test = 16},
    model = {preset = "tiny", dim = 32, layers = 2, attention_heads = 4, mlp = 64, patch = 16, dropout = 0.1, init = "fan_in"},
    tasks = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {}}, batch = 12, epochs = 1,
  }
  for key, value in pairs(given) do config[key] = value end
  for key, value in pairs(model or {}) do config.model[key] = value end
  return vbl.train.job(config)
end

-- Gradients and loss of all tasks of a step.
local function gradients(job, micro)
  local batch, losses = job.train:range(1, 12), {}
  job.model.rng.step = 1
  for _, p in ipairs(job.model.list) do p.tensor.grad = nil end
  for i, task in ipairs(job.tasks) do
    local work = task:prepare(job.train, batch, {seed = 3, step = 1, epoch = 1})
    losses[i] = vbl.autocast(job.config.precision, accumulate.backward, job.model, {{task = task, work = work, pass = 2 * (i - 1), scale = 1}}, micro)[1].loss
  end
  local grads = {}
  for _, p in ipairs(job.model.list) do grads[p.name] = p.tensor.grad and p.tensor.grad:clone() end
  return grads, losses
end

local function compare(given, model, micro)
  local job = job_of(given, model)
  local plain, losses = gradients(job, micro)
  job.model.checkpointing = true
  local again, others = gradients(job, micro)
  local count = 0
  for i, loss in ipairs(losses) do check.equal(others[i], loss) end
  for name, g in pairs(plain) do
    check.ok(again[name] and again[name]:allclose(g, {rtol = 0, atol = 0}), name)
    count = count + 1
  end
  for name in pairs(again) do check.ok(plain[name], name) end
  check.ok(count > 30, count)
end

local function same_bits(title, ...)
  local words = table.pack(...)
  check.group(title, function() compare(table.unpack(words, 1, 3)) end)
end

local interleaved = {fusion = "interleaved", placement = "full", heads = {"mlm", "ap", "ap_similarity"}}
same_bits("stacked", {}, nil, 12)
same_bits("stacked, a loss on the streams before the fusion", {tasks = {mlm = {}, ap = {head = "similarity", contrastive = {weight = 1}}}}, nil, 12)
same_bits("co-attention between the layers", {}, interleaved, 12)
same_bits("micro-batches, in two passes for what is contrastive", {}, interleaved, 5)
same_bits("bf16", {precision = "bf16"}, interleaved, 12)
same_bits("padded text", {}, {packed = false}, 5)
same_bits("one stream", {}, {fusion = "single_stream"}, 12)
same_bits("frozen embeddings", {freeze = {"bert.embeddings.*", "vit.patch_embed.*"}}, nil, 12)

check.group("taps and evaluation", function()
  local job = job_of({checkpointing = true}, interleaved)
  check.equal(job.model.checkpointing, true)
  job.model:eval():tap {"text.*", "fusion.*"}
  local batch = job.train:range(1, 4)
  local taps = {}
  for _, on in ipairs {true, false} do
    job.model.checkpointing = on
    taps[on] = vbl.no_grad(function() return job.model:forward(batch).taps end)
  end
  check.ok(taps[true]["text.1"] and taps[true]["fusion.1.vision"])
  for name, t in pairs(taps[false]) do check.ok(taps[true][name]:allclose(t, {rtol = 0, atol = 0}), name) end
end)

-- Where a value that is not finite began is said in the same words.
local function broken(on, name, break_it)
  local job = job_of({checkpointing = on, tasks = {mlm = {}}}, interleaved)
  break_it(job.model.list[name])
  local ok, message = pcall(step_of.now, job, job.train:range(1, 12), 1)
  check.ok(not ok)
  return usage.strip(tostring(message))
end

check.group("NaN is named by module and row", function()
  local function nan(t) vbl.no_grad(t.fill_, t, 0 / 0) end
  local text = broken(true, "fusion.1.text.fc1.bias", nan)
  check.ok(text:find("the output of fusion.1.text.fc1: row 1 of ", 1, true), text)
  check.equal(text, broken(false, "fusion.1.text.fc1.bias", nan))
end)

check.group("an error in the second run", function()
  local job = job_of({checkpointing = true, tasks = {mlm = {}}})
  local layer, calls = job.model.text.layers[2], 0
  local forward = layer.forward
  function layer.forward(...)
    calls = calls + 1
    if calls == 2 then error("planted", 0) end
    return forward(...)
  end
  check.error(function() step_of.now(job, job.train:range(1, 12), 1) end, "backward of checkpoint: in a checkpoint's second run: planted")
end)

check.group("memory, as the plan counts it", function()
  local sizes = {layers = 6, dim = 64, mlp = 256, patch = 8}
  local plain, less = memory.of(job_of({}, sizes), "cpu", 12).peak, memory.of(job_of({checkpointing = true}, sizes), "cpu", 12).peak
  print(("  peak of a step %.1f MB, with checkpointing %.1f MB"):format(plain / 1e6, less / 1e6))
  check.ok(less < plain / 2)
  local most = memory.of(job_of({checkpointing = true}, sizes), "cuda", 12).peak
  local refused = 0
  for i = 1, 8 do  -- memory is short in any pass: no error but that, which is nil here
    if not memory.of(job_of({checkpointing = true}, sizes), "cuda", 12, most * i // 9) then refused = refused + 1 end
  end
  check.ok(refused >= 4, refused)
  local _, text = trainer.expect(0, {"--plan", "model.dim=256", "checkpointing=true"}, "GFLOP a step")
  local _, other = trainer.expect(0, {"--plan", "model.dim=256"})
  local function work(s) return tonumber(s:match "([%d.]+) GFLOP a step") end
  check.near(work(text) / work(other), 4 / 3, 0.05)  -- of the digits that are shown
end)

check.group("a run, stopped and resumed, is that without", function()
  local whole = trainer.expect(0, {})
  local run = trainer.expect(130, {"checkpointing=true", env = {MOMENT = "update 5 INT"}})
  trainer.expect(0, {"--resume", run})
  check.ok(store.read_file(run .. "/config.lua"):find("checkpointing = true", 1, true))
  trainer.same(whole, run)
end)

trainer.finish()

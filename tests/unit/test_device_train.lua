-- The trainer's steps on a device: the host looks at a step's numbers when the next one is queued, and finds then what the CPU finds before the update.
-- On the emulated device of the tier unit (VBL_EMU_LAG: what it does is done late), on a GPU in the tier gpu.
local vbl = require "vbl"
local check = require "check"
local passes = require "vbl.models.passes"
local step_of = require "vbl.train.step"

local found, why = vbl.devices()
if not found[2] then check.skip("no device: " .. why) end

-- A job of the trainer, a batch for each of its steps, and its task, whose forward a test may change.
local function job_of(device, tasks, dropout)
  local config = vbl.config({scenes = {train = 8, test = 4}, tasks = {}, epochs = 1, batch = 2, probe_samples = 0, lr = 1e-3, warmup = 0,
                             model = {preset = "tiny", dim = 8, layers = 1, depth = 1, cross_attention_layers = {0}, attention_heads = 2, mlp = 8, image = 32,
                                      patch = 16, dropout = dropout or 0.1}}, vbl.train.schemas())
  vbl.set_device(device)  -- the config, which reads --device, put it back to the CPU
  local job = vbl.train.job(config, {tasks = tasks})
  return job, function(i) return job.train:range(2 * i - 1, 2) end
end

-- Steps from .. n of the trainer, each settled after `lag` more; measured, as the trainer does at every log_every-th step.
local function train(job, batch, from, n, lag)
  local queued, values, stops = {}, {}, {}
  for i = from, n + lag do
    local before = vbl.memory().device_stops or 0
    if i <= n then queued[i] = step_of.queue(job, batch(i), i, {separate = true, again = function() return batch(i) end}) end
    if i >= from + lag then values[i - lag] = step_of.settle(job, queued[i - lag]) end
    stops[i] = (vbl.memory().device_stops or 0) - before
  end
  return values, stops
end

check.group("steps of the trainer: no stop, and the CPU's numbers", function()
  local values, stops, weights = {}, {}, {}
  for _, device in ipairs {"cpu", "cuda"} do
    local job, batch = job_of(device, {vbl.tasks.mlm(), vbl.tasks.ap {head = "similarity", contrastive = {learnable = true}}, vbl.tasks.mim()})
    values[device], stops = train(job, batch, 1, 3, device == "cpu" and 0 or 1)
    weights[device] = job.model.list
  end
  vbl.set_device "cpu"
  check.equal(stops[2], 0)
  check.equal(stops[3], 0)
  local count = 0
  for i, cpu in ipairs(values.cpu) do
    for name, value in pairs(cpu) do
      check.near(values.cuda[i][name], value, 1e-3 * math.abs(value) + 1e-6)  -- f32 sums in another order
      count = count + 1
    end
  end
  check.ok(count >= 3 * 12, count)
  for i, p in ipairs(weights.cpu) do check.ok(weights.cuda[i].tensor:allclose(p.tensor, {atol = 6e-3}), p.name) end  -- three steps of at most 2 lr
end)

check.group("checkpointed layers: the same bits", function()
  for _, precision in ipairs {"f32", "bf16"} do
    local weights, values = {}, {}
    for _, on in ipairs {false, true} do
      local job, batch = job_of("cuda", {vbl.tasks.mlm(), vbl.tasks.ap {head = "similarity", contrastive = {learnable = true}}, vbl.tasks.mim()})
      job.config.precision, job.model.checkpointing, job.micro = precision, on, 1
      values[on] = train(job, batch, 1, 2, 1)
      weights[on] = job.model.list
    end
    for i, step in ipairs(values[false]) do
      for name, value in pairs(step) do check.equal(values[true][i][name], value) end
    end
    for i, p in ipairs(weights[false]) do check.ok(weights[true][i].tensor:allclose(p.tensor, {rtol = 0, atol = 0}), precision .. " " .. p.name) end
  end
  vbl.set_device "cpu"
end)

-- Dropout's masks belong to (pass, sample), so only the order of f32 sums differs: of a loss, and of a gradient, whose sign is AdamW's first step.
check.group("tasks together and one after the other", function()
  local losses, weights, most = {}, {}, 0
  local plain = passes.run
  function passes.run(model, requests)
    most = math.max(most, #requests)
    return plain(model, requests)
  end
  for _, at_once in ipairs {false, true} do
    local job, batch = job_of("cuda", {vbl.tasks.mlm(), vbl.tasks.ap {head = "similarity", contrastive = {weight = 1}}, vbl.tasks.mim()})
    job.mix.at_once, most = at_once, 0
    for i = 1, 2 do
      local values = step_of.settle(job, step_of.queue(job, batch(i), i, {again = function() return batch(i) end}))
      for name, value in pairs(values) do
        if name:find "^loss" then losses[name .. i] = losses[name .. i] or value end
        if name:find "^loss" then check.near(value, losses[name .. i], (i == 1 and 1e-5 or 1e-3) * math.abs(value)) end
      end
    end
    weights[at_once] = job.model.list
    check.equal(most, at_once and 4 or 2)  -- passes that were asked for at once: MIM's two views, or all
  end
  passes.run = plain
  vbl.set_device "cpu"
  check.ok(losses["loss.mlm1"] and losses["loss.mim2"] and losses["loss.ap2"])
  for i, p in ipairs(weights[false]) do check.ok(weights[true][i].tensor:allclose(p.tensor, {rtol = 0, atol = 4e-3}), p.name) end  -- two steps of at most 2 lr
end)

-- Without dropout: MIM, which takes one of the two samples, reads the image that the others do, once sent.
local function in_common(device, at_once)
  local tasks = {vbl.tasks.mlm(), vbl.tasks.ap {head = "similarity", contrastive = {weight = 1}}, vbl.tasks.mim {batch = 1}}
  local job, batch = job_of(device, tasks, 0)
  local plain, seen, losses, stops, queued = job.model.trunk, {}, {}, {}, nil
  rawset(job.model, "trunk", function(model, given)
    seen[#seen + 1] = given.images:size(1)
    return plain(model, given)
  end)
  job.mix.at_once = at_once
  for i = 1, 4 do
    local before = vbl.memory().device_stops or 0
    local now = i < 4 and step_of.queue(job, batch(i), i, {again = function() return batch(i) end})
    if queued then losses[i - 1] = step_of.settle(job, queued) end
    queued, stops[i] = now, (vbl.memory().device_stops or 0) - before
  end
  vbl.set_device "cpu"
  check.equal(table.concat(seen, " "), "3 3 3")
  return losses, job.model.list, stops
end

check.group("layers that the tasks have in common", function()
  local wanted, weights = in_common("cpu", false)
  for _, at_once in ipairs {true, false} do
    local losses, list, stops = in_common("cuda", at_once)
    check.equal(stops[2], 0)
    check.equal(stops[3], 0)
    for i, cpu in ipairs(wanted) do
      check.ok(cpu["loss.mlm"] and cpu["loss.mim"] and cpu["loss.ap"])
      for name, value in pairs(cpu) do check.near(losses[i][name], value, 1e-3 * math.abs(value) + 1e-6) end  -- f32 sums in another order
    end
    for i, p in ipairs(weights) do check.ok(list[i].tensor:allclose(p.tensor, {atol = 6e-3}), p.name) end  -- three steps of at most 2 lr
  end
end)

-- The second step's loss is broken, and two more steps are queued before anybody looks.
local function broken(device, break_it)
  local job, batch = job_of(device, {vbl.tasks.mlm()})
  local task = job.tasks[1]
  local forward = task.forward
  function task:forward(model, ...)
    local out = forward(self, model, ...)
    if model.rng.step == 2 then break_it(out, model) end
    return out
  end
  step_of.now(job, batch(1), 1)
  local weights, message = {}, nil
  for i, p in ipairs(job.model.list) do weights[i] = p.tensor:to("cpu"):clone() end
  local ok, said = pcall(train, job, batch, 2, 4, device == "cpu" and 0 or 2)
  vbl.set_device "cpu"
  check.ok(not ok)
  message = tostring(said)
  for i, p in ipairs(job.model.list) do check.ok(p.tensor:allclose(weights[i], {rtol = 0, atol = 0}), p.name .. " changed") end
  return message
end

-- "loss of task mlm is Inf; in task mlm ...; weights finite": without what differs by rounding.
local function plain(message) return (message:gsub("largest [%d.e+-]+ in [%w._]+", "largest in")) end

check.group("a loss that is not finite, its gradient finite", function()
  local function infinite(out)
    out.loss = out.loss + vbl.full({}, 1 / 0)
    out.stats["loss.mlm"][1] = out.loss
  end
  local message = broken("cuda", infinite)
  check.ok(message:find("step 2: loss of task mlm is Inf; in task mlm ", 1, true), message)
  check.equal(plain(message), plain(broken("cpu", infinite)))
end)

check.group("a gradient that is not finite, its loss finite", function()
  local function steep(out, model)  -- the root of 0: infinite slope, times 0
    out.loss = out.loss + (model.list["vit.norm.weight"] * 0):sum():sqrt()
  end
  local message = broken("cuda", steep)
  check.ok(message:find("step 2: gradient of vit.norm.weight has 8 NaN or Inf values; no weight was changed; in task mlm ", 1, true), message)
  check.ok(message:find("the first non-finite gradient is that of vit.norm.weight", 1, true), message)
  check.equal(plain(message), plain(broken("cpu", steep)))
end)

check.done()

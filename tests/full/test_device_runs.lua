-- Whole runs on a device beside the same runs on the CPU: every form of the model, every task, ways to mix and weigh tasks, fine-tuning's kinds, optimizers, the
-- layer analysis; and what a GPU alone can show: memory that is full, and that the plan holds. On the emulated device that takes minutes.
local check = require "check"
local data_files = require "data_files"
local memory = require "vbl.train.memory"
local take_steps = require "device_steps"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local vbl = require "vbl"

local found, why = vbl.devices()
if not found[2] then check.skip("no device: " .. why) end
local emulated = found[2].isa == "emulated"

local folder = os.tmpname()
os.remove(folder)
assert(system.mkdir(folder))

-- Values of a run: name -> number, of the last evaluation; weights, by name. Nothing is drawn, the log is left out.
local function run(kind, device, given)
  local config = {data = "scenes", scenes = {train = 16, test = 8}, batch = 4, epochs = 1, probe_samples = 8, lr = 1e-3, warmup = 0, flags = {},
                  model = {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 24, image = 32, patch = 16, dropout = 0.1, init = "fan_in"}}
  for key, value in pairs(given) do
    if key == "model" then
      for name, v in pairs(value) do config.model[name] = v end
    else
      config[key] = value
    end
  end
  config.flags = {device = device, seed = 3, out = folder, final = given.final}
  config.final = nil
  vbl.manual_seed(3)
  vbl.set_device(device)
  local done = vbl.train[kind](config)
  vbl.set_device "cpu"
  local weights = {}
  for i, p in ipairs(done.model.list) do weights[i] = {name = p.name, tensor = p.tensor:to "cpu"} end
  return done.test, weights, done
end

-- Sums differ in their order: losses by 1e-3 of them after four steps, weights by at most 2 lr a step (AdamW moves by lr whatever the gradient's size).
local function same(kind, given, tolerance)
  local cpu, weights = run(kind, "cpu", given)
  local device, others = run(kind, "cuda", given)
  local count = 0
  for name, value in pairs(cpu) do
    if type(value) == "number" and name:find "^loss" and value == value then
      check.near(device[name], value, (tolerance or 1e-3) * math.abs(value) + 1e-6)
      count = count + 1
    end
  end
  check.ok(count > 0)
  for i, p in ipairs(weights) do check.ok(others[i].tensor:allclose(p.tensor, {rtol = 0, atol = 8e-3}), p.name) end
end


local function pretraining(name, given, tolerance)
  check.group("pretraining: " .. name, function() same("pretrain", given, tolerance) end)
end

local all = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {}}
pretraining("stacked", {tasks = all, micro_batch = 3, model = {depth = 2, cross_attention_layers = {0}}})
pretraining("interleaved", {tasks = all, model = {fusion = "interleaved", coattention = {text = {0, 1}, vision = {0, 1}}}})
pretraining("single stream", {tasks = {mlm = {}, ap = {}}, model = {fusion = "single_stream"}})
pretraining("gradients weighed", {tasks = {mlm = {}, ap = {}, mim = {}}, mix = {how = "joint", weighting = "gradient"}})
pretraining("uncertainty", {tasks = {mlm = {}, ap = {}}, mix = {how = "joint", weighting = "uncertainty"}})
pretraining("tasks sampled", {tasks = {mlm = {}, ap = {}}, mix = {how = "sampled", weighting = "fixed"}})
pretraining("padded text", {tasks = {mlm = {}}, model = {packed = false}})
for _, task in ipairs {"scenes", "itm", "retrieval"} do
  check.group("fine-tuning: " .. task, function() same("finetune", {task = task, scenes = {train = 24}, patience = 0, val_fraction = 0.3}) end)
end

check.group("fine-tuning: several labels a sample, thresholds, the test split", function()
  local files = data_files.new()
  for split, n in pairs {train = 16, dev = 8, test = 8} do
    local lines = {}
    for i = 1, n do
      files:image(("img/%s-%d.png"):format(split, i), i)
      lines[i] = store.json_encode {id = ("%s-%d"):format(split, i), img = ("img/%s-%d.png"):format(split, i), text = i % 2 == 1 and "a bright day" or "a black night",
                                    label = {i % 2 == 1 and "light" or "dark", i % 3 == 0 and "light" or nil}}
    end
    files:write(split .. ".jsonl", table.concat(lines, "\n") .. "\n")
  end
  same("finetune", {data = "jsonl:" .. files.path, probe_samples = 0, patience = 0, final = true})
  files:remove()
end)

-- On a card that has them: the plan beside what a step of a real size takes, and what happens when something else has all the rest.
local function real_job(batch)
  return vbl.train.job {data = "scenes", scenes = {train = 256, test = 8}, model = {preset = "small", dropout = 0.1}, tasks = all, batch = batch, micro_batch = batch,
                        precision = "bf16", epochs = 1, flags = {seed = 3, device = "cuda"}}
end

if emulated then
  print "  SKIPPED: the memory of a card (this device is emulated)"
else
  check.group("the plan of a real size within 5 %", function()
    vbl.set_device "cuda"
    collectgarbage() collectgarbage()
    local before = vbl.memory().device_live
    vbl.reset_peak_memory()
    local job = real_job(64)
    take_steps(job)
    local measured, planned = vbl.memory().device_peak - before, memory.of(job, "cuda", 64).peak
    print(("      planned %.0f MB, measured %.0f MB"):format(planned / 1e6, measured / 1e6))
    check.ok(math.abs(planned / measured - 1) <= 0.05, ("planned %d, measured %d bytes"):format(planned, measured))
    vbl.set_device "cpu"
  end)

  check.group("a card that is full", function()
    vbl.set_device "cuda"
    local job = real_job(64)
    collectgarbage() collectgarbage()
    -- In pieces: what a driver says is free is not always there in one.
    local hogs, piece = {}, 1 << 30
    while piece > 50 << 20 do
      local now = vbl.memory()
      if now.device_limit - now.device_live < piece + (100 << 20) or not pcall(function() hogs[#hogs + 1] = vbl.empty(piece // 4) end) then piece = piece // 2 end
    end
    check.error(function() take_steps(job) end, "out of memory for", "MiB free; the largest tensors are ")
    hogs = nil
    collectgarbage() collectgarbage()
    take_steps(job)
    vbl.set_device "cpu"
  end)
end

store.remove(folder)
check.done()

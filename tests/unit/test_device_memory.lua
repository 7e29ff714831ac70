-- A device's memory: what --plan counts against what the device's allocator hands out, the micro-batch that is chosen to fit, and what is said
-- and done when there is none left. On the emulated device (VBL_EMU_CACHE: its blocks are a real device's; VBL_EMU_MEMORY: its bytes). Most runs are
-- taken with VBL_EMU_IDLE, in which kernels do nothing and the host asks for all that it does ask for; one is computed, by a process of its own.
local check = require "check"
local faults = require "faults"
local memory = require "vbl.train.memory"
local take_steps = require "device_steps"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local vbl = require "vbl"

local found, why = vbl.devices()
if not found[2] then check.skip("no device: " .. why) end

local computed = arg[1] == "computed"
local model = computed and {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, image = 32, patch = 16, dropout = 0.1, init = "fan_in", depth = 1, cross_attention_layers = {0}} or
              {preset = "tiny", dim = 64, layers = 3, attention_heads = 4, mlp = 128, patch = 8, dropout = 0.1, init = "fan_in"}

local function job_of(precision, batch, micro, more)
  local config = {data = "scenes", scenes = {train = 120, test = 8}, model = {}, tasks = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {}},
                  batch = batch, micro_batch = micro, precision = precision, epochs = 4, flags = {seed = 3, device = "cuda"}}
  for key, value in pairs(model) do config.model[key] = value end
  for key, value in pairs(more or {}) do config[key] = value end
  return vbl.train.job(config)
end

local function within(what, planned, measured)
  print(("      %s: planned %.1f kB, measured %.1f kB: %+.2f %%"):format(what, planned / 1e3, measured / 1e3, 100 * (planned / measured - 1)))
  check.ok(math.abs(planned / measured - 1) <= 0.05, ("%s: planned %d, measured %d bytes"):format(what, planned, measured))
end

local function compare(what, ...)
  collectgarbage() collectgarbage()
  vbl.set_device "cuda"
  local before = vbl.memory().device_live
  vbl.reset_peak_memory()
  local job = job_of(...)
  take_steps(job)
  local measured = vbl.memory()
  local planned = memory.of(job, "cuda", job.micro)
  within(what, planned.peak, measured.device_peak - before)
  vbl.set_device "cpu"
end

if computed then
  check.group("the plan against the allocator, computed", function()
    compare("f32, batch 2", "f32", 2, 2, {tasks = {mlm = {}}})
    compare("bf16, batch 2 by 1", "bf16", 2, 1, {tasks = {mlm = {}}})
  end)
  check.done()
end

check.group("the plan against the allocator", function()
  for _, precision in ipairs {"f32", "bf16"} do
    for _, sizes in ipairs {{3, 3}, {16, 16}, {16, 5}, {40, 40}} do
      compare(("%s, batch %d in micro-batches of %d"):format(precision, sizes[1], sizes[2]), precision, sizes[1], sizes[2])
    end
  end
  compare("f32, checkpointing", "f32", 16, 5, {checkpointing = true})
  compare("f32, an average of the weights", "f32", 16, 16, {ema = 0.99})
  compare("bf16, checkpointing", "bf16", 16, 16, {checkpointing = true})
  compare("f32, frozen text", "f32", 8, 2, {freeze = {"bert.*"}})
  compare("bf16, no AP, gradients weighted", "bf16", 6, 6, {mix = {weighting = "gradient"}, tasks = {mlm = {batch = 4}, mim = {}}})
  model.fusion, model.placement = "interleaved", "full"
  compare("bf16, interleaved", "bf16", 12, 12)
  model.dropout = 0  -- for bf16 there is cuDNN then
  compare("bf16, interleaved, a trunk in common", "bf16", 12, 12)
  model.fusion, model.placement = nil, nil
  compare("bf16, stacked, a trunk in common", "bf16", 12, 12)
  compare("f32, the same, a task at a time", "f32", 12, 12, {tasks_together = "no"})
  compare("bf16, the same, views of their own", "bf16", 12, 12, {tasks = {mlm = {}, ap = {augment = {blur = 1}}, mim = {augment = {clean = {blur = 1}}}}})
  model.dropout = 0.1
end)

check.group("the plan against the allocator, kernels computed", function()
  local text, code = system.output {"sh", "-c", 'exec 2>&1; exec env -u VBL_EMU_IDLE "$@"', "sh", system.executable(), arg[0], "computed"}
  check.ok(code == 0, text)
  print((text:gsub("[^\n]*$", "")))
end)

check.group("counting leaves no trace", function()
  collectgarbage() collectgarbage()
  local before, stream = vbl.memory(), nil
  vbl.manual_seed(4)
  local first = vbl.rand(3)
  vbl.manual_seed(4)
  local counted = vbl.count_memory({device = "cuda", limit = 1 << 20}, function()
    check.equal(vbl.zeros(2):device(), "plan")
    local x = vbl.zeros(1000, 10)
    check.equal(vbl.memory().device_live, 40960 + 512)
    check.error(function() return vbl.zeros(1 << 19) end, "f32 [524288]: plan: out of memory for 2.0 MiB", "1.0 of 1.0 MiB free", "f32 [1000, 10]")
    check.equal(x:sum():item(), 0)
  end)
  check.ok(counted.peak >= 40960 and counted.most_held >= counted.peak)
  check.equal(vbl.zeros(2):device(), "cpu")
  collectgarbage() collectgarbage()
  stream = vbl.rand(3)
  check.ok(first:allclose(stream, {rtol = 0, atol = 0}))
  check.equal(vbl.memory().device_live, before.device_live)
  check.error(function() vbl.count_memory({device = "gpu"}, print) end, "device")
  check.error(function() vbl.zeros(2, {device = "plan"}) end, "no device 'plan'")
  check.error(function() vbl.count_memory({}, error, "inside") end, "inside")
  check.equal(vbl.zeros(2):device(), "cpu")
end)

check.group("the micro-batch that fits", function()
  local job = job_of("f32", 12, 12)
  local whole, by_two = memory.of(job, "cuda", 12), memory.of(job, "cuda", 6)
  check.equal((memory.fit(job, whole.peak * 2)), 12)
  local room = by_two.peak / 0.95 + 50000
  local micro, taken = memory.fit(job, room)
  check.ok(micro >= 6 and micro < 12 and taken.peak <= 0.95 * room, ("%s of %d bytes"):format(micro, taken and taken.peak or 0))
  check.ok(memory.fit(job, 100000) == nil)
end)

-- Processes of their own, with less memory.
local folder = os.tmpname()
os.remove(folder)
assert(system.mkdir(folder))
local function path_of(name, text)
  store.write_atomic(folder .. "/" .. name, text)
  return folder .. "/" .. name
end
local function run(bytes, words)
  local command = {"env", words.env or "-uNOTHING", "PATH=/nowhere", ("VBL_EMU_MEMORY=%d"):format(bytes), system.executable(), table.unpack(words)}
  return system.output {"sh", "-c", 'exec 2>&1; exec "$@"', "sh", table.unpack(command)}
end
local function says(text, ...)
  for _, part in ipairs {...} do check.ok(text:find(part, 1, true), ("lacks %q: %s"):format(part, text:sub(-1500))) end
end

check.group("out of memory in a script", function()
  local text, code = run(4 << 20, {env = "-uVBL_EMU_IDLE", path_of("script.lua", [[
local vbl = require "vbl"
vbl.set_device "cuda"
local function f(n)
  local a = vbl.zeros(n, 1000)
  local b = (a + 1) * 2
  return (b * b + a):sum():item()
end
local ok, message = pcall(f, 320)
assert(not ok)
print(message)
for i = 1, 3 do print(f(100)) end]])})
  check.equal(code, 0)
  says(text, "f32 [320, 1000]: cuda:0: out of memory for 1.2 MiB", "of 4.0 MiB free", "f32 [320, 1000] of mul, 1.2 MiB", "f32 [320, 1000] of affine", "micro_batch", "precision=bf16", "400000.0\n400000.0\n400000.0")
end)

-- The second call fits because what the first one had made is gone.
check.group("out of memory at the prompt", function()
  local lines = path_of("lines", 'vbl.set_device "cuda"\nfunction f(n) local a = vbl.ones(n, 1000) local b = a + a return (a * b):sum():item() end\n' ..
                        'x = vbl.ones(3)\nf(500)\nf(400)\nx + 1\n')
  local text = system.output {"sh", "-c", ("exec 2>&1; VBL_EMU_MEMORY=%d env -u VBL_EMU_IDLE '%s' -i <'%s'"):format(5 << 20, system.executable(), lines)}
  says(text, "prompt:1: mul: f32 [500, 1000]: cuda:0: out of memory for 1.9 MiB", "\n800000.0\n", "{2, 2, 2}")
end)

local training = path_of("training.lua", [[
local vbl = require "vbl"
local function config()
  return vbl.config({scenes = {train = 16, test = 8}, tasks = {mlm = {}, mim = {}},
    model = {preset = "tiny", dim = 64, layers = 3, attention_heads = 4, mlp = 128, patch = 8, dropout = 0.1, init = "fan_in"},
    probe_samples = 0, test_samples = 4, batch = 16, epochs = 1, tasks_together = "no"}, vbl.train.schemas())
end
local first = config()
if first.micro_batch then
  local ok, message = pcall(vbl.train.pretrain, first)
  print(ok, message)
  local again = config()
  again.micro_batch = 2
  print("then", vbl.train.pretrain(again).test["loss.mlm"])
else
  vbl.train.pretrain(first)
  print("fits", vbl.memory().device_peak <= vbl.memory().device_limit)
end]])

check.group("out of memory in a run", function()
  local job = job_of("f32", 16, 16, {tasks = {mlm = {}, mim = {}}, tasks_together = "no"})
  local room = (memory.of(job, "cuda", 2).peak + memory.of(job, "cuda", 16).peak) // 2
  local text, code = run(room, {training, "--device", "cuda", "--out", folder, "micro_batch=16"})
  check.equal(code, 0)
  says(text, "out of memory for", "MiB free; the largest tensors are ", " x f32 [2080, 128] of linear", "a smaller micro_batch (the gradient stays the batch's)",
       "stopped after step 0 of 1", "then\t")
  text, code = run(room, {training, "--device", "cuda", "--out", folder})
  check.equal(code, 0)
  says(text, "batch 16 in micro-batches of ", "fits\ttrue")
  check.ok(not text:find "in micro%-batches of 16,", text)
  text, code = run(9000000, {training, "--device", "cuda", "--out", folder})
  check.equal(code, 1)
  says(text, "config: a step takes at least ", "in micro-batches of 1, and cuda:0 has 9 MB for it: checkpointing=true, precision=bf16, ")
end)

-- A few of what tests/full/test_faults_device.lua goes through at length.
check.group("a request of the device refused", function()
  faults.attack(faults.workloads.device(), "device", "ENOMEM", {count = 6, first = 0, last = 0, drawn = 3})
end)

store.remove(folder)
faults.finish()

-- What a CUDA device is asked for is refused, one request after the other: memory, pinned memory, streams, events, graphs. On the emulated device
-- (VBL_CUDA_LIBRARY, VBL_EMU_CACHE=1), whose kernels do nothing (VBL_EMU_IDLE=1). Six in a row: it asks again when it has given back what it keeps,
-- and when Lua has collected.
local check = require "check"
local faults = require "faults"

local most = tonumber(os.getenv "VBL_TEST_FAULTS" or 100)

-- In one process: a training that ended so leaves nothing on the device, and the next one comes to its end.
local script = faults.write("again.lua", [[
local vbl = require "vbl"
local function train()
  return vbl.train.pretrain(vbl.config({
    scenes = {train = 16, test = 8}, tasks = {mlm = {}, mim = {}}, test_samples = 4, probe_samples = 0,
    model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"}, epochs = 2, batch = 8,
  }, vbl.train.schemas "pretrain"))
end
do
  local ok, message = pcall(train)
  if not ok then io.stderr:write(tostring(message)) end
end
train()
collectgarbage() collectgarbage()
print("left: " .. vbl.memory().device_live)
]])

-- The first training's requests; the second one makes as many.
local function leaves_nothing(name)
  local words = {script, "--threads", "1", "--device", "cuda", "--out", faults.disk .. "/again", "cuda_graph=" .. tostring(name == "graph")}
  local calm = faults.run(words)
  local left, requests = calm.out:match "left: %d+", calm.count.device // 2
  check.ok(calm.code == 0 and left, calm.err)
  for k = 1, requests, math.max(1, requests // most) do
    local r = faults.run(words, {plan = ("device:%d:6:ENOMEM"):format(k)})
    local refused = r.code == 1 and r.err:find("--device cuda: cuda:0: ", 1, true)  -- before anything is there
    check.ok(refused or r.out:match "left: %d+" == left, ("%s, device:%d:6: exit code %s, %s: %s instead of %s; %s"):format(
               name, k, r.code, r.note:sub(1, 300), r.out:match "left: %d+", left, r.err:sub(-800)))
  end
end

faults.each({"device", "graph"}, function(name)
  local w = faults.workloads[name]()
  check.ok(w.count.device > 100, "no emulated device: VBL_CUDA_LIBRARY")
  faults.attack(w, "device", "ENOMEM", {count = 1, first = most // 10, last = most // 10, drawn = most // 5})
  faults.attack(w, "device", "ENOMEM", {count = 6, first = most // 5, last = most // 5, drawn = most})
  faults.attack(w, "device", "ENOMEM", {count = 0, first = most // 10, last = most // 10, drawn = most // 5})
  leaves_nothing(name)
end)

faults.finish()

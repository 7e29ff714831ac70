-- Loss curves of experiments/pretrain_all.lua on a GPU beside the CPU's: in f32 equal to rounding at first, in bf16 within what seeds differ by.
--   vbl tests/bench/gpu_curves.lua [seeds=3] [KEY=VALUE ... of the experiment] [--threads N]
-- Runs: cpu in f32 with seed 1; cuda in f32 and in bf16 with each seed. Two tables: each training loss of the first steps, cuda against cpu, and the losses
-- on held-out pairs at the end. Exit code 1 where a first step's loss is more than 1e-5 of itself off, or bf16's mean is more than three standard errors
-- of the difference (and more than 1 %) worse than f32's.
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local SHOWN <const> = {1, 2, 5, 10, 20, 50, 100}
local seeds, given = 3, {}
for _, a in ipairs(arg) do
  local n = a:match "^seeds=(%d+)$"
  if n then seeds = tonumber(n) else given[#given + 1] = a end
end

local folder = os.tmpname()
os.remove(folder)
assert(system.mkdir(folder))

-- loss -> step -> value, of a split in a run's metrics
local function read(run, split)
  local found = {}
  for line in io.lines(run .. "/metrics.jsonl") do
    local row = store.json_decode(line)
    if row.split == split and row.name:find "^loss%." then
      found[row.name] = found[row.name] or {}
      found[row.name][row.step] = row.value
    end
  end
  return found
end

local function train(device, precision, seed)
  local out = ("%s/%s-%s-%d"):format(folder, device, precision, seed)
  local command = {system.executable(), "experiments/pretrain_all.lua", "log_every=1", "probe_samples=0", "precision=" .. precision, "--device", device,
                   "--seed", tostring(seed), "--out", out}
  table.move(given, 1, #given, #command + 1, command)
  local started = system.monotonic()
  local code = system.run(command)
  if code ~= 0 then error(("%s in %s, seed %d, ended with code %s"):format(device, precision, seed, code), 0) end
  local run = out .. "/" .. assert(system.list(out))[1]
  return {steps = read(run, "step"), test = read(run, "test"), seconds = system.monotonic() - started}
end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local cpu, cuda = train("cpu", "f32", 1), {f32 = {}, bf16 = {}}
for seed = 1, seeds do
  for precision, runs in pairs(cuda) do runs[seed] = train("cuda", precision, seed) end
end

local good = true
local function judge(ok)
  good = good and ok
  return ok and "ok" or "FAIL"
end

print "\n| training loss | step | cpu f32 | cuda f32 | of itself off | cuda bf16 | |\n|---|---|---|---|---|---|---|"
for _, name in ipairs(sorted(cpu.steps)) do
  for _, step in ipairs(SHOWN) do
    local expected, f32, bf16 = cpu.steps[name][step], cuda.f32[1].steps[name], cuda.bf16[1].steps[name]
    if expected then
      local off = math.abs(f32[step] - expected) / math.abs(expected)
      print(("| %s | %d | %.6f | %.6f | %.1e | %.6f | %s |"):format(name, step, expected, f32[step], off, bf16[step], step == 1 and judge(off <= 1e-5) or ""))
    end
  end
end

local function last(steps)
  local at = -1
  for step in pairs(steps) do at = math.max(at, step) end
  return steps[at]
end

-- Mean and variance of a held-out loss at the end, over the seeds.
local function spread(runs, name)
  local mean, squares = 0, 0
  for _, run in ipairs(runs) do mean = mean + last(run.test[name]) / #runs end
  for _, run in ipairs(runs) do squares = squares + (last(run.test[name]) - mean) ^ 2 end
  return mean, squares / math.max(1, #runs - 1)
end

print "\n| held-out loss at the end | cpu f32, seed 1 | cuda f32, mean +- s.d. of seeds | cuda bf16 | |\n|---|---|---|---|---|"
for _, name in ipairs(sorted(cpu.test)) do
  local f32, v = spread(cuda.f32, name)
  local bf16, w = spread(cuda.bf16, name)
  local allowed = math.max(3 * math.sqrt((v + w) / seeds), 0.01 * f32)
  print(("| %s | %.4f | %.4f +- %.4f | %.4f +- %.4f | %s |"):format(name, last(cpu.test[name]), f32, math.sqrt(v), bf16, math.sqrt(w), judge(bf16 - f32 <= allowed)))
end
print(("\nseconds a run: cpu %.0f, cuda f32 %.0f, bf16 %.0f"):format(cpu.seconds, cuda.f32[1].seconds, cuda.bf16[1].seconds))
store.remove(folder)
os.exit(good and 0 or 1)

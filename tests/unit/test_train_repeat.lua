-- The same seed gives the same run, byte for byte, with one thread and with two; another thread count changes nothing that is drawn, and the
-- losses only in the last bits.
local check = require "check"
local trainer = require "trainer"
local metrics = require "vbl.runs.metrics"

-- Large enough that kernels divide their work among threads: ten steps.
local large = {"model.dim=64", "model.mlp=128", "scenes.train=160", "epochs=1"}

local function words(list, ...)
  local all = table.move(list, 1, #list, 1, {})
  for _, word in ipairs {...} do all[#all + 1] = word end
  return all
end

local runs = {}
for threads = 1, 2 do
  check.group(("twice with %d threads"):format(threads), function()
    local allowed = math.min(threads, tonumber(os.getenv "OMP_THREAD_LIMIT") or threads)
    local a = trainer.expect(0, words(large, "--threads", tostring(threads)), allowed .. " threads")
    local b = trainer.expect(0, words(large, "--threads", tostring(threads)))
    trainer.same(a, b, {"last", "best", "epoch-1"})
    check.ok(#trainer.metrics(a) > 5000)
    runs[threads] = a
  end)
end

local function step_losses(run)
  local list = {}
  for _, row in ipairs(metrics.read(run .. "/metrics.jsonl")) do
    if row.split == "step" and row.step <= 10 and row.name:find "^loss" then list[#list + 1] = row end
  end
  return list
end

check.group("one thread against two: losses of the first ten steps", function()
  local one, two = step_losses(runs[1]), step_losses(runs[2])
  check.equal(#one, 40)
  check.equal(#two, #one)
  local worst = 0
  for i, row in ipairs(one) do
    check.equal(two[i].name .. two[i].step, row.name .. row.step)
    worst = math.max(worst, math.abs(two[i].value - row.value) / math.abs(row.value))
  end
  print(("  largest relative difference %.1e"):format(worst))
  check.ok(worst <= 1e-5, worst)
end)

check.group("another seed is another run", function()
  local a = trainer.expect(0, words(large, "--threads", "1", "--seed", "1"))
  local rows, other = step_losses(a), step_losses(runs[1])
  for i, row in ipairs(rows) do check.ok(row.value ~= other[i].value, row.name) end
end)

-- Everything that is drawn: order, masks, swaps, hidden patches, as a checksum of the works of the first ten steps.
local draws = trainer.write("draws.lua", [[
local store = require "vbl.store.c"
local config = vbl.config({scenes = {train = 64, test = 32}, model = {preset = "tiny", dim = 16, attention_heads = 2, layers = 1, patch = 16},
                           batch = 16}, vbl.train.schemas())
local job = vbl.train.job(config)
local loader, text = job.train:loader(), {}
local order = {}
for epoch = 1, 3 do
  for _, i in ipairs(job.train:order(config.flags.seed, epoch)) do order[#order + 1] = i end
end
local function add(t)
  if type(t) == "table" and not t.totable then
    for _, key in ipairs {"index", "labels", "mask", "count", "tokens", "lengths", "images", "batch"} do
      if t[key] ~= nil then add(t[key]) end
    end
    for _, v in ipairs(t) do text[#text + 1] = tostring(v) end
  elseif type(t) == "userdata" then
    text[#text + 1] = t:ndim() == 4 and t:to("f64"):sum():item() or store.json_encode(t:totable())
  else
    text[#text + 1] = tostring(t)
  end
end
for step = 1, 10 do
  loader:submit(table.move(order, (step - 1) * 16 + 1, step * 16, 1, {}), (step - 1) // 4 + 1)
  local batch = loader:next()
  add(batch)
  for _, task in ipairs(job.tasks) do
    add(task:prepare(job.train, batch, {seed = config.flags.seed, step = step, epoch = batch.epoch}))
  end
end
print(#text, store.sha256(table.concat(text, " ")))
]])

check.group("threads change nothing that is drawn", function()
  local system = require "vbl.system.c"
  local function sum(...) return (system.output {system.executable(), draws, ...}) end
  local one = sum("--threads", "1")
  check.ok(one:find "^%d%d%d+\t%x+\n$", one)
  check.equal(sum("--threads", "2"), one)
  check.equal(sum("--threads", "3"), one)
  check.ok(sum("--threads", "1", "--seed", "1") ~= one)
end)

trainer.finish()

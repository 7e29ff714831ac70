-- An epoch's train losses: means over its samples (MLM: over its masked tokens), whatever the sizes of its batches.
local averages = require "vbl.train.averages"
local check = require "check"
local trainer = require "trainer"

check.group("steps count by their weights; what has none counts as 1", function()
  local sums = {}
  averages.add(sums, {["loss.ap"] = 0.5, lr = 1}, {["loss.ap"] = 30})
  averages.add(sums, {["loss.ap"] = 2.5, lr = 3}, {["loss.ap"] = 10})
  local means, errors = averages.means(sums), averages.errors(sums)
  check.near(means["loss.ap"], 1, 1e-12)
  check.equal(means.lr, 2)
  check.near(errors["loss.ap"], math.sqrt(0.75 * 0.25 + 0.25 * 2.25), 1e-12)  -- the weighted variance, of two batches
end)

check.group("sums over steps of an older checkpoint: their steps weigh as the first that joins", function()
  local older = {["loss.ap"] = {2 * 0.5, 2, 2 * 0.25}, lr = {6, 2}}
  check.equal(averages.means(older)["loss.ap"], 0.5)
  check.equal(averages.means(older).lr, 3)
  averages.add(older, {["loss.ap"] = 2, lr = 3}, {["loss.ap"] = 16})
  averages.add(older, {["loss.ap"] = 1}, {["loss.ap"] = 4})
  check.near(averages.means(older)["loss.ap"], (2 * 16 * 0.5 + 16 * 2 + 4 * 1) / (3 * 16 + 4), 1e-12)
  check.equal(averages.means(older).lr, 3)
end)

-- An epoch of 16, 16 and 4 pairs; of the second batch no token is masked. What each step is a mean of is written beside its metrics.
local uneven = trainer.write("uneven.lua", [[
  local config = vbl.config({scenes = {train = 36, test = 32}, tasks = {mlm = {}, ap = {}}, epochs = 1, batch = 16, probe_samples = 0, log_every = 1,
    checkpoint_every = 2, model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16}}, vbl.train.schemas())
  local mlm = vbl.tasks.mlm()
  local prepare = mlm.prepare
  function mlm:prepare(data, batch, key)
    local work = prepare(self, data, batch, key)
    if key.step == 2 then work.labels:fill_(-1) work.count = 0 end
    if key.step == 3 and os.getenv "STOP" then error "stopped" end
    if key.epoch == 1 then print("masked", key.step, work.count) end
    return work
  end
  vbl.train.pretrain(config, {tasks = {mlm, vbl.tasks.ap()}})
]])

local function losses(run, split)
  local found = {}
  for _, row in ipairs(vbl.runs.open(run):metrics {split = split}) do
    if row.name:find "^loss" or row.name:find "^accuracy" then found[row.name .. (split == "step" and row.step or "")] = row.value end
  end
  return found
end

check.group("a small last batch counts for its samples, a batch without a masked token not at all", function()
  local run, text = trainer.expect(0, {uneven, script = true, "--threads", "1"})
  local masked = {}
  for step, count in text:gmatch "masked\t(%d)\t(%d+)" do masked[tonumber(step)] = tonumber(count) end
  local steps, train = losses(run, "step"), losses(run, "train")
  check.equal(masked[2], 0)
  check.equal(steps["loss.mlm2"], nil)
  check.near(train["loss.mlm"], (steps["loss.mlm1"] * masked[1] + steps["loss.mlm3"] * masked[3]) / (masked[1] + masked[3]), 1e-9)
  for _, name in ipairs {"loss.ap", "accuracy.ap"} do
    check.near(train[name], (16 * steps[name .. 1] + 16 * steps[name .. 2] + 4 * steps[name .. 3]) / 36, 1e-9)
  end
  check.ok(text:find(("train loss MLM: %.4f"):format(train["loss.mlm"]), 1, true), text)
end)

check.group("a run that was stopped within the epoch and resumed has the same means", function()
  local whole = trainer.expect(0, {uneven, script = true, "--threads", "1"})
  local stopped = trainer.expect(1, {uneven, script = true, "--threads", "1", env = {STOP = "1"}}, "stopped")
  trainer.expect(0, {uneven, script = true, "--threads", "1", "--resume", stopped})
  trainer.same(whole, stopped, {"last", "best", "epoch-1"})
end)

trainer.finish()

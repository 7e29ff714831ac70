-- Overfits one batch: the first thing to try when something looks wrong. Every task's loss on the same 8 pairs, with the same corruption,
-- has to go to nearly zero; if one does not, the model, the loss or the data is broken, not the hyper-parameters: it is named, and the exit code is 1.
--   vbl experiments/overfit_batch.lua
local vbl = require "vbl"

local config = vbl.config({
  data = "scenes",                    -- scenes (drawn), a FOLDER, or NAME:PATH as captions:FILE.tsv (lines of image path, tab, caption): docs/data.md
  scenes = {train = 64, test = 64},
  model = {preset = "auto", patch = 16, dropout = 0, init = "fan_in", fusion = "stacked"},
  tasks = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {}},
  batch = 8,                          -- pairs
  epochs = 1,                         -- (the batch stays the same)
  lr = "auto",                        -- peak learning rate; auto: 1e-3 for preset tiny, 3e-4 for small, 1e-4 for base; with weights by their width
  warmup = 0.05,                      -- share of the steps that warm up
}, vbl.train.schemas())
local steps, show = 400, 40

local job = vbl.train.job(config)
job.schedule = vbl.sched.warmup_cosine(steps, 20, 0.1)
local batch = job.train:range(1, config.batch)
-- The same draws at every step: masks, swaps and hidden patches are those of step 1.
for _, task in ipairs(job.tasks) do
  local prepare = task.prepare
  function task:prepare(data, b, key) return prepare(self, data, b, {seed = key.seed, step = 1, epoch = 1}) end
end

-- What each loss has to come to on pairs that are known by heart. MIM's own limit is above zero: two clean patches of plain background are
-- alike and compete for the same query; it has to leave half of its chance level, ln(candidates), behind.
local rows = {
  {"loss.mlm", "MLM", function() return 0.05 end},
  {"loss.ap", "AP", function() return 0.05 end},
  {"loss.contrastive", "contrastive", function() return 0.05 end},
  {"loss.mim", "MIM", function(values) return math.log(values["candidates.mim"]) / 2 end},
}

local function line(step, values)
  local parts = {string.format("step %3d", step)}
  for _, row in ipairs(rows) do
    if values[row[1]] then parts[#parts + 1] = string.format("%s %.4f", row[2], values[row[1]]) end
  end
  return table.concat(parts, "  ")
end

-- What has not fallen, in words.
local function high(first, values)
  local list = {}
  for _, row in ipairs(rows) do
    local loss = values[row[1]]
    if loss and not (loss < row[3](values)) then
      list[#list + 1] = string.format("%s went from %.4f to %.4f and should be below %.4f", row[2], first[row[1]], loss, row[3](values))
    end
  end
  return list
end

local first, failed
for step = 1, steps do
  local values = vbl.train.step(job, batch, step)
  first = first or values
  if step == 1 or step % show == 0 then
    print(line(step, values))
    failed = high(first, values)
    if #failed == 0 then break end
  end
end
print(#failed == 0 and "ok: the batch is learnt by heart" or "FAILED: " .. table.concat(failed, "; "))
os.exit(#failed == 0, true)

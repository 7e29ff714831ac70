-- Overfits one batch: the first thing to try when something looks wrong. Every task's loss on the same 8 pairs, with the same corruption,
-- has to go to nearly zero; if it does not, the model, the loss or the data is broken, not the hyper-parameters.
--   vbl experiments/overfit_batch.lua
local vbl = require "vbl"

local config = vbl.config({
  data = "scenes",                    -- scenes, or captions:PATH (TSV: image path, caption)
  scenes = {train = 64, test = 64},
  model = {preset = "auto", patch = 16, dropout = 0, init = "fan_in", fusion = "stacked"},
  tasks = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {}},
  batch = 8,                          -- pairs
  epochs = 1,                         -- (the batch stays the same)
  lr = "auto",                        -- peak learning rate; auto: 1e-3 for preset tiny, 3e-4 for small, 1e-4 for base
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

local values
for step = 1, steps do
  values = vbl.train.step(job, batch, step)
  if step == 1 or step % show == 0 then
    print(string.format("step %3d  MLM %.4f  AP %.4f  contrastive %.4f  MIM %.4f", step, values["loss.mlm"], values["loss.ap"],
                        values["loss.contrastive"] or 0, values["loss.mim"]))
  end
end
-- MIM's own limit is above zero: two clean patches of plain background are alike and compete for the same query.
local ok = values["loss.mlm"] < 0.05 and values["loss.ap"] < 0.05
print(ok and "ok: the batch is learnt by heart" or "FAILED: a loss on one batch stays high")
os.exit(ok, true)

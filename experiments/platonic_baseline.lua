-- Do two streams need to meet at all? The fused model beside its baselines: each stream alone, both encoders independent and joined in the
-- classifier only (the platonic baseline), one stream over both (ViLT), from scratch, and with shuffled pairs. Started again, it goes on.
--   vbl experiments/platonic_baseline.lua                                                on questions about the built-in scenes
--   vbl experiments/platonic_baseline.lua data=/data/hateful_memes from=runs/... --final
local vbl = require "vbl"

local config = vbl.config({
  data = "scenes",                     -- scenes, READER:PATH, or a path (vbl.data)
  task = "auto",                       -- what the set is for
  from = "",                           -- a pretraining run that all but `random` start from; "": from scratch
  baselines = {"none", "text", "image", "no_fusion", "single_stream", "random", "shuffled"},  -- none: the fused model itself
  seeds = {1, 2, 3},                   -- runs of each
  scenes = {train = 8000, test = 1000},  -- the built-in set
  captions = {},                       -- options of sets that are read from files
  model = {preset = "auto", dropout = 0, init = "fan_in"},  -- with `from` the sizes are those of the weights
  head = {hidden = 512, fusion = "product", dropout = 0.1},
  metric = "auto",                     -- what the best epoch is best in
  train_samples = 0,                   -- of the set, the first in its order; 0: all
  epochs = 6,                          -- passes over them
  batch = 64,                          -- samples an optimizer step
  lr = "auto",                         -- peak learning rate
  patience = 3,                        -- epochs without a better score, then a run stops
  probe_samples = 256,                 -- pairs of the layer analysis
  precision = "f32",                   -- or bf16
  jobs = 1,                            -- runs at a time; each has that share of the threads
  name = "platonic_baseline",          -- of the table and the page, in --out
}, vbl.train.schemas("finetune"))

local titles = {none = "fused", text = "text only", image = "image only", no_fusion = "no fusion", single_stream = "single stream",
                random = "fused, from scratch", shuffled = "fused, shuffled pairs"}

local cells = {}
for _, baseline in ipairs(config.baselines) do
  -- From scratch already: `random` would be the fused model again.
  if baseline ~= "random" or config.from ~= "" then
    for _, seed in ipairs(config.seeds) do
      cells[#cells + 1] = {
        name = "baseline-" .. baseline, seed = seed, labels = {baseline = titles[baseline] or baseline},
        config = {data = config.data, task = config.task, from = config.from, baseline = baseline, model = config.model, head = config.head,
                  scenes = config.scenes, captions = config.captions, metric = config.metric, train_samples = config.train_samples,
                  epochs = config.epochs, batch = config.batch, lr = config.lr, patience = config.patience, probe_samples = config.probe_samples,
                  precision = config.precision},
      }
    end
  end
end

vbl.train.study.run(cells, config.flags, {by = "baseline", name = config.name, jobs = config.jobs, title = "The fused model and its baselines"})

-- Pretrains a two-stream model on masked language modelling, alignment prediction and contrastive masked image modelling, and after each
-- epoch measures, layer by layer, how far the two streams' representations align.
--   vbl experiments/pretrain_all.lua                                         on the built-in scenes
--   vbl experiments/pretrain_all.lua data=captions:captions.tsv              on photographs: lines of image path, tab, caption
local vbl = require "vbl"

local config = vbl.config({
  data = "scenes",                    -- scenes (drawn), a FOLDER, or NAME:PATH as captions:FILE.tsv (lines of image path, tab, caption): docs/data.md
  scenes = {train = 6000},            -- the built-in set, and its pairs an epoch
  captions = {},                      -- vocabulary=PATH (else counted from the captions), split=, crop=center|squash, crop_pct=0.9
  model = {preset = "auto", patch = 16, dropout = 0, init = "fan_in", fusion = "stacked"},
  tasks = {
    mlm = {weight = 1},
    ap = {weight = 1, head = "auto", contrastive = {weight = 1, temperature = 0.07}},
    mim = {weight = 1, probability = 0.3, batch = 16},
  },
  epochs = 4,                         -- passes over the training pairs
  batch = 32,                         -- pairs an optimizer step
  lr = "auto",                        -- peak learning rate; auto: 1e-3 for preset tiny, 3e-4 for small, 1e-4 for base; with weights by their width
  warmup = 0.05,                      -- share of the steps that warm up linearly
  min_lr_fraction = 0.2,              -- the cosine ends at this share of the peak
  weight_decay = 0.01,                -- of tensors of two or more dims
  test_samples = 1024,                -- held-out pairs
  probe_samples = 256,                -- held-out pairs of the layer analysis
}, vbl.train.schemas())

vbl.train.pretrain(config)

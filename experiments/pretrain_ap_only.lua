-- Alignment prediction with no other task. Read off the concatenated CLS vectors (head=concat, the thesis's) it stays at chance, loss ln 2,
-- from scratch; read off the product of the two unimodal CLS vectors it learns, and with the contrastive term it learns fast.
--   vbl experiments/pretrain_ap_only.lua                                   plain BCE, similarity head
--   vbl experiments/pretrain_ap_only.lua tasks.ap.contrastive={weight=1}   with the unimodal contrastive term
--   vbl experiments/pretrain_ap_only.lua tasks.ap.head=concat              the thesis's head
local vbl = require "vbl"

local config = vbl.config({
  data = "scenes",                    -- scenes (drawn), a FOLDER, or NAME:PATH as captions:FILE.tsv (lines of image path, tab, caption): docs/data.md
  scenes = {train = 20000},           -- pairs an epoch
  model = {preset = "auto", patch = 16, dropout = 0, init = "fan_in", fusion = "stacked"},
  tasks = {ap = {head = "similarity", contrastive = false}},
  epochs = 8,                         -- passes over the training pairs
  batch = 64,                         -- pairs an optimizer step
  lr = 4e-4,                          -- peak learning rate; at 1e-3 the similarity head stays at chance, and in batches of 32 it learns late
  warmup = 0.3,                       -- share of the steps that warm up linearly; at 0.05 some seeds never leave chance: the text stream collapses
  weight_decay = 0.01,                -- of tensors of two or more dims
  test_samples = 2048,                -- held-out pairs
  probe_samples = 256,                -- held-out pairs of the layer analysis
}, vbl.train.schemas())

vbl.train.pretrain(config)

-- Fine-tunes a model for a downstream task, from a pretraining run, from weights or from scratch, and scores its best epoch.
--   vbl experiments/finetune.lua                                                  questions about the built-in scenes, from scratch
--   vbl experiments/finetune.lua data=/data/easy-vqa model.preset=small           EasyVQA; the task follows from the data set
--   vbl experiments/finetune.lua data=/data/hateful_memes from=runs/2025-09-03-210336-pretrain_all
--   vbl experiments/finetune.lua ... baseline=text                                what the text alone gives
--   vbl experiments/finetune.lua --resume runs/... --final                        the test split, once everything is settled
local vbl = require "vbl"

local config = vbl.config({
  data = "scenes",                    -- scenes, READER:PATH, or a path (vbl.data)
  task = "auto",                      -- hateful_memes, mmimdb, upmc_food, vqa2, easy_vqa, scenes, itm, retrieval, jsonl; auto: what the set is for
  from = "",                          -- a pretraining RUN, one of its checkpoints, or weights; "": from scratch
  baseline = "none",                  -- text, image, no_fusion, single_stream, random, shuffled
  scenes = {train = 12000},           -- the built-in set, and its samples an epoch
  captions = {},                      -- vocabulary=PATH (else counted from the training texts), split=, crop=center|squash, max_tokens=
  model = {preset = "auto", dropout = 0, init = "fan_in"},  -- sizes and fusion; with `from` those of the weights
  head = {hidden = 512, fusion = "concat", dropout = 0.1},  -- CLS vectors by concat, sum or product; fc1, ReLU, dropout, fc2
  freeze = {},                        -- what stays as it is: {"bert.*", "vit.*"} trains the fusion and the head only
  epochs = 9,                         -- passes over the training samples
  batch = 32,                         -- samples an optimizer step
  lr = "auto",                        -- peak learning rate; auto: by preset, or the width of the weights, and start
  layer_decay = 1,                    -- each layer learns at this factor of the next one's rate
  metric = "auto",                    -- what the best epoch is best in (validation); auto: the task's own
  patience = 3,                       -- epochs without a better one, then training stops
  ablate = {},                        -- co-attention to switch off at the end, by name: {"fusion.0", "fusion.*"}
  probe_samples = 256,                -- held-out pairs of the layer analysis before and after
}, vbl.train.schemas("finetune"))

vbl.train.finetune(config)

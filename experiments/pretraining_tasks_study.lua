-- What does each pretraining task add? MIM + MLM + AP, MLM + AP, AP alone and none, each pretrained once, then fine-tuned with each seed.
-- Started again, it goes on where it was.
--   vbl experiments/pretraining_tasks_study.lua                                          on the built-in scenes
--   vbl experiments/pretraining_tasks_study.lua pretrain_data=captions:captions.tsv data=/data/hateful_memes model.preset=small
local vbl = require "vbl"

local config = vbl.config({
  pretrain_data = "scenes",            -- pairs to pretrain on
  data = "scenes",                     -- the set to fine-tune on
  task = "auto",                       -- its task
  seeds = {1, 2, 3},                   -- of the fine-tuning; pretraining has --seed
  scenes = {train = 8000, test = 1000},  -- both built-in sets
  captions = {},                       -- options of the sets that are read from files
  model = {preset = "tiny", image = 64, patch = 16, dropout = 0, init = "fan_in", fusion = "stacked"},
  head = {hidden = 512, fusion = "product", dropout = 0.1},
  pretrain_epochs = 4,                 -- passes over the pairs
  epochs = 6,                          -- passes over the fine-tuning samples
  batch = 64,                          -- samples an optimizer step
  patience = 0,                        -- epochs without a better score, then a run stops; 0: none stops
  probe_samples = 256,                 -- pairs of the layer analysis
  jobs = 1,                            -- runs at a time; each has that share of the threads
  name = "pretraining_tasks_study",    -- of the table and the page, in --out
}, vbl.train.schemas("finetune"))

local ap = {head = "auto", contrastive = {weight = 1}}
local recipes = {
  {"none"},
  {"AP", {ap = ap}},
  {"MLM + AP", {mlm = {}, ap = ap}},
  {"MIM + MLM + AP", {mlm = {}, ap = ap, mim = {batch = 16}}},
}

local cells, seed = {}, config.flags.seed
for _, recipe in ipairs(recipes) do
  local name, tasks = recipe[1], recipe[2]
  local pretrained
  if tasks then
    pretrained = {name = "pretrain-" .. name, seed = seed, kind = "pretrain", labels = {},
                  config = {data = config.pretrain_data, scenes = config.scenes, captions = config.captions, model = config.model, tasks = tasks,
                            epochs = config.pretrain_epochs, batch = config.batch, probe_samples = config.probe_samples}}
    cells[#cells + 1] = pretrained
  end
  for _, s in ipairs(config.seeds) do
    cells[#cells + 1] = {
      name = "finetune-" .. name, seed = s, labels = {recipe = name}, after = pretrained,
      config = function()
        return {data = config.data, task = config.task, from = pretrained and pretrained.record.path or "", scenes = config.scenes, captions = config.captions,
                model = config.model, head = config.head, epochs = config.epochs, batch = config.batch, patience = config.patience,
                probe_samples = config.probe_samples}
      end,
    }
  end
end

vbl.train.study.run(cells, config.flags, {by = "recipe", name = config.name, jobs = config.jobs, title = "Pretraining tasks", baseline = "none"})

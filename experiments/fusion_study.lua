-- Where should two streams meet? The thesis's question as one file: co-attention nowhere, early, in the middle or late, fine-tuned on each
-- task with each seed; the table of scores, whether alignment predicts them, and a page of all runs. Started again, it goes on where it was.
--   vbl experiments/fusion_study.lua                                                     on questions about the built-in scenes
--   vbl experiments/fusion_study.lua sets='{"scenes", "/data/easy-vqa"}' seeds='{1, 2, 3}' jobs=2 --final
--   vbl experiments/fusion_study.lua from='{late = "runs/...", none = "runs/..."}'       each placement from its own pretraining run
local vbl = require "vbl"

local config = vbl.config({
  sets = {"scenes"},                           -- data sets; each is its own task
  placements = {"none", "early", "middle", "late"},  -- of co-attention, by quarters of the layers
  seeds = {1, 2, 3},                           -- runs of each
  from = {},                                   -- placement -> pretraining run; else from scratch
  scenes = {train = 8000, test = 1000},        -- the built-in set
  captions = {},                               -- options of sets that are read from files
  model = {preset = "tiny", image = 64, patch = 16, dropout = 0, init = "fan_in"},
  head = {hidden = 512, fusion = "product", dropout = 0.1},
  measures = {"cka", "mknn", "svcca", "procrustes", "knn_jaccard", "rank_sim"},  -- that may predict the score
  train_samples = 0,                           -- of each set, the first in its order; 0: all
  epochs = 6,                                  -- passes over them
  batch = 64,                                  -- samples an optimizer step
  lr = "auto",                                 -- peak learning rate
  patience = 0,                                -- epochs without a better score, then a run stops; 0: none stops
  probe_samples = 256,                         -- pairs of the layer analysis
  precision = "f32",                           -- or bf16
  jobs = 1,                                    -- runs at a time; each has that share of the threads
  name = "fusion_study",                       -- of the table and the page, in --out
}, vbl.train.schemas("finetune"))

local function model_of(placement)
  local model = {fusion = "interleaved", placement = placement}
  for key, value in pairs(config.model) do model[key] = value end
  return model
end

local cells = {}
for _, set in ipairs(config.sets) do
  for _, placement in ipairs(config.placements) do
    for _, seed in ipairs(config.seeds) do
      cells[#cells + 1] = {
        name = ("%s-%s"):format(set:match "([^/]+)/*$", placement), seed = seed, labels = {placement = placement, set = set},
        config = {data = set, from = config.from[placement] or "", model = model_of(placement), head = config.head, scenes = config.scenes,
                  captions = config.captions, train_samples = config.train_samples, epochs = config.epochs, batch = config.batch, lr = config.lr,
                  patience = config.patience, probe_samples = config.probe_samples, precision = config.precision},
      }
    end
  end
end

vbl.train.study.run(cells, config.flags, {by = "placement", name = config.name, jobs = config.jobs, title = "Placement of co-attention",
                                         baseline = config.placements[1], measures = config.measures, seed = config.flags.seed})

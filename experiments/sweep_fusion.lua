-- Where should text and image meet? Searches the placements of co-attention: which layers of the text stream and which of the image stream, from
-- none to `k` of them, for what they score against what they cost in parameters. Every other key and its value goes to experiments/finetune.lua
-- as it is.
--   vbl experiments/sweep_fusion.lua                                                 questions about the built-in scenes, preset tiny
--   vbl experiments/sweep_fusion.lua data=/data/easy-vqa model.preset=small epochs=4 trials=60
--   vbl experiments/sweep_fusion.lua data=/data/hateful_memes objective='{"val.auroc"}' model.preset=base k='{2, 8}' 'seeds={0, 1, 2}'
--   vbl sweep status runs/sweep_fusion; vbl sweep resume runs/sweep_fusion           what came out; go on after an interrupt
local vbl = require "vbl"
local sweep = vbl.sweep

local schemas = vbl.train.schemas "finetune"
local config = vbl.config({
  method = "tpe",                     -- grid, random or tpe
  trials = 40,                        -- placements to try
  jobs = 2,                           -- trials at a time
  seeds = {0},                        -- each placement once a seed; its score is the mean
  k = {0, 3},                         -- how many layers of each stream co-attend, at least and at most
  objective = {"val.accuracy", "min manifest.total_parameters"},  -- what to seek; one, or a Pareto front of several
  pruner = "median",                  -- median, halving, or none
  slurm = {},                         -- {jobs = 8, time = "04:00:00"}: workers as a Slurm array
}, schemas)

-- Keys of the fine-tuning are constants of the space, as they were written.
local space = {["model.fusion"] = "interleaved"}
config.data = config.data or "scenes"
if config.data == "scenes" then space["scenes.train"], space.epochs = 4000, 5 end  -- minutes a trial
for _, word in ipairs(config.flags.words) do
  local key, text = word:match "^([^=]*)=(.*)$"
  if schemas[""][key:match "^[^.]*"] then space[key] = text end
end

local model, preset = config.model or {}, require("vbl.train.job").preset_of(config)
local layers = model.layers or require("vbl.models.vilbert_config").presets[preset].layers
space["model.coattention"] = sweep.subset {0, layers - 1, k = config.k, streams = {"text", "vision"}}

vbl.sweep {
  name = config.flags.name, experiment = arg[0]:gsub("[^/]*$", "") .. "finetune.lua", space = space, objective = config.objective, method = config.method,
  trials = config.method ~= "grid" and config.trials or nil, jobs = config.jobs, seeds = config.seeds,
  pruner = config.pruner ~= "none" and config.pruner or nil, slurm = next(config.slurm) and config.slurm, config = config,
}

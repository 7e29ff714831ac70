-- Everything that vbl.analysis tells about a run: tables (.tsv, .json), figures (.svg, .png) and the features themselves in RUN/analysis/ or --out DIR.
--   vbl experiments/analyse.lua runs/2025-09-03-210336-pretrain_all
--   vbl experiments/analyse.lua runs/2025-09-03-210336-pretrain_all/checkpoints/best samples=512
local vbl = require "vbl"

local config = vbl.config({
  samples = 512,                             -- held-out pairs
  measures = {"cka", "mknn", "svcca", "procrustes", "knn_jaccard", "rank_sim"},  -- of the tables; names of vbl.measure
  maps = {"cka", "mknn"},                    -- measures of the layer x layer figures
  null = 200,                                -- permutations behind each p
  tokens = 64,                               -- pairs whose token rows are compared layer by layer; 0: none
  epochs = true,                             -- every epoch's checkpoint, from epoch 0, with `epoch_samples` pairs
  epoch_samples = 256,                       -- held-out pairs of each epoch
  labels = "",                               -- TSV, image id, tab, label, for the probes (scenes have their own)
  baseline = "",                             -- safetensors of independent encoders (bert.*, vit.*); else the run's own, fusion off
}, nil, {"RUN|CHECKPOINT", out = "where the files go (RUN/analysis)"})

local analysis = vbl.analysis
local job, epochs = vbl.train.open(config.operands[1])
local out = require("vbl.analysis.folder")(job.run, config.flags) .. "/"
local partners = {"matched", "mismatched"}

local function show(name, sheet, quiet)
  sheet:save(out .. name)
  sheet:draw(out .. name)
  if not quiet then print(sheet) end
end

local function features(opts)
  local all = {train = job.train, partners = partners}
  for key, value in pairs(opts) do all[key] = value end
  return analysis.features(job.model, job.test, all)
end

-- What cannot be measured is refused before the forward pass, not after it.
if #config.measures == 0 then require "vbl.usage" "measures: expected at least one name, such as cka" end
for _, names in ipairs {config.measures, config.maps} do require("vbl.analysis.gate").comparing(names) end

local f = features {samples = config.samples}
analysis.save(out .. "features.safetensors", f)
print(("%s, checkpoint %s, %s"):format(job.run, job.checkpoint, f))
show("layers", analysis.table(f, config.measures, {null = config.null, seed = job.config.flags.seed}))
for _, name in ipairs(config.maps) do show("matrix-" .. name, analysis.matrices(f, name)) end
show("pooling", analysis.pooling(f, config.maps), true)
show("adjacent", analysis.adjacent({f}, "cka"), true)
show("dimensionality", analysis.dimensionality(f), true)
for _, layer in ipairs {0, job.model.config.layers - 1, #f.layers - 1} do show("scatter-layer" .. layer, analysis.scatter(f, layer), true) end

local labels
if config.labels ~= "" then labels = analysis.file_labels(config.labels, f.ids) end
if job.data.name == "scenes" and not labels then labels = analysis.scene_labels(job.test, f.n) end
if labels then show("probing", analysis.probing(f, labels), true) end

-- Of encoders that are not whole the rest would be the run's own.
local function load_independent(path)
  job.model:load(path, {strict = false})
  local lack = job.model.loaded.encoders_lack
  if #lack == 0 then return end
  require "vbl.usage"(("baseline: %s lacks %d of the encoders' parameters, the first %s: it needs both whole, bert.* and vit.*"):format(path, #lack, lack[1]))
end

local alone = config.baseline ~= "" and "independent encoders" or "own encoders, co-attention off"
if config.baseline ~= "" then load_independent(config.baseline) end
show("baseline", analysis.baseline(f, features {samples = config.samples, partners = {"none"}}, config.maps, {alone = alone}), true)
job.at {path = job.run .. "/checkpoints/" .. job.checkpoint}

if config.tokens > 0 then show("adjacent-tokens", analysis.adjacent({features {samples = config.tokens, tokens = true}}, "cka", {pool = "tokens"}), true) end

if config.epochs then
  local list, models = {}, {}
  for i, row in ipairs(epochs) do
    job.at(row)
    list[i] = {epoch = row.epoch, features = features {samples = config.epoch_samples, mean = false}}
  end
  local evolution = analysis.evolution(list, config.measures)
  show("evolution", evolution, true)
  if #config.maps > 0 then print(analysis.evolution(list, config.maps)) end
  for _, name in ipairs(config.maps) do show("evolution-matrix-" .. name, analysis.matrices_over(list, name), true) end
  for i, row in ipairs(epochs) do
    models[i] = {}
    for _, name in ipairs(config.measures) do models[i][name] = evolution:values {epoch = row.epoch, partner = "mismatched", measure = name} end
  end
  show("correlation", analysis.correlation(models, config.measures, {unit = "epochs"}))
end
print("written to " .. out)

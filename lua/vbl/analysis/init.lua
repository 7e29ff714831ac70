-- vbl.analysis: what the layers of a two-stream model share. One forward pass a partner makes the features (or a file holds them), and
-- every analysis reads these; each returns a sheet (vbl.analysis.sheet), which prints, is saved as .tsv and .json, and draws itself. The
-- table below is what there is; the head of each module says the options.
--   layers(pairs, opts), line(layer), chance(list), names: the cheap table of a training run and its log lines (vbl.analysis.layers)
local document = require("vbl.tensor.c").document
local layers = require "vbl.analysis.layers"
local nearest = require "vbl.nearest"

local analysis = {layers = layers.layers, line = layers.line, chance = layers.chance, names = layers.names}

-- Name, module, the function in it (false: the module is one), signature, help.
local rows = {
  {"features", "features", "run", "features(model, split, {samples=256, partners={\"matched\",\"mismatched\"}, tokens=false, mean=true, train=view}) -> features",
   "Every layer's CLS rows, masked means and, where asked, token rows of the first pairs of a held-out split, under each partner."},
  {"save", "cache", "save", "save(path, features)", "Features as one .safetensors file."},
  {"load", "cache", "load", "load(path) -> features", "What save wrote."},
  {"table", "table", false, "table(features, names, {null=200, interval=, pool=\"cls\", partners=, groups=, seed=, k=}) -> sheet",
   "Per layer: matched and mismatched side by side, each with interval, p and q; chance; the best and the mean layer with the search in their null."},
  {"matrices", "matrices", "of", "matrices(features, name, {partners=, blocks=, pool=\"cls\", k=}) -> sheet",
   "Layer x layer: text - vision, text - text, vision - vision, on one scale."},
  {"matrices_over", "matrices", "over", "matrices_over({{epoch=, features=}, ...}, name, {partners=, pool=, k=}) -> sheet",
   "Text - vision, layer x layer, at each epoch, on one scale."},
  {"evolution", "evolution", false, "evolution({{epoch=, features=}, ...}, names, {partners=, k=}) -> sheet", "Each layer over the epochs; the same pairs at all of them."},
  {"pooling", "pooling", false, "pooling(features, names, {partners=, k=}) -> sheet", "CLS rows, masked means and all tokens (max-sim) side by side."},
  {"adjacent", "adjacent", false, "adjacent({features, ...}, name, {pool=\"cls\"|\"mean\"|\"tokens\", partners=, k=}) -> sheet",
   "From one layer to the next within a stream: mean and deviation over runs."},
  {"correlation", "correlation", false, "correlation({{NAME = values by layer, ...}, ...}, names, {unit = \"models\"}) -> sheet",
   "Spearman of measures over layers within each model, mean by Fisher's z; distances turned."},
  {"stability", "stability", false, "stability(pairs, measures, {n={..}, k={..}, draws=5, seed=0}) -> sheet",
   "Measures over n and k beside shuffled rows and the chance law; the rank of the layers at each n."},
  {"downstream", "downstream", false, "downstream({{model=, group=, score=, NAME=}, ...}, names, {permutations=10000, seed=0}) -> sheet",
   "Measures against a score: rank correlation within groups, p by shuffling within groups, q over the measures."},
  {"probing", "probing", "of", "probing(features, {NAME = labels}, {partners=, streams=, pool=, metric=, seed=}) -> sheet", "Linear probes of each layer, with chance."},
  {"scene_labels", "probing", "scene_labels", "scene_labels(split, n) -> {color=, shape=, size=, place=}", "Labels of the first object of the first n scenes."},
  {"file_labels", "probing", "file_labels", "file_labels(path, ids) -> {label=}", "Labels of these image ids from a TSV: id, tab, label."},
  {"dimensionality", "dimensionality", false, "dimensionality(features, {partners=, pool=}) -> sheet", "Effective rank, participation ratio, PCA 95 %, TwoNN by layer and stream."},
  {"scatter", "scatter", false, "scatter(features, layer, {partners=, pool=, lines=24}) -> sheet", "Both streams of a layer (from 0) in the plane of two principal components."},
  {"attention", "attention", false, "attention(model, pair, {data=, cross=true}) -> view",
   "Attention of one pair by layer and head, both streams and across; rollout, entropy, gradient attribution."},
  {"baseline", "baseline", false, "baseline(fused, alone, names, {partner=\"matched\", pool=, k=, alone=}) -> sheet",
   "The fused model beside encoders without fusion (partner \"none\") and their concatenation."},
}

local modules = {}
for _, row in ipairs(rows) do
  modules[row[1]] = row
  document("vbl.analysis." .. row[1], row[4], row[5])
end

return setmetatable(analysis, {
  __index = function(self, name)
    local row = modules[name]
    if not row then error(("vbl.analysis has no '%s'%s"):format(tostring(name), nearest.hint(tostring(name), modules)), 2) end
    local module = require("vbl.analysis." .. row[2])
    local fn = row[3] and module[row[3]] or module
    rawset(self, name, fn)
    return fn
  end,
})

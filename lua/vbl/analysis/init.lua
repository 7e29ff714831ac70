-- vbl.analysis: what the layers of a two-stream model share. One forward pass a partner makes the features (or a file holds them), and
-- every analysis reads these; each returns a sheet (vbl.analysis.sheet), which prints, is saved as .tsv and .json, and draws itself.
--
--   features(model, split, opts) -> features     save(path, features)   load(path)         vbl.analysis.features, vbl.analysis.cache
--   table(features, names, opts)          matched and mismatched side by side, with chance, p and interval       vbl.analysis.table
--   matrices(features, name, opts)        layer x layer, across and within the streams                           vbl.analysis.matrices
--   matrices_over(list, name, opts)       the same over the epochs, on one scale
--   evolution(list, names, opts)          by layer over the epochs                                               vbl.analysis.evolution
--   pooling(features, names, opts)        CLS, masked mean, all tokens                                           vbl.analysis.pooling
--   adjacent(list, name, opts)            from one layer to the next within a stream                             vbl.analysis.adjacent
--   correlation(models, names)            measure against measure                                                vbl.analysis.correlation
--   stability(pairs, measures, opts)      in the number of items and of neighbours                               vbl.analysis.stability
--   downstream(rows, names, opts)         measures against a score, within groups                                vbl.analysis.downstream
--   probing(features, labels, opts)       what can be read off a layer; scene_labels, file_labels                vbl.analysis.probing
--   dimensionality(features, opts)        effective rank and its kin                                             vbl.analysis.dimensionality
--   scatter(features, layer, opts)        both streams in a plane                                                vbl.analysis.scatter
--   baseline(fused, alone, names, opts)   beside independent encoders                                            vbl.analysis.baseline
--   layers(pairs, opts), line(layer), names     the cheap table of a training run and its log line               vbl.analysis.layers
local layers = require "vbl.analysis.layers"
local nearest = require "vbl.nearest"

local analysis = {layers = layers.layers, line = layers.line, names = layers.names}

-- Name -> module, and the function in it where the module is a table of them.
local modules = {
  features = {"features", "run"}, save = {"cache", "save"}, load = {"cache", "load"}, table = {"table"}, matrices = {"matrices", "of"},
  matrices_over = {"matrices", "over"}, evolution = {"evolution"}, pooling = {"pooling"}, adjacent = {"adjacent"}, correlation = {"correlation"},
  stability = {"stability"}, downstream = {"downstream"}, probing = {"probing", "of"}, scene_labels = {"probing", "scene_labels"},
  file_labels = {"probing", "file_labels"}, dimensionality = {"dimensionality"}, scatter = {"scatter"}, baseline = {"baseline"},
}

return setmetatable(analysis, {
  __index = function(self, name)
    local row = modules[name]
    if not row then error(("vbl.analysis has no '%s'%s"):format(tostring(name), nearest.hint(tostring(name), modules)), 2) end
    local module = require("vbl.analysis." .. row[1])
    local fn = row[2] and module[row[2]] or module
    rawset(self, name, fn)
    return fn
  end,
})

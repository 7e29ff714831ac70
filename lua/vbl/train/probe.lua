-- The layer analysis of a run.
--   probe.layers(job, view) -> partner -> one record a layer (vbl.analysis.layers), all from the same pairs
--   probe.summary(results) -> partner -> {{layer =, coattention =, n =, MEASURE = value, ...}, ...}: what result.json keeps
local vbl = require "vbl"
local analysis = require "vbl.analysis"
local safe_point = require "vbl.train.safe_point"

local probe = {}

function probe.layers(job, view)
  return vbl.scope(function()
    local config, results = job.config, {}
    local features = analysis.features(job.model, view, {samples = config.probe_samples, partners = config.partners, train = job.train, mean = false,
                                                         safe_point = safe_point})
    for _, partner in ipairs(config.partners) do results[partner] = analysis.layers(features:pairs(partner), {groups = features.groups}) end
    return results
  end)
end

function probe.summary(results)
  local summary = {}
  for partner, list in pairs(results) do
    summary[partner] = {}
    for i, layer in ipairs(list) do
      local row = {layer = layer.name, coattention = layer.coattention, n = layer.n}
      for _, name in ipairs(analysis.names) do row[name] = layer[name] end
      summary[partner][i] = row
    end
  end
  return summary
end

return probe

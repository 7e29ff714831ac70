-- The gate before every analysis: a measure that fails its self-test prints no number.
--   gate.check(names)     runs vbl.measure.selftest once a process; an error names the measure, the case, what came out and what was expected
--   gate.distance(name)   whether a large value means less alike
local vbl = require "vbl"

local gate = {}

local distances = {modality_gap = true, alignment = true, gw_identity = true, wasserstein = true, sinkhorn = true, sliced_wasserstein = true}

function gate.distance(name) return distances[name] or false end

local failures

function gate.check(names)
  if not rawget(vbl.measure, "selftest") then return end
  failures = failures or vbl.measure.selftest()
end

return gate

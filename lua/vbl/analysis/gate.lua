-- The gate before every analysis: a measure that fails its self-test prints no number.
--   gate.check(names)     a name, or a list of names and {name, ...} as vbl.measure.report takes them; an error says which measure failed which question
--   gate.comparing(names) the same of measures that compare two matrices, as tables by layer and maps do; an error says which is none
--   gate.distance(name)   whether a large value means less alike
-- The self-test runs once a process (vbl.measure.selftest shows it).
local usage = require "vbl.usage"
local vbl = require "vbl"

local gate = {}

local distances = {modality_gap = true, alignment = true, gw_identity = true, wasserstein = true, sinkhorn = true, sliced_wasserstein = true}

function gate.distance(name)
  local plugin = vbl.measure.plugins()[name]
  return distances[name] or plugin and plugin.distance or false
end

function gate.check(names)
  for _, entry in ipairs(type(names) == "string" and {names} or names) do
    local name = type(entry) == "table" and entry[1] or entry
    local known, message = pcall(function() return vbl.measure[name] end)
    if not known then usage(usage.strip(message)) end
    local ok, reason = vbl.measure.passed(name)
    if not ok then
      error(("analysis: %s fails its self-test on this machine (%s); no number of it is shown (vbl.measure.selftest() tells more)"):format(name, reason), 0)
    end
  end
end

function gate.comparing(names)
  local x = vbl.zeros(8, 2)
  for _, name in ipairs(names) do
    local known, found = pcall(function() return vbl.measure[name] and vbl.measure.traits(name, x, {}) end)
    if not known then usage(usage.strip(found)) end
    if found.matrices ~= 2 then usage(("%s is a measure of one matrix: it compares no two"):format(name)) end
  end
  gate.check(names)
end

return gate

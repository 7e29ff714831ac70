-- The gate before every analysis: a measure that fails its self-test prints no number.
--   gate.check(names)     a name, or a list of names and {name, ...} as vbl.measure.report takes them; an error says which measure failed which question
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

return gate

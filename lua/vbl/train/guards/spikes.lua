-- Spikes of a loss or of the gradient's norm, by robust statistics of the steps before.
--   spikes.see(known, value) -> {median =, deviations =} where it is one, else nil; known: the values before, a list that is kept up to date
-- Loss and norm vary by factors, not by differences, so the logarithm is looked at; its spread is the median absolute deviation times 1.4826,
-- which for a normal law is the standard deviation and which a few wild steps do not move (Rousseeuw and Croux 1993). Why LIMIT, FACTOR and WINDOW are
-- what they are: docs/guards.md.
local statistics = require "vbl.statistics"

local spikes = {WINDOW = 64, FEWEST = 32, LIMIT = 8, FACTOR = 2}

-- Of the logarithms: their median and their robust deviation.
local function robust(values)
  local middle, distances = statistics.median(values), {}
  for i, v in ipairs(values) do distances[i] = math.abs(v - middle) end
  return middle, 1.4826 * statistics.median(distances)
end

local function judge(known, x)
  if #known < spikes.FEWEST then return nil end
  local middle, spread = robust(known)
  local above = x - middle
  if above < math.log(spikes.FACTOR) or above < spikes.LIMIT * spread then return nil end
  return {median = math.exp(middle), deviations = above / math.max(spread, 1e-12)}
end

function spikes.see(known, value)
  if not (value > 0) then return nil end
  local x = math.log(value)
  local found = judge(known, x)
  known[#known + 1] = x
  if #known > spikes.WINDOW then table.remove(known, 1) end
  return found
end

return spikes

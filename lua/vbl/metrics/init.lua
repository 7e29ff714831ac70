-- vbl.metrics: scores of predictions against labels (bindings/metrics.c), in scikit-learn's definitions; class numbers count from 0. And
-- intervals of a proportion.
local c = require "vbl.metrics.c"
local vbl = require "vbl"

-- Wilson's 95 % interval of a proportion (Wilson 1927).
function c.wilson(right, n)
  if n == 0 then return 0, 1 end
  local z, p = 1.959963984540054, right / n
  local centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  return math.max(0, (centre - half) / (1 + z * z / n)), math.min(1, (centre + half) / (1 + z * z / n))  -- at 0 and 1 but for rounding
end
vbl.document("metrics.wilson", "wilson(right, n) -> low, high", "Wilson's 95 % interval of the proportion right / n.")

return c

-- An epoch's means over its steps. A step counts by what its value is a mean of (vbl.train.step: samples, masked tokens), as a batch does in eval
-- mode, so that a small last batch counts for its few samples and not as a whole one.
--   averages.add(sums, values, weights)     a step's values; without a weight a value counts as 1. sums: {} before an epoch's first; checkpoints keep it
--   averages.means(sums)                    -> name -> mean
--   averages.errors(sums)                   -> name -> its standard error (vbl.train.held_out)
local held_out = require "vbl.train.held_out"

local averages = {}

-- Checkpoints once held {sum of the steps, steps, sum of squares}, each step counting as 1. Such steps get the weight of the first step that joins them.
local function weighted(t, weight)
  if not t or not t[1] then return t end
  return {sum = t[1] * weight, count = t[2] * weight, squares = (t[3] or 0) * weight, batches = t[2]}
end

function averages.add(sums, values, weights)
  for name, v in pairs(values) do
    local weight = weights[name] or 1
    sums[name] = held_out.add(weighted(sums[name], weight), v * weight, weight)
  end
end

local function each(sums, fn)
  local found = {}
  for name, t in pairs(sums) do found[name] = fn(weighted(t, 1)) end
  return found
end

function averages.means(sums) return each(sums, held_out.mean) end

function averages.errors(sums) return each(sums, held_out.error) end

return averages

-- Subsets of layers low .. high with least .. most of them, as strictly rising lists: placements of co-attention. With streams
-- ({"text", "vision"}) a value is one list a stream, all of one length.
--
-- The distribution over them: a size k by weights, then, for each stream by itself, k of the n layers by the conditional Bernoulli
-- distribution (Chen, Dempster, Liu, "Weighted finite population sampling to maximize entropy", Biometrika 1994):
-- P(S | k) = prod_{i in S} w_i / e_k(w), e_k the elementary symmetric polynomial, w_i the odds of layer i. All odds equal: uniform.
--
--   subset.count(dim) -> how many values      subset.all(dim) -> all of them
--   subset.uniform(dim) -> distribution: every size alike, every set of a size alike
--   subset.fitted(dim, values) -> distribution: frequencies of sizes and layers among the values, and one uniform value more
--   distribution.draw(rng) -> value      distribution.log_density(value)
local subset = {}

-- rows[i][k + 1]: e_k of w_i .. w_n.
local function symmetric(w)
  local rows = {[#w + 1] = {1}}
  for i = #w, 1, -1 do
    local row, next_row = {}, rows[i + 1]
    for k = 0, #w - i + 1 do row[k + 1] = (next_row[k + 1] or 0) + w[i] * (k > 0 and next_row[k] or 0) end
    rows[i] = row
  end
  return rows
end

local function binomial(n, k)
  local result = 1
  for i = 1, k do result = result * (n - k + i) // i end
  return result
end

local function streams_of(dim) return dim.streams and #dim.streams or 1 end

-- The lists of a value, one a stream.
local function lists(dim, value)
  if not dim.streams then return {value} end
  local result = {}
  for s, name in ipairs(dim.streams) do result[s] = value[name] end
  return result
end

local function value_of(dim, parts)
  if not dim.streams then return parts[1] end
  local value = {}
  for s, name in ipairs(dim.streams) do value[name] = parts[s] end
  return value
end

function subset.count(dim)
  local n, total = dim.high - dim.low + 1, 0
  for k = dim.least, dim.most do total = total + binomial(n, k) ^ streams_of(dim) end
  return total
end

-- Rising lists of k of the layers from `first` on.
local function choose(first, high, k)
  if k == 0 then return {{}} end
  local result = {}
  for i = first, high - k + 1 do
    for _, rest in ipairs(choose(i + 1, high, k - 1)) do result[#result + 1] = {i, table.unpack(rest)} end
  end
  return result
end

function subset.all(dim)
  local result = {}
  for k = dim.least, dim.most do
    local sets, parts = choose(dim.low, dim.high, k), {}
    local function extend(s)
      if s > streams_of(dim) then
        result[#result + 1] = value_of(dim, {table.unpack(parts)})
        return
      end
      for _, set in ipairs(sets) do
        parts[s] = set
        extend(s + 1)
      end
    end
    extend(1)
  end
  return result
end

local function draw_set(dim, w, rows, k, rng)
  local set = {}
  for i = 1, #w do
    local left = k - #set
    if left > 0 and rng:uniform() * rows[i][left + 1] < w[i] * (rows[i + 1][left] or 0) then set[#set + 1] = dim.low + i - 1 end
  end
  return set
end

local function log_of_set(dim, w, rows, set)
  local sum = -math.log(rows[1][#set + 1])
  for _, layer in ipairs(set) do sum = sum + math.log(w[layer - dim.low + 1]) end
  return sum
end

-- sizes[k - least + 1]: weight of size k; odds[s][i]: of layer i of stream s.
local function distribution(dim, sizes, odds)
  local rows, total = {}, 0
  for s = 1, #odds do rows[s] = symmetric(odds[s]) end
  for _, w in ipairs(sizes) do total = total + w end
  local self = {}
  function self.draw(rng)
    local k, parts = dim.least + rng:weighted(sizes) - 1, {}
    for s = 1, #odds do parts[s] = draw_set(dim, odds[s], rows[s], k, rng) end
    return value_of(dim, parts)
  end
  function self.log_density(value)
    local parts = lists(dim, value)
    local sum = math.log(sizes[#parts[1] - dim.least + 1] / total)
    for s, set in ipairs(parts) do sum = sum + log_of_set(dim, odds[s], rows[s], set) end
    return sum
  end
  return self
end

local function filled(n, value)
  local list = {}
  for i = 1, n do list[i] = value end
  return list
end

-- counts[i] + prior observations of total + 1, as odds: never 0 nor infinite.
local function odds_of(counts, total, prior)
  local odds = {}
  for i, count in ipairs(counts) do
    local p = (count + prior) / (total + 1)
    odds[i] = p / (1 - p)
  end
  return odds
end

function subset.fitted(dim, values)
  local n, count = dim.high - dim.low + 1, dim.most - dim.least + 1
  local sizes, included = filled(count, 1 / count), {}
  for s = 1, streams_of(dim) do included[s] = filled(n, 0) end
  for _, value in ipairs(values) do
    for s, set in ipairs(lists(dim, value)) do
      if s == 1 then sizes[#set - dim.least + 1] = sizes[#set - dim.least + 1] + 1 end
      for _, layer in ipairs(set) do included[s][layer - dim.low + 1] = included[s][layer - dim.low + 1] + 1 end
    end
  end
  local odds = {}
  for s = 1, #included do odds[s] = odds_of(included[s], #values, 0.5) end
  return distribution(dim, sizes, odds)
end

function subset.uniform(dim) return subset.fitted(dim, {}) end

return subset

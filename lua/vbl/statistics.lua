-- Statistics of small lists of numbers.
--   ranks(list)                 average ranks, from 1
--   spearman(x, y)              nil with less than 3 values or where one of the lists is constant
--   fisher_mean(list, sizes)    mean of rank correlations, of sizes[i] values each, as tanh(mean(atanh r)) (Fisher 1921). atanh(1) is infinite, so a single
--                               short list in perfect order, which chance alone often gives, would decide the mean: |r| is held half a step below 1
--                               (of L values the next possible one below 1 is 1 - 12 / (L (L^2 - 1))), unless all are the same number
--   mean_sd(list)               mean and unbiased deviation (0 for one value)
--   quantile(sorted, q)         linear interpolation between order statistics, as numpy.quantile; `sorted` ascending, 0 <= q <= 1
--   median(list)                of a list in any order, which stays as it is
--   permutation(n, seed, draw)  list of 1 .. n in the draw-th order of the seed; the script's random stream stays where it is
local vbl = require "vbl"

local statistics = {}

function statistics.ranks(list)
  local order, ranks = {}, {}
  for i = 1, #list do order[i] = i end
  table.sort(order, function(a, b) return list[a] < list[b] or list[a] == list[b] and a < b end)
  local first = 1
  while first <= #order do
    local last = first
    while last < #order and list[order[last + 1]] == list[order[first]] do last = last + 1 end
    for at = first, last do ranks[order[at]] = (first + last) / 2 end
    first = last + 1
  end
  return ranks
end

function statistics.pearson(x, y)
  local n, mx, my = #x, 0, 0
  for i = 1, n do mx, my = mx + x[i] / n, my + y[i] / n end
  local xx, yy, xy = 0, 0, 0
  for i = 1, n do
    local a, b = x[i] - mx, y[i] - my
    xx, yy, xy = xx + a * a, yy + b * b, xy + a * b
  end
  if n < 3 or xx == 0 or yy == 0 then return nil end
  return math.max(-1, math.min(1, xy / math.sqrt(xx * yy)))
end

function statistics.spearman(x, y) return statistics.pearson(statistics.ranks(x), statistics.ranks(y)) end

local function atanh(r) return 0.5 * math.log((1 + r) / (1 - r)) end

local function tanh(z)
  local e = math.exp(2 * z)
  return (e - 1) / (e + 1)
end

function statistics.fisher_mean(list, sizes)
  local sum, equal = 0, true
  for i, r in ipairs(list) do
    local most = 1 - 6 / (sizes[i] * (sizes[i] ^ 2 - 1))
    sum, equal = sum + atanh(math.max(-most, math.min(most, r))), equal and r == list[1]
  end
  if equal then return list[1] or 0 / 0 end
  return tanh(sum / #list)
end

function statistics.mean_sd(list)
  local n, sum, squares = #list, 0, 0
  for _, v in ipairs(list) do sum = sum + v end
  local mean = sum / n
  for _, v in ipairs(list) do squares = squares + (v - mean) ^ 2 end
  return mean, n > 1 and math.sqrt(squares / (n - 1)) or 0
end

function statistics.quantile(sorted, q)
  local at = 1 + q * (#sorted - 1)
  local i = math.floor(at)
  local low, high = sorted[i], sorted[math.min(i + 1, #sorted)]
  return low + (at - i) * (high - low)
end

function statistics.median(list)
  local sorted, n = table.move(list, 1, #list, 1, {}), #list
  table.sort(sorted)
  return n % 2 == 1 and sorted[n // 2 + 1] or (sorted[n // 2] + sorted[n // 2 + 1]) / 2
end

function statistics.permutation(n, seed, draw)
  local old_seed, old_draws = vbl.random_state()
  vbl.manual_seed(seed, draw << 20)
  local order = vbl.randperm(n):totable()
  vbl.manual_seed(old_seed, old_draws)
  for i = 1, n do order[i] = order[i] + 1 end
  return order
end

return statistics

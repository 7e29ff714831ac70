-- Numbers of a table's cells from draws: means, intervals, tests between rows.
--   resample.moments(values) -> mean, sample deviation (nil for one value)
--   resample.group_draws(runs, row, opts) -> {mean of each draw}     runs: {{value of each draw}, ...}, those of vbl.metrics.bootstrap; in
--     each draw the runs, too, are drawn anew with replacement (Davison and Hinkley 1997, section 3.8: two levels); row keys that draw
--   resample.interval(draws, alpha) -> low, high: percentiles (Efron 1979); nil where more than 5 % of the draws are undefined
--   resample.bootstrap_p(differences) -> p     two-sided: twice the share of draws on the smaller side of 0, (count + 1) / (draws + 1)
--   resample.exchange_p(differences, observed) -> p     share of |draw| >= |observed|, (count + 1) / (draws + 1) (Phipson and Smyth 2010)
--   resample.holm(ps) -> adjusted ps, in the given order (Holm 1979)
local quantile = require "vbl.quantile"
local random = require "vbl.data.c"

local resample = {}

function resample.moments(values)
  local n, sum, squares = #values, 0, 0
  for _, v in ipairs(values) do sum = sum + v end
  local mean = sum / n
  for _, v in ipairs(values) do squares = squares + (v - mean) ^ 2 end
  return mean, n > 1 and math.sqrt(squares / (n - 1)) or nil
end

function resample.group_draws(runs, row, opts)
  local n, out = #runs, {}
  for b = 1, opts.draws do
    local sum = 0
    for k = 1, n do
      local at = n == 1 and 1 or 1 + math.floor(random.uniform(opts.seed, "measure", ((row - 1) * opts.draws + b) * 64 + k) * n)
      sum = sum + runs[at][b]
    end
    out[b] = sum / n
  end
  return out
end

function resample.interval(draws, alpha)
  local sorted = {}
  for _, v in ipairs(draws) do
    if v == v then sorted[#sorted + 1] = v end
  end
  if #sorted < 0.95 * #draws then return nil end
  table.sort(sorted)
  return quantile(sorted, alpha / 2), quantile(sorted, 1 - alpha / 2)
end

function resample.bootstrap_p(differences)
  local below, above, n = 0, 0, 0
  for _, d in ipairs(differences) do
    below, above, n = below + (d <= 0 and 1 or 0), above + (d >= 0 and 1 or 0), n + (d == d and 1 or 0)
  end
  return n > 0 and math.min(1, 2 * (math.min(below, above) + 1) / (n + 1)) or nil
end

-- Draws that reach the observed difference but for rounding count: both sum the same numbers in another order.
function resample.exchange_p(differences, observed)
  local count, n, limit = 0, 0, math.abs(observed) * (1 - 1e-12) - 1e-15
  for _, d in ipairs(differences) do
    count, n = count + (math.abs(d) >= limit and 1 or 0), n + (d == d and 1 or 0)
  end
  return n > 0 and (count + 1) / (n + 1) or nil
end

function resample.holm(ps)
  local order, out, most = {}, {}, 0
  for i = 1, #ps do order[i] = i end
  table.sort(order, function(a, b) return ps[a] < ps[b] or ps[a] == ps[b] and a < b end)
  for rank, i in ipairs(order) do
    most = math.max(most, math.min(1, (#ps - rank + 1) * ps[i]))
    out[i] = most
  end
  return out
end

return resample

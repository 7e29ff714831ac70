-- Numbers of a table's cells from draws: means, intervals, tests between rows.
--   resample.moments(values) -> mean, sample deviation (nil for one value)
--   resample.group_draws(runs, row, opts, values) -> draws of a group's mean     runs: {{value of each draw}, ...}, those of
--     vbl.metrics.bootstrap; values: {value on all samples, ...} of the same runs; row: a number of its own for each group that is compared
--     A draw is the mean of the runs on a draw of the samples, plus what other seeds would make of it: s / sqrt(n) times a draw of Student's t
--     with n - 1 degrees of freedom, s the deviation of `values`. Without noise of the samples its percentiles are the t interval of the mean
--     and the difference of two groups is Behrens and Fisher's (Fisher 1935), whose error of the first kind is at most the nominal one (Robinson
--     1976). Drawing the n runs anew instead has (n - 1) / n of their variance and no such tails. One run: its samples' draws alone.
--   resample.mean_draws(values, row, opts) -> the same of values that have no common samples: their spread holds that of the samples already
--   resample.interval(draws, alpha) -> low, high: percentiles (Efron 1979); nil where more than 5 % of the draws are undefined
--   resample.bootstrap_p(differences) -> p     two-sided: twice the share of draws on the smaller side of 0, (count + 1) / (draws + 1)
--   resample.exchange_p(differences, observed) -> p     share of |draw| >= |observed|, (count + 1) / (draws + 1) (Phipson and Smyth 2010)
--   resample.holm(ps) -> adjusted ps, in the given order (Holm 1979)
local statistics = require "vbl.statistics"
local random = require "vbl.data.c"
local student = require "vbl.report.student"

local resample = {}

function resample.moments(values)
  local mean, sd = statistics.mean_sd(values)
  return mean, #values > 1 and sd or nil
end

-- The quantiles of t, one a draw, in an order of the row's own: a sample of t whose margin is exact.
local function spread(values, row, opts)
  local n, out = #values, {}
  local _, sd = resample.moments(values)
  local grid, scale = sd and student.grid(opts.draws, n - 1), sd and sd / math.sqrt(n)
  for b = 1, opts.draws do
    local at = sd and 1 + math.floor(random.uniform(opts.seed, "measure", (row - 1) * opts.draws + b) * b) or b
    out[b] = out[at]
    out[at] = sd and scale * grid[b] or 0
  end
  return out
end

function resample.group_draws(runs, row, opts, values)
  local out = spread(values, row, opts)
  for b = 1, opts.draws do
    local sum = 0
    for _, run in ipairs(runs) do sum = sum + run[b] end
    out[b] = out[b] + sum / #runs
  end
  return out
end

function resample.mean_draws(values, row, opts)
  local out, mean = spread(values, row, opts), resample.moments(values)
  for b = 1, opts.draws do out[b] = out[b] + mean end
  return out
end

function resample.interval(draws, alpha)
  local sorted = {}
  for _, v in ipairs(draws) do
    if v == v then sorted[#sorted + 1] = v end
  end
  if #sorted < 0.95 * #draws then return nil end
  table.sort(sorted)
  return statistics.quantile(sorted, alpha / 2), statistics.quantile(sorted, 1 - alpha / 2)
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

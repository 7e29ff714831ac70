-- What a value means beside the values that chance gives.
--   calibrate.against(value, null, traits, alpha) -> {p, null_mean, null_sd, null_q95, calibrated, corrected, z}
--   calibrate.interval(value, draws, n, m, alpha) -> lo, hi
--   calibrate.moments(list) -> mean, deviation of the list (n - 1)
--   calibrate.fdr(p_values) -> q values (Benjamini and Hochberg 1995)
local statistics = require "vbl.statistics"

local calibrate = {}

-- A permutation that changes nothing gives the observed value back, but for rounding, as it sums in another order: values count as equal within this share
-- of the largest of them.
local SAME = 1e-9

local function largest(value, list)
  local most = math.abs(value)
  for _, v in ipairs(list) do most = math.max(most, math.abs(v)) end
  return most
end

local function finite(list)
  local out = {}
  for _, v in ipairs(list) do
    if v == v and math.abs(v) ~= math.huge then out[#out + 1] = v end
  end
  return out
end

function calibrate.moments(list)
  local mean, sum = 0, 0
  for _, v in ipairs(list) do mean = mean + v / #list end
  for _, v in ipairs(list) do sum = sum + (v - mean) ^ 2 end
  return mean, #list > 1 and math.sqrt(sum / (#list - 1)) or 0
end

-- traits: distance (smaller is nearer), null ("permutation" or "swap"), best (may be nil). The tail is the side of agreement: right, or
-- left for distances. Under "swap" it is the right one: large distances say that the two clouds differ.
--   p = (1 + #{null at least as extreme}) / (B + 1), over the B null values that are defined
--   null_q95: the 1 - alpha quantile of the null on that side (the alpha quantile for distances)
--   calibrated = clip((value - tau) / (best - tau), 0, 1), tau the ceil((1 - alpha)(B + 1))-th of null and value together: what is left
--   of the value above what chance reaches (Gröger, Wen, Brbić: "Revisiting the Platonic Representation Hypothesis", arXiv 2602.14486)
--   corrected = (value - null_mean) / (best - null_mean); z = (value - null_mean) / null_sd
-- Empty when the value or all of the null is undefined.
function calibrate.against(value, null, traits, alpha)
  local draws = finite(null)
  if value ~= value or #draws == 0 then return {} end
  local left = traits.distance and traits.null == "permutation"
  local sign, mean, sd = left and -1 or 1, calibrate.moments(draws)
  local extreme, all, least = 0, {}, sign * value - SAME * largest(value, draws)
  for i, v in ipairs(draws) do
    if sign * v >= least then extreme = extreme + 1 end
    all[i] = sign * v
  end
  table.sort(all)
  local out = {p = (1 + extreme) / (#draws + 1), null_mean = mean, null_sd = sd, null_q95 = sign * statistics.quantile(all, 1 - alpha),
               z = sd > 0 and (value - mean) / sd or nil, tail = left and "left" or "right"}
  if traits.best and traits.null == "permutation" then
    all[#all + 1] = sign * value
    table.sort(all)
    local tau, best = all[math.ceil((1 - alpha) * #all)], sign * traits.best
    out.calibrated = best > tau and math.min(1.0, math.max(0.0, (sign * value - tau) / (best - tau))) or 0.0
    out.corrected = traits.best ~= mean and (value - mean) / (traits.best - mean) or nil
  end
  return out
end

-- From values on random subsets of m of the n rows, drawn without replacement. Their spread about their own mean estimates that of the
-- value: the mean is taken out because what m rows give can differ in level from what n rows give (mknn's chance k/(n-1) does). A subset
-- of m rows differs from the whole by a variance s^2 (1/m - 1/n), and the whole from the population by s^2/n, so deviations are scaled by
-- sqrt(m / (n - m)), which is 1 for m = n/2 (the delete-d jackknife, Shao and Wu 1989; sqrt(m/n) belongs to m much smaller than n and
-- would make the interval of half-samples too short by sqrt 2). Rows drawn *with* replacement are never used: copies of a row are each
-- other's neighbours and add to the diagonal. nil for fewer than 10 defined draws.
-- The value is always in its interval: where all but a few subsets agree (copies of the same rows: 1 on 99 of 100), the few would move the mean past both
-- quantiles.
function calibrate.interval(value, values, n, m, alpha)
  local draws = finite(values)
  if value ~= value or #draws < 10 or m >= n then return nil end
  local mean = calibrate.moments(draws)
  local scale = math.sqrt(m / (n - m))
  table.sort(draws)
  local above, below = statistics.quantile(draws, 1 - alpha / 2) - mean, statistics.quantile(draws, alpha / 2) - mean
  return value - scale * math.max(0, above), value - scale * math.min(0, below)
end

-- p_values: an array; holes and nil are not possible, leave undefined ones out.
function calibrate.fdr(p_values)
  local order, q, least = {}, {}, 1
  for i in ipairs(p_values) do order[i] = i end
  table.sort(order, function(a, b)
    if p_values[a] ~= p_values[b] then return p_values[a] < p_values[b] end
    return a < b
  end)
  for rank = #order, 1, -1 do
    local i = order[rank]
    least = math.min(least, p_values[i] * #order / rank)
    q[i] = least
  end
  return q
end

return calibrate

-- Parzen estimators of a number's distribution between two bounds, as in Bergstra, Bardenet, Bengio, Kégl, "Algorithms for
-- Hyper-Parameter Optimization" (NIPS 2011), section 4.2: one Gaussian a value, its width the larger of the distances to its two
-- neighbours, and one Gaussian as wide as the range for the prior, all with equal weights and cut off at the bounds.
-- Whole numbers take the mass of their cell [x - 1/2, x + 1/2]. The kinds that end in "log" live on the logarithm.
--
--   parzen.fitted(dim, values) -> distribution {draw(rng) -> value, log_density(value)}; no values: the prior
--   parzen.uniform(dim) -> the same, uniform
--   parzen.cdf(z) -> of the standard normal distribution
local parzen = {}

-- erfc by Chebyshev fitting, relative error below 1.2e-7 everywhere (Press et al., "Numerical Recipes", section 6.2).
local coefficients = {0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223}

local function erfc(x)
  local t, sum = 1 / (1 + math.abs(x) / 2), 0
  for _, a in ipairs(coefficients) do sum = sum * t + a end
  local y = t * math.exp(-x * x + sum)
  return x >= 0 and y or 2 - y
end

function parzen.cdf(z) return erfc(-z / math.sqrt(2)) / 2 end

-- How a dimension's values lie on the line where the Gaussians are: {low, high, to(value), from(x), cell(value) -> its ends or nil}.
local function line_of(dim)
  local logarithmic, whole = dim.kind == "log" or dim.kind == "integer_log", dim.kind:find "integer"
  local to = logarithmic and math.log or function(x) return x end
  local back = logarithmic and math.exp or function(x) return x end
  local half = whole and 0.5 or 0
  local function from(x)
    local value = back(x)
    if whole then value = math.floor(value + 0.5) end
    return math.min(math.max(value, dim.low), dim.high)
  end
  local function cell(value) return to(value - 0.5), to(value + 0.5) end
  return {low = to(dim.low - half), high = to(dim.high + half), to = to, from = from, cell = whole and cell or nil}
end

-- Sorted centres with their widths.
local function kernels(line, values)
  local range = line.high - line.low
  local list = {{x = (line.low + line.high) / 2, prior = true}}
  for _, value in ipairs(values) do list[#list + 1] = {x = line.to(value)} end
  table.sort(list, function(a, b) return a.x < b.x end)
  for i, k in ipairs(list) do
    local left, right = list[i - 1] and k.x - list[i - 1].x or 0, list[i + 1] and list[i + 1].x - k.x or 0
    k.width = k.prior and range or math.min(math.max(left, right, range / math.min(100, #list + 1)), range)
    k.mass = parzen.cdf((line.high - k.x) / k.width) - parzen.cdf((line.low - k.x) / k.width)
  end
  return list
end

local function density(line, k, value)
  if line.cell then
    local a, b = line.cell(value)
    return (parzen.cdf((b - k.x) / k.width) - parzen.cdf((a - k.x) / k.width)) / k.mass
  end
  local z = (line.to(value) - k.x) / k.width
  return math.exp(-z * z / 2) / (k.width * math.sqrt(2 * math.pi) * k.mass)
end

function parzen.fitted(dim, values)
  local line = line_of(dim)
  local list = kernels(line, values)
  local self = {}
  -- A centre lies between the bounds and is at most as wide as the range, so a draw is kept with probability 0.34 or more.
  function self.draw(rng)
    local k, x = list[rng:integer(1, #list)], nil
    repeat x = k.x + k.width * rng:normal() until x >= line.low and x <= line.high
    return line.from(x)
  end
  function self.log_density(value)
    local sum = 0
    for _, k in ipairs(list) do sum = sum + density(line, k, value) end
    return math.log(math.max(sum / #list, 1e-300))
  end
  return self
end

function parzen.uniform(dim)
  local line = line_of(dim)
  return {draw = function(rng) return line.from(line.low + (line.high - line.low) * rng:uniform()) end}
end

return parzen

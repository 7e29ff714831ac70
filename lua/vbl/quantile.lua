-- quantile(sorted, q) -> number: linear interpolation between order statistics, as numpy.quantile; `sorted` ascending, 0 <= q <= 1.
return function(sorted, q)
  local at = 1 + q * (#sorted - 1)
  local i = math.floor(at)
  local low, high = sorted[i], sorted[math.min(i + 1, #sorted)]
  return low + (at - i) * (high - low)
end

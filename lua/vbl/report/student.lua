-- Student's t with a whole number of degrees of freedom, by its closed forms (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
--   student.within(t, df) -> P(|T| < t)
--   student.quantile(p, df) -> t with P(T < t) = p, 0 < p < 1
--   student.grid(n, df) -> {quantile((i - 1/2) / n) for i = 1 .. n}, rising; the same table at each call: to be read
local student = {}

-- P(|T| < sqrt(df) tan(theta)): a finite sum over powers of cos(theta), each term from the one before.
local function within(theta, df)
  local s, c = math.sin(theta), math.cos(theta)
  local odd = df % 2 == 1
  if df == 1 then return 2 * theta / math.pi end
  local term, sum = odd and c or 1, 0
  for k = odd and 1 or 0, df - 2, 2 do
    sum, term = sum + term, term * (k + 1) / (k + 2) * c * c
  end
  return odd and 2 / math.pi * (theta + s * sum) or s * sum
end

function student.within(t, df) return within(math.atan(t / math.sqrt(df)), df) end

-- Halving the angle's range: it is bounded where t is not. 60 halvings leave no bit of a double.
function student.quantile(p, df)
  if p < 0.5 then return -student.quantile(1 - p, df) end
  local low, high = 0, math.pi / 2
  for _ = 1, 60 do
    local middle = (low + high) / 2
    if within(middle, df) < 2 * p - 1 then low = middle else high = middle end
  end
  return math.sqrt(df) * math.tan((low + high) / 2)
end

local grids = {}

function student.grid(n, df)
  local key = n .. "/" .. df
  if not grids[key] then
    local list = {}
    for i = 1, n do list[i] = student.quantile((i - 0.5) / n, df) end
    grids[key] = list
  end
  return grids[key]
end

return student

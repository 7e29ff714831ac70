-- Numbers that a device has not computed yet: the host goes on queueing work, and looks at them when they are there. Sums, products and quotients
-- of them are such numbers too.
--   later.of(t[, watched]) -> number or later number     the element of a tensor of one element, as it is now; a number stays one. On the CPU a
--     number. watched: where it is not finite, optimizers change nothing on the device (tensor:read_later)
--   later.new(fn) -> later number       fn() waits for it
--   later.map(f, x) -> f(x), later where x is
--   later.number(x) -> number           waits for it
-- They cannot be compared or printed: ask for the number first.
local later = {}

local Later = {}

local function number(x)
  if getmetatable(x) ~= Later then return x end
  if x.wait then x.value, x.wait = x.wait(), nil end
  return x.value
end

later.number = number

function later.new(fn) return setmetatable({wait = fn}, Later) end

function later.map(f, x)
  if getmetatable(x) ~= Later then return f(x) end
  return later.new(function() return f(number(x)) end)
end

function later.of(t, watched)
  if type(t) ~= "userdata" then return t end
  local reading = t:read_later(watched)
  return type(reading) == "number" and reading or later.new(function() return reading:wait() end)
end

local function binary(f)
  return function(a, b) return later.new(function() return f(number(a), number(b)) end) end
end

Later.__add = binary(function(a, b) return a + b end)
Later.__sub = binary(function(a, b) return a - b end)
Later.__mul = binary(function(a, b) return a * b end)
Later.__div = binary(function(a, b) return a / b end)

return later

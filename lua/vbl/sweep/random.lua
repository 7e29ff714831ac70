-- What a sweep draws is a function of (its seed, the trial's number): no state, so any worker on any host draws the same.
-- SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
--
--   random.new(seed, number) -> rng      integers
--   rng:uniform() -> [0, 1)     rng:integer(low, high) -> both ends included     rng:normal() -> mean 0, deviation 1
--   rng:weighted{w1, w2, ...} -> index, in proportion to the weights (not negative, not all 0)
local random = {}

local Rng = {}
Rng.__index = Rng

local GAMMA = 0x9E3779B97F4A7C15

local function mix(z)
  z = (z ~ z >> 30) * 0xBF58476D1CE4E5B9
  z = (z ~ z >> 27) * 0x94D049BB133111EB
  return z ~ z >> 31
end

function random.new(seed, number) return setmetatable({state = mix(mix(seed + GAMMA) + number * GAMMA)}, Rng) end

function Rng:uniform()
  self.state = self.state + GAMMA
  return (mix(self.state) >> 11) * 2.0 ^ -53
end

function Rng:integer(low, high) return low + math.floor(self:uniform() * (high - low + 1)) end

function Rng:normal() return math.sqrt(-2 * math.log(1 - self:uniform())) * math.cos(2 * math.pi * self:uniform()) end

function Rng:weighted(weights)
  local sum, last = 0, nil
  for i, w in ipairs(weights) do
    sum = sum + w
    if w > 0 then last = i end
  end
  local at = self:uniform() * sum
  for i, w in ipairs(weights) do
    at = at - w
    if at < 0 and w > 0 then return i end
  end
  return last  -- rounding
end

return random

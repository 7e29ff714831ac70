-- vbl.optim.ema(parameters, decay) -> average: an exponential moving average of the weights, which often generalises better than the last ones.
--   average:update(step)     after the optimizer's step of that number, from 1: average = d average + (1 - d) weights with
--                            d = min(decay, (1 + step) / (10 + step)), so that the first steps do not stay in it (as tf.train.ExponentialMovingAverage)
--   average:during(fn, ...)  fn(...) with the averages in the parameters, the weights back after it, whatever is raised
--   average:apply()          the averages in the parameters, the weights in average.list, and average:restore() the weights back; a second time: nothing
--   average.list             {{name =, tensor =}, ...}, as the parameters
-- Parameters that are not trained now are their own average.
local core = require "vbl.optim.c"
local vbl = require "vbl.tensor.c"

local Average = {}
Average.__index = Average

function Average:update(step)
  if math.type(step) ~= "integer" or step < 1 then error("ema: update: expected the step's number, from 1, got " .. tostring(step), 2) end
  core.average(self, math.min(self.decay, (1 + step) / (10 + step)))
end

function Average:apply()
  if not self.swapped then core.swap(self) end
end

function Average:restore()
  if self.swapped then core.swap(self) end
end

function Average:during(fn, ...)
  local _ <close> = setmetatable({}, {__close = function() self:restore() end})
  self:apply()
  return fn(...)
end

-- Averages lie side by side, as packed parameters do: one kernel then averages them all.
local function copies_of(list)
  local total, at, copies = 0, 1, {}
  for _, t in ipairs(list) do total = total + t:numel() end
  local block = vbl.empty({total}, {dtype = list[1]:dtype(), device = list[1]:device()}):keep()
  for i, t in ipairs(list) do
    copies[i] = block:narrow(1, at, t:numel()):reshape(t:shape()):keep()
    copies[i]:copy_(t:detach())
    at = at + t:numel()
  end
  return copies
end

return function(parameters, decay)
  if type(decay) ~= "number" or not (decay >= 0 and decay < 1) then
    error("ema: decay: expected a number from 0 to below 1 such as 0.999, got " .. tostring(decay), 2)
  end
  local self = setmetatable({decay = decay, list = {}, weights = {}}, Average)
  for _, p in ipairs(parameters) do
    if p.tensor.requires_grad then self.weights[#self.weights + 1] = p.tensor end
  end
  if #self.weights == 0 then error("ema: no parameter is trained: nothing would move", 2) end
  self.averages = vbl.no_grad(copies_of, self.weights)
  local at = 0
  for i, p in ipairs(parameters) do
    if p.tensor.requires_grad then at = at + 1 end
    self.list[i] = {name = p.name, tensor = p.tensor.requires_grad and self.averages[at] or p.tensor}
  end
  return self
end

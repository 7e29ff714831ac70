-- What a run began with, so that whoever opens it knows whether it is what the seed and the weights' files give today.
--   initial.of(list) -> {sum =, squares =} of all parameters, in f64: a draw or a file gives the same everywhere but for rounding
--   initial.same(a, b) -> whether two of these are of one model
local vbl = require "vbl"

local initial = {}

function initial.of(list)
  local found = {sum = 0, squares = 0}
  for _, p in ipairs(list) do
    vbl.scope(function()
      local x = p.tensor:detach():to("cpu"):to("f64")
      found.sum, found.squares = found.sum + x:sum():item(), found.squares + (x * x):sum():item()
    end)
  end
  return found
end

-- Draws on machines of other instructions differ by 2^-23 of each number, with either sign, and so the sum by that of their root of squares; another model,
-- or a step of training, by far more.
local SAME = 1e-6

function initial.same(a, b)
  return math.abs(a.squares - b.squares) <= SAME * a.squares and math.abs(a.sum - b.sum) <= SAME * math.sqrt(a.squares)
end

return initial

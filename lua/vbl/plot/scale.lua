-- What pictures and terminal figures share: the range of values and the sequential colours.
--   scale.finite(v)                 neither NaN nor infinite
--   scale.range(lists, low, high)   the given ends, else the least and the largest finite value; never empty
--   scale.color(at)                 {r, g, b}, 0 to 255, of viridis at 0 .. 1 (its light end a little darker, to be seen on white)
--   scale.two(v)                    "0.38": two decimals, where what rounds to nothing has no sign
local scale = {}

local viridis = {{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {220, 205, 40}}

function scale.finite(v) return v == v and v ~= math.huge and v ~= -math.huge end

function scale.two(v)
  local text = ("%.2f"):format(v)
  return text == "-0.00" and "0.00" or text
end

function scale.range(lists, low, high)
  local least, most = math.huge, -math.huge
  for _, list in ipairs(lists) do
    for _, v in ipairs(list) do
      if scale.finite(v) then least, most = math.min(least, v), math.max(most, v) end
    end
  end
  if not scale.finite(least) then least, most = 0, 1 end
  low, high = low or least, high or most
  if low < high then return low, high end
  return low - 0.5, low + 0.5
end

function scale.color(at)
  local place = 1 + math.max(0, math.min(1, at)) * (#viridis - 1)
  local i, rgb = math.min(math.floor(place), #viridis - 1), {}
  for k = 1, 3 do rgb[k] = math.floor(viridis[i][k] + (place - i) * (viridis[i + 1][k] - viridis[i][k]) + 0.5) end
  return rgb
end

return scale

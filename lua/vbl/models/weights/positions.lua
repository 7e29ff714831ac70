-- Position tables of another length. Images: the grid is resampled as timm's resample_abs_pos_embed does (bicubic, a = -0.5, antialiased),
-- the class token's row stays. Texts: the first rows.
local vbl = require "vbl"

local positions = {}

-- Keys' cubic convolution (1981), a = -1/2.
local function cubic(x)
  x = math.abs(x)
  if x < 1 then return (1.5 * x - 2.5) * x * x + 1 end
  if x < 2 then return ((-0.5 * x + 2.5) * x - 4) * x + 2 end
  return 0
end

-- [to, from]: row i weighs the `from` old places for new place i. The filter is widened when there are fewer new places (antialias).
local function weights(from, to)
  local scale, rows = from / to, {}
  local wide = math.max(scale, 1)
  for i = 0, to - 1 do
    local center, row, sum = scale * (i + 0.5), {}, 0
    local first = math.max(math.floor(center - 2 * wide + 0.5), 0)
    local last = math.min(math.floor(center + 2 * wide + 0.5), from) - 1
    for j = 0, from - 1 do
      row[j + 1] = j >= first and j <= last and cubic((j - center + 0.5) / wide) or 0
      sum = sum + row[j + 1]
    end
    for j = 1, from do row[j] = row[j] / sum end
    rows[i + 1] = row
  end
  return vbl.tensor(rows, {dtype = "f64"})
end

-- table [1, 1 + from^2, D] -> [1, 1 + to^2, D]
function positions.image(table_, to)
  local D = table_:size(3)
  local from = math.floor((table_:size(2) - 1) ^ 0.5 + 0.5)
  if from == to then return table_ end
  local t = table_:to("f64")
  local grid, w = t:narrow(2, 2, from * from):reshape(from, from * D), weights(from, to)
  local tall = w:matmul(grid):reshape(to, from, D):transpose(1, 2):contiguous():reshape(from, to * D)
  local both = w:matmul(tall):reshape(to, to, D):transpose(1, 2):contiguous():reshape(1, to * to, D)
  return vbl.cat({t:narrow(2, 1, 1), both}, 2):to("f32")
end

-- table [from, D] -> its first rows
function positions.text(table_, to) return table_:narrow(1, 1, to):contiguous() end

return positions

-- Pictures side by side, each with a line above: an image, or an image under a map of weights. (No script is kept.)
--   pictures.draw(base, {title=, note=, columns = 6, panels = {{title=, image = u8 [3, H, W], weights = [rows, columns] or nil}, ...}})
--     -> true, or false without gnuplot
--     weights: at least 0. An even share of their sum, or less, leaves the image pale; FULL times that is red; between them by the logarithm,
--     so that pictures compare: attention that is everywhere alike shows nothing
--   pictures.overlay(image, weights) -> u8 [3, H, W]     H and W are multiples of rows and columns
-- An image larger than 112 pixels is drawn with every k-th one.
local gnuplot = require "vbl.plot.gnuplot"
local vbl = require "vbl"

local pictures = {}

local SIDE, GAP, HEADER, TITLE, MOST = 132, 14, 46, 22, 112
local RED = {205, 28, 36}
local FULL = 8

function pictures.overlay(image, weights)
  local H, W, r, c = image:size(2), image:size(3), weights:size(1), weights:size(2)
  local even = weights:sum():item() / (r * c)
  local alpha = ((weights / (even > 0 and even or 1)):maximum(1):log() / math.log(FULL)):minimum(1) * 0.85
  alpha = alpha:reshape(r, 1, c, 1):expand(r, H // r, c, W // c):contiguous():reshape(1, H, W)
  local x = image:to("cpu"):to "f32"
  local pale = (x:mean(1):reshape(1, H, W) * 0.35 + x * 0.3) + 0.35 * 255
  local red = vbl.tensor(RED, {device = "cpu"}):reshape(3, 1, 1):to "f32"
  return (pale * (1 - alpha) + red * alpha + 0.5):minimum(255):to "u8"
end

local function every(size) return math.max(1, math.ceil(size / MOST)) end

local function block(id, image)
  local lines, planes, k = {("$picture%d << EOD"):format(id)}, image:totable(), every(math.max(image:size(2), image:size(3)))
  for y = 1, #planes[1], k do
    for x = 1, #planes[1][1], k do
      lines[#lines + 1] = ("%d %d %d %d %d"):format((x - 1) // k, (y - 1) // k, planes[1][y][x], planes[2][y][x], planes[3][y][x])
    end
  end
  lines[#lines + 1] = "EOD"
  return table.concat(lines, "\n"), (#planes[1][1] - 1) // k + 1, (#planes[1] - 1) // k + 1
end

function pictures.draw(base, spec)
  if not gnuplot.available() then return false end
  local columns = math.min(spec.columns or 6, #spec.panels)
  local rows = math.ceil(#spec.panels / columns)
  local width, height = GAP + columns * (SIDE + GAP), HEADER + rows * (SIDE + TITLE + GAP)
  local lines, blocks = {"unset key; unset border; unset tics; set yrange [] reverse; set multiplot"}, {}
  local function out(text) lines[#lines + 1] = "  " .. text end
  out(("set label 1 %s at screen %.5f, screen %.5f left font 'Sans,14'"):format(gnuplot.quote(spec.title or ""), GAP / width, 1 - 16 / height))
  out(("set label 2 %s at screen %.5f, screen %.5f left font 'Sans,10' textcolor '#555555'"):format(gnuplot.quote(spec.note or ""), GAP / width, 1 - 34 / height))
  for i, panel in ipairs(spec.panels) do
    local x, y = GAP + ((i - 1) % columns) * (SIDE + GAP), HEADER + ((i - 1) // columns) * (SIDE + TITLE + GAP) + TITLE
    local image, m, n = panel.weights and pictures.overlay(panel.image, panel.weights) or panel.image, nil, nil
    blocks[i], m, n = block(i, image)
    out(("set lmargin at screen %.5f; set rmargin at screen %.5f; set tmargin at screen %.5f; set bmargin at screen %.5f"):format(
      x / width, (x + SIDE) / width, 1 - y / height, 1 - (y + SIDE) / height))
    out(("set xrange [-0.5:%g]; set yrange [%g:-0.5]; set label 3 %s at screen %.5f, screen %.5f center font 'Sans,11'"):format(
      m - 0.5, n - 0.5, gnuplot.quote(panel.title or ""), (x + SIDE / 2) / width, 1 - (y - 9) / height))
    out(("plot $picture%d using 1:2:3:4:5 with rgbimage"):format(i))
    out "unset label"
  end
  out "unset multiplot"
  local drawn = gnuplot.render(base, width, height, table.concat(blocks, "\n"), table.concat(lines, "\n"))
  os.remove(base .. ".gp")  -- a megabyte of pixels, with nothing in it to edit
  return drawn
end

return pictures

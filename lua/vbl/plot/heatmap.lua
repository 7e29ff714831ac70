-- Matrices as colours: a grid of panels that share one scale and one colour bar.
--
--   draw(base, {title=, note=, label=, diverging=, columns = 3, low=, high=, panels = {panel, ...}}) -> true, or false without gnuplot
--     note: grey, behind the title; label: of the colour bar; diverging: two hues with white between; low, high: ends of the scale
--     panel {title=, matrix = {{..}, ..}, rows = {names}, columns = {names}, xlabel=, ylabel=, mark_rows = {[i] = true}, mark_columns = }
--       row 1 on top; values that are not finite are grey; marked rows and columns (from 1) carry a bar at the axis and a star at the name.
--       With at most 16 rows and columns each cell also shows its number.
-- The palettes are viridis, and ColorBrewer's RdBu where a middle has a meaning (correlations): both for colour-blind readers too.
local gnuplot = require "vbl.plot.gnuplot"
local scale = require "vbl.plot.scale"

local heatmap = {}

local LEFT, RIGHT, BOTTOM, TOP, HEADER, BAR = 72, 18, 64, 34, 40, 92
local DIGITS_MOST = 16
local sequential = "set palette defined (0 '#440154', 1 '#3b528b', 2 '#21918c', 3 '#5ec962', 4 '#fde725')"
local diverging = "set palette defined (0 '#2166ac', 1 '#92c5de', 2 '#f7f7f7', 3 '#f4a582', 4 '#b2182b')"

local function tics(names, n, marks)
  local list, every = {}, math.max(1, math.ceil(n / 24))
  for i = 1, n, every do
    list[#list + 1] = ("%s %d"):format(gnuplot.quote((names and names[i] or i - 1) .. (marks and marks[i] and " *" or "")), i - 1)
  end
  return table.concat(list, ", ")
end

local function block(id, matrix)
  local cells = {("$cells%d << EOD"):format(id)}
  for i, row in ipairs(matrix) do
    for j, v in ipairs(row) do cells[#cells + 1] = ("%d %d %s"):format(j - 1, i - 1, scale.finite(v) and ("%.10g"):format(v) or "NaN") end
  end
  cells[#cells + 1] = "EOD"
  return table.concat(cells, "\n")
end

-- Bars between the axis and the cells' edge, one a marked row or column.
local function add_marks(out, marks, n, along_x)
  local id = along_x and 100 or 200
  for i = 1, n do
    if marks and marks[i] then
      id = id + 1
      local from, to = i - 1.5 + 0.06, i - 0.5 - 0.06
      local place = along_x and ("first %.3f, graph 0 to first %.3f, graph -0.022"):format(from, to)
        or ("graph 0, first %.3f to graph -0.022, first %.3f"):format(from, to)
      out(("set object %d rectangle from %s front noclip fillcolor '#D55E00' fillstyle solid noborder"):format(id, place))
    end
  end
end

local function longest(names)
  local most = 0
  for _, name in ipairs(names or {}) do most = math.max(most, utf8.len(tostring(name)) or #tostring(name)) end
  return most
end

-- gnuplot's condition for dark text in a cell: the light end of the palette, or its middle.
local function light(two_hues, low, high)
  if two_hues then return ("$3 > %.10g && $3 < %.10g"):format(low + 0.2 * (high - low), low + 0.8 * (high - low)) end
  return ("$3 > %.10g"):format(low + 0.6 * (high - low))
end

-- Whether the columns' names need to be slanted.
local function crowded(panel) return #panel.matrix[1] * (longest(panel.columns) + 2) > 46 end

local function add_panel(out, panel, id, low, high, dark)
  local n, m = #panel.matrix, #panel.matrix[1]
  out(("set title %s; set xlabel %s; set ylabel %s"):format(gnuplot.quote(panel.title or ""), gnuplot.quote(panel.xlabel or ""),
                                                          gnuplot.quote(panel.ylabel or "")))
  out(("set xrange [-0.5:%g]; set yrange [%g:-0.5]; set cbrange [%.10g:%.10g]"):format(m - 0.5, n - 0.5, low, high))
  out(("set xtics (%s)%s offset 0,-0.3; set ytics (%s) norotate offset -0.5,0"):format(tics(panel.columns, m, panel.mark_columns),
                                                                 crowded(panel) and " rotate by -45" or " norotate", tics(panel.rows, n, panel.mark_rows)))
  add_marks(out, panel.mark_columns, m, true)
  add_marks(out, panel.mark_rows, n, false)
  local plot = ("plot $cells%d using 1:2:3 with image pixels"):format(id)
  if n <= DIGITS_MOST and m <= DIGITS_MOST then
    plot = plot .. (", '' using 1:2:(sprintf('%%.2f', abs($3) < 0.005 ? 0 : $3)):(%s ? 0x000000 : 0xffffff) with labels font 'Sans,9' textcolor rgb variable"):format(dark)
  end
  out(plot)
  out "unset object"
end

local function check(panels)
  for _, panel in ipairs(panels) do
    if #panel.matrix == 0 or #panel.matrix[1] == 0 then error("heatmap: expected at least one row and one column", 3) end
  end
end

-- Sizes in pixels, all panels alike: of a cell, of the room at a panel's left, of a panel, of the picture; and the grid's columns.
local function layout(spec)
  local most, first = 1, spec.panels[1]
  for _, panel in ipairs(spec.panels) do most = math.max(most, #panel.matrix, #panel.matrix[1]) end
  local columns = math.min(spec.columns or 3, #spec.panels)
  local cell, left = math.max(14, math.min(42, 480 // most)), math.max(LEFT, 44 + 8 * longest(first.rows))
  local side, slant = cell * most, crowded(first) and math.ceil(longest(first.columns) * 6) or 0
  local panel_width, panel_height = left + side + RIGHT, TOP + side + BOTTOM + slant
  return {columns = columns, cell = cell, left = left, side = side, panel_width = panel_width, panel_height = panel_height,
          width = columns * panel_width + BAR, height = HEADER + math.ceil(#spec.panels / columns) * panel_height}
end

-- The least and the largest value of all panels, or the given ends.
local function range_of(spec)
  local rows = {}
  for _, panel in ipairs(spec.panels) do table.move(panel.matrix, 1, #panel.matrix, #rows + 1, rows) end
  return scale.range(rows, spec.low, spec.high)
end

local function add_header(out, spec, size)
  out "unset key; unset grid; set border linecolor '#444444'; set tics nomirror out scale 0"
  out(spec.diverging and diverging or sequential)
  out "unset colorbox"
  out "set object 1 rectangle from graph 0, graph 0 to graph 1, graph 1 behind fillcolor '#c8c8c8' fillstyle solid noborder"
  local y = 1 - 20 / size.height
  out(("set multiplot; set label 1 %s at screen %.5f, screen %.5f left font 'Sans,14'"):format(gnuplot.quote(spec.title or ""), 20 / size.width, y))
  if spec.note then
    out(("set label 2 %s at screen %.5f, screen %.5f right textcolor '#555555'"):format(gnuplot.quote(spec.note), (size.width - BAR) / size.width, y))
  end
end

-- One bar for all panels, beside the first row of them.
local function add_bar(out, spec, size)
  out(("set colorbox user origin screen %.5f, screen %.5f size screen %.5f, screen %.5f; set cblabel %s; set format cb '%%g'")
    :format((size.width - BAR + 6) / size.width, 1 - (HEADER + TOP + size.side) / size.height, 16 / size.width, size.side / size.height,
            gnuplot.quote(spec.label or "")))
end

-- Where panel i stands on the picture.
local function add_margins(out, panel, i, size)
  local column, row = (i - 1) % size.columns, (i - 1) // size.columns
  local x, y = column * size.panel_width + size.left, HEADER + row * size.panel_height + TOP
  local w, h = #panel.matrix[1] * size.cell, #panel.matrix * size.cell
  out(("set lmargin at screen %.5f; set rmargin at screen %.5f; set tmargin at screen %.5f; set bmargin at screen %.5f"):format(
    x / size.width, (x + w) / size.width, 1 - y / size.height, 1 - (y + h) / size.height))
end

function heatmap.draw(base, spec)
  if not gnuplot.available() then return false end
  check(spec.panels)
  local lines, blocks, size = {}, {}, layout(spec)
  local function out(text) lines[#lines + 1] = "  " .. text end
  local low, high = range_of(spec)
  add_header(out, spec, size)
  for i, panel in ipairs(spec.panels) do
    add_margins(out, panel, i, size)
    if i == #spec.panels then add_bar(out, spec, size) end
    blocks[i] = block(i, panel.matrix)
    add_panel(out, panel, i, low, high, light(spec.diverging, low, high))
    out "unset label"
  end
  out "unset multiplot"
  return gnuplot.render(base, size.width, size.height, table.concat(blocks, "\n"), table.concat(lines, "\n"))
end

-- One matrix: plot.heatmap(base, matrix, {title=, label=, xlabel=, ylabel=, rows=, columns=, mark_rows=, mark_columns=, low=, high=}).
function heatmap.one(base, matrix, opts)
  opts = opts or {}
  local panel = {matrix = matrix}
  for _, key in ipairs {"rows", "columns", "xlabel", "ylabel", "mark_rows", "mark_columns"} do panel[key] = opts[key] end
  return heatmap.draw(base, {title = opts.title, label = opts.label, diverging = opts.diverging, low = opts.low, high = opts.high, panels = {panel}})
end

return heatmap

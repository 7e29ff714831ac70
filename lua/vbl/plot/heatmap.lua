-- heatmap(base, {{..}, ..}, {title=, xlabel=, ylabel=, rows = {names}, columns = {names}, low=, high=}): a matrix as colours, row 1 on top;
-- with at most 16 rows and columns each cell also shows its number. Values that are not finite are white. The matrix has at least one row and one column.
local gnuplot = require "vbl.plot.gnuplot"

local function finite(v) return v == v and v ~= math.huge and v ~= -math.huge end

local function tics(names, n)
  local list, every = {}, math.max(1, math.ceil(n / 24))
  for i = 1, n, every do list[#list + 1] = ("%s %d"):format(gnuplot.quote(names and names[i] or i - 1), i - 1) end
  return table.concat(list, ", ")
end

local function blocks(matrix)
  local cells, low, high = {"$cells << EOD"}, math.huge, -math.huge
  for i, row in ipairs(matrix) do
    for j, v in ipairs(row) do
      if finite(v) then low, high = math.min(low, v), math.max(high, v) end
      cells[#cells + 1] = ("%d %d %s"):format(j - 1, i - 1, finite(v) and ("%.10g"):format(v) or "NaN")
    end
  end
  cells[#cells + 1] = "EOD"
  return table.concat(cells, "\n"), low, high
end

local colors = "set palette defined (0 '#440154', 1 '#3b528b', 2 '#21918c', 3 '#5ec962', 4 '#fde725')"

return function(base, matrix, opts)
  if not gnuplot.available() then return false end
  opts = opts or {}
  local n, m = #matrix, #(matrix[1] or {})
  if n == 0 or m == 0 then error("heatmap: expected at least one row and one column", 2) end
  local data, low, high = blocks(matrix)
  low, high = opts.low or low, opts.high or high
  if not (low < high) then low, high = finite(low) and low - 0.5 or 0, finite(low) and low + 0.5 or 1 end
  local cell = math.max(14, math.min(46, 560 // math.max(n, m, 1)))
  local width, height = math.max(360, m * cell) + 190, math.max(200, n * cell) + 130
  local lines = {
    "unset key; unset grid; set border linecolor '#444444'; set tics nomirror out scale 0; " .. colors,
    ("set title %s; set xlabel %s; set ylabel %s"):format(gnuplot.quote(opts.title or ""), gnuplot.quote(opts.xlabel or ""), gnuplot.quote(opts.ylabel or "")),
    ("set xrange [-0.5:%g]; set yrange [%g:-0.5]; set cbrange [%.10g:%.10g]"):format(m - 0.5, n - 0.5, low, high),
    ("set xtics (%s); set ytics (%s)"):format(tics(opts.columns, m), tics(opts.rows, n)),
  }
  local plot = "plot $cells using 1:2:3 with image pixels"
  if n <= 16 and m <= 16 and cell >= 30 then
    -- Dark text on the light end of the palette.
    plot = plot .. (", '' using 1:2:(sprintf('%%.2f', $3)):($3 > %.10g ? 0x000000 : 0xffffff) with labels font 'Sans,9' textcolor rgb variable")
      :format(low + 0.6 * (high - low))
  end
  lines[#lines + 1] = plot
  return gnuplot.render(base, width, height, data, "  " .. table.concat(lines, "\n  "))
end

-- Figures as text, for a terminal: 24-bit colours where it has them, plain ASCII where it has none (a pipe, TERM=dumb, NO_COLOR).
--   terminal.color() -> whether the standard output shows 24-bit colours
--   terminal.heatmap(matrix, {title=, rows = {names}, columns = {names}, low=, high=, mark_rows=, mark_columns=, color=}) -> text
--   terminal.lines({{name=, x=, y=, dashed=}, ...}, {title=, xlabel=, width = 64, height = 14, low=, high=, color=}) -> text
-- Each ends with a line end. Values that are not finite are left out (heat map: "nan").
local scale = require "vbl.plot.scale"
local system = require "vbl.system.c"

local terminal = {}

local distinct = {{0, 114, 178}, {213, 94, 0}, {0, 158, 115}, {204, 121, 167}, {230, 159, 0}, {86, 180, 233}}
local letters = {"o", "x", "+", "#", "@", "%", "&", "$"}

function terminal.color()
  local kind = os.getenv "COLORTERM" or ""
  return system.isatty "stdout" and not os.getenv "NO_COLOR" and os.getenv "TERM" ~= "dumb" and (kind == "truecolor" or kind == "24bit")
end

local function paint(text, rgb, background, at)
  if not background then return ("\27[38;2;%d;%d;%dm%s\27[0m"):format(rgb[1], rgb[2], rgb[3], text) end
  return ("\27[48;2;%d;%d;%d;38;5;%dm%s\27[0m"):format(rgb[1], rgb[2], rgb[3], at > 0.6 and 16 or 231, text)
end

local function label(names, marks, i) return tostring(names and names[i] or i - 1) .. (marks and marks[i] and "*" or "") end

local function pad(text, width) return (" "):rep(width - (utf8.len(text) or #text)) .. text end

function terminal.heatmap(matrix, opts)
  opts = opts or {}
  local color = opts.color
  if color == nil then color = terminal.color() end
  local low, high = scale.range(matrix, opts.low, opts.high)
  local side, cell = 0, 6
  for i = 1, #matrix do side = math.max(side, utf8.len(label(opts.rows, opts.mark_rows, i)) or 0) end
  for j = 1, #(matrix[1] or {}) do cell = math.max(cell, (utf8.len(label(opts.columns, opts.mark_columns, j)) or 0) + 1) end
  local lines, heads = {opts.title}, {}
  for j = 1, #(matrix[1] or {}) do heads[j] = pad(label(opts.columns, opts.mark_columns, j), cell) end
  lines[#lines + 1] = (" "):rep(side) .. table.concat(heads)
  for i, row in ipairs(matrix) do
    local cells = {}
    for j, v in ipairs(row) do
      local text = pad(scale.finite(v) and scale.two(v) or "nan", cell - 1) .. " "
      local at = (v - low) / (high - low)
      cells[j] = color and scale.finite(v) and paint(text, scale.color(at), true, at) or text
    end
    lines[#lines + 1] = pad(label(opts.rows, opts.mark_rows, i), side) .. " " .. table.concat(cells)
  end
  return table.concat(lines, "\n") .. "\n"
end

local function draw(grid, s, mark, place_x, place_y)
  local before_x, before_y
  for i, x in ipairs(s.x) do
    local y = s.y[i]
    if y and scale.finite(y) then
      local at_x, at_y = place_x(x), place_y(y)
      -- Between two points the line is dotted, so that the points themselves stay visible.
      for step = 1, before_x and at_x - before_x - 1 or 0 do
        local row = math.floor(before_y + (at_y - before_y) * step / (at_x - before_x) + 0.5)
        if grid[row][before_x + step] == " " then grid[row][before_x + step] = mark.dot end
      end
      grid[at_y][at_x] = mark.point
      before_x, before_y = at_x, at_y
    else
      before_x = nil
    end
  end
end

local function blank_grid(width, height)
  local grid = {}
  for r = 1, height do
    grid[r] = {}
    for col = 1, width do grid[r][col] = " " end
  end
  return grid
end

-- How the i-th series is drawn: its points, and the dots between them.
local function mark_of(s, i, color)
  local letter, dot, rgb = s.dashed and "-" or letters[(i - 1) % #letters + 1], s.dashed and "-" or ".", distinct[(i - 1) % #distinct + 1]
  return {point = color and paint(letter, rgb) or letter, dot = color and paint(dot, rgb) or dot}
end

-- The grid's rows with the axis at their left: its least, middle and largest value.
local function add_rows(lines, grid, low, high)
  local height = #grid
  for r = 1, height do
    local value = low + (height - r) / (height - 1) * (high - low)
    lines[#lines + 1] = ("%8s |%s"):format((r == 1 or r == height or r == (height + 1) // 2) and ("%.3g"):format(value) or "", table.concat(grid[r]))
  end
end

local function add_x_axis(lines, left, right, title, width)
  local first, last = ("%g"):format(left), ("%g"):format(right)
  local room = math.max(2, width - #first - #last - #title)
  lines[#lines + 1] = (" "):rep(9) .. "+" .. ("-"):rep(width)
  lines[#lines + 1] = (" "):rep(10) .. first .. (" "):rep(room // 2) .. title .. (" "):rep(room - room // 2) .. last
end

function terminal.lines(series, opts)
  opts = opts or {}
  local color = opts.color
  if color == nil then color = terminal.color() end
  local width, height, xs, ys = opts.width or 64, opts.height or 14, {}, {}
  for i, s in ipairs(series) do xs[i], ys[i] = s.x, s.y end
  local left, right = scale.range(xs)
  local low, high = scale.range(ys, opts.low, opts.high)
  local grid, keys, lines = blank_grid(width, height), {}, {opts.title}
  local function place_x(x) return 1 + math.floor((x - left) / (right - left) * (width - 1) + 0.5) end
  local function place_y(y) return height - math.floor(math.max(0, math.min(1, (y - low) / (high - low))) * (height - 1) + 0.5) end
  for i, s in ipairs(series) do
    local mark = mark_of(s, i, color)
    draw(grid, s, mark, place_x, place_y)
    if s.name then keys[#keys + 1] = mark.point .. " " .. s.name end
  end
  add_rows(lines, grid, low, high)
  add_x_axis(lines, left, right, opts.xlabel or "", width)
  if #keys > 0 then lines[#lines + 1] = (" "):rep(10) .. table.concat(keys, "   ") end
  return table.concat(lines, "\n") .. "\n"
end

return terminal

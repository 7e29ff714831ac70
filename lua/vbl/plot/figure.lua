-- The one kind of line figure: a title, one shared legend, a grid of panels.
--
--   figure.draw(base, {title=, columns=, panels = {panel, ...}}) -> true, or false without gnuplot
--     panel {title=, xlabel=, ylabel=, series = {{name=, x = {..}, y = {..}}, ...}} and
--       ylow=, yhigh=        ends of the axis, else what the values need         log_x, integer_x    the x axis is logarithmic, of whole numbers
--       shade = {{from, to}, ...}   stretches of x: the co-attending layers       margin             room beside the values, as a share of them
--       ticks = {name of x = 1, of x = 2, ...}                                    refs = {{y, label}, ...}    dashed lines across
--     Series with equal names share a style in all panels. A series may have
--       color = 1..7         a place in the palette (else the next that none asks for)
--       order = 0..1         a colour of the sequential palette (epochs, layers)
--       dashed               a grey reference line          broken      dashes in its own colour
--       thin                 a thin grey line               points      dots without lines
--       low, high = lists    a band behind the line, bars at points
--     Values that are not finite are gaps.
-- Colours: Okabe and Ito's, told apart by colour-blind readers; the sequential ones are samples of viridis.
local gnuplot = require "vbl.plot.gnuplot"
local scale = require "vbl.plot.scale"

local figure = {}

local PANEL_WIDTH, PANEL_HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 296, 74, 16, 34, 58
local TITLE_HEIGHT, LEGEND_HEIGHT, LETTER = 36, 24, 8
local LEGEND_MOST = 10

local distinct = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"}

-- Returns a function that gives the palette's places one after the other: those that no series asks for; where all are asked for, all of them.
local function free_places(panels)
  local asked, free, at = {}, {}, 0
  for _, panel in ipairs(panels) do
    for _, s in ipairs(panel.series) do asked[s.color or 0] = true end
  end
  for place = 1, #distinct do
    if not asked[place] then free[#free + 1] = place end
  end
  return function()
    at = at + 1
    return #free > 0 and free[(at - 1) % #free + 1] or at
  end
end

-- name -> style and the names in order of appearance.
local function styles_of(panels)
  local styles, names, next_place = {}, {}, free_places(panels)
  for _, panel in ipairs(panels) do
    for _, s in ipairs(panel.series) do
      local name = s.name or ""
      if not styles[name] then
        local color
        if s.dashed or s.thin then
          color = "#6b6b6b"
        elseif s.order then
          color = ("#%02x%02x%02x"):format(table.unpack(scale.color(s.order)))
        else
          color = distinct[((s.color or next_place()) - 1) % #distinct + 1]
        end
        styles[name] = {color = color, dash = s.dashed and "2" or s.broken and "(9,5)" or "1", width = s.thin and 0.7 or s.dashed and 1.3 or 1.8, points = s.points}
        names[#names + 1] = name
      end
    end
  end
  return styles, names
end

-- At most LEGEND_MOST entries, evenly among them, the first and the last included.
local function legend_names(names)
  local list = {}
  for _, name in ipairs(names) do
    if name ~= "" then list[#list + 1] = name end
  end
  if #list <= LEGEND_MOST then return #list > 1 and list or {} end
  local some = {}
  for i = 0, LEGEND_MOST - 1 do some[i + 1] = list[1 + math.floor(i * (#list - 1) / (LEGEND_MOST - 1) + 0.5)] end
  return some
end

local SHADED = "co-attending layer"  -- what panels shade

local function has_shade(panels)
  for _, panel in ipairs(panels) do
    if panel.shade and #panel.shade > 0 then return true end
  end
  return false
end

-- Positions (x from the left, y from the top, in pixels) of the legend's entries, wrapped at the width; and its height.
local function place_legend(names, width)
  local places, x, y = {}, LEFT, TITLE_HEIGHT + LEGEND_HEIGHT / 2
  for i, name in ipairs(names) do
    local size = 40 + LETTER * (utf8.len(name) or #name) + 18
    if i > 1 and x + size > width then x, y = LEFT, y + LEGEND_HEIGHT end
    places[i] = {name = name, x = x, y = y}
    x = x + size
  end
  return places, #names > 0 and y + LEGEND_HEIGHT / 2 - TITLE_HEIGHT or 0
end

local function span(panel, axis)
  local low, high = math.huge, -math.huge
  for _, s in ipairs(panel.series) do
    for _, list in ipairs(axis == "y" and {s.y, s.low or {}, s.high or {}} or {s.x}) do
      for i, v in ipairs(list) do
        if scale.finite(v) and scale.finite(s.y[i] or 0 / 0) then low, high = math.min(low, v), math.max(high, v) end
      end
    end
  end
  for _, ref in ipairs(axis == "y" and panel.refs or {}) do low, high = math.min(low, ref[1]), math.max(high, ref[1]) end
  if panel.ticks and axis == "x" then return 0.5, #panel.ticks + 0.5, false end
  if low > high then return 0, 1, true end
  return low, high, false
end

-- Names of whole numbers on the x axis, turned where they would meet.
local function named_ticks(names)
  local parts, letters = {}, 0
  for i, name in ipairs(names) do
    parts[i] = ("%s %d"):format(gnuplot.quote(name), i)
    letters = math.max(letters, utf8.len(name) or #name)
  end
  return ("set xtics (%s)%s"):format(table.concat(parts, ", "), letters * #names > 44 and " rotate by 18 right" or " norotate")
end

-- 1, 2 or 5 times a power of ten: at most six of them on an axis, whose labels are wide where their numbers are.
local function step_of(low, high)
  local rough = math.max(high - low, 1e-12) / 5
  local power = 10 ^ math.floor(math.log(rough, 10))
  for _, m in ipairs {1, 2, 5} do
    if m * power >= 0.999 * rough then return m * power end
  end
  return 10 * power
end

-- The axis range: a margin round the values; a flat line gets room above and below.
local function range(low, high, margin)
  local room = high > low and (high - low) * margin or math.max(math.abs(low) * 0.1, 1e-3)
  return low - room, high + room
end

local function data_block(id, s)
  local lines = {("$d%d << EOD"):format(id)}
  local function text(v) return v and scale.finite(v) and ("%.10g"):format(v) or "NaN" end
  for i, x in ipairs(s.x) do
    lines[#lines + 1] = ("%.10g %s"):format(x, text(s.y[i]))
    if s.low then lines[#lines] = ("%s %s %s"):format(lines[#lines], text(s.low[i]), text(s.high[i])) end
  end
  if #s.x == 0 then lines[2] = "0 NaN" end
  lines[#lines + 1] = "EOD"
  return table.concat(lines, "\n")
end

local function add_axes(out, panel)
  local x_low, x_high = span(panel, "x")
  local y_low, y_high, empty = span(panel, "y")
  local left, right = range(x_low, x_high, panel.integer_x and 0.5 / math.max(x_high - x_low, 1) or panel.margin or 0.02)
  local bottom, top = range(y_low, y_high, 0.07)
  bottom, top = panel.ylow or bottom, panel.yhigh or top
  if panel.log_x then left, right = x_low / 1.15, x_high * 1.15 end
  out(panel.log_x and "set logscale x 2" or "unset logscale x")
  out(("set xrange [%.10g:%.10g]"):format(left, right))
  out(("set yrange [%.10g:%.10g]"):format(bottom, top))
  local every = panel.integer_x and math.max(1, math.ceil((x_high - x_low) / 12)) or panel.log_x and "autofreq" or ("%.10g"):format(step_of(left, right))
  out(panel.ticks and named_ticks(panel.ticks) or "set xtics norotate " .. every)
  out("set format x " .. (x_high >= 1e6 and "'%.1s%c'" or "'%g'"))  -- 1.8M
  out("set title " .. gnuplot.quote(panel.title or "") .. " offset 0,-0.6")
  out("set xlabel " .. gnuplot.quote(panel.xlabel or "") .. " offset 0,0.4")
  out("set ylabel " .. gnuplot.quote(panel.ylabel or "") .. " offset 0.6,0")
  if empty then out "set label 99 'undefined' at graph 0.5,0.5 center textcolor '#6b6b6b'" end
  for i, ref in ipairs(panel.refs or {}) do
    out(("set label %d %s at graph 0.99, first %.10g right offset 0,0.5 textcolor '#6b6b6b'"):format(100 + i, gnuplot.quote(ref[2]), ref[1]))
  end
  for i, s in ipairs(panel.shade or {}) do
    out(("set object %d rectangle from %.10g, graph 0 to %.10g, graph 1 behind fillcolor '#e3e7ee' fillstyle solid noborder"):format(i, s[1], s[2]))
  end
end

local function plots_of(s, id, style)
  local dots = #s.x <= 40 and not s.dashed and not s.thin
  if s.points and s.low then
    return ("$d%d using 1:2:3:4 notitle with yerrorbars linecolor '%s' linewidth 1.4 pointtype 7 pointsize 0.8"):format(id, style.color)
  end
  if s.points then
    return ("$d%d using 1:2 notitle with points linecolor '%s' pointtype 7 pointsize %g"):format(id, style.color, #s.x > 100 and 0.35 or 0.65)
  end
  local line = ("$d%d using 1:2 notitle with %s linecolor '%s' linewidth %g dashtype %s%s"):format(
    id, dots and "linespoints" or "lines", style.color, style.width, style.dash, dots and " pointtype 7 pointsize 0.45" or "")
  if not s.low then return line end
  return ("$d%d using 1:3:4 notitle with filledcurves linecolor '%s' fillstyle transparent solid 0.18 noborder, %s"):format(id, style.color, line)
end

local function add_series(out, panel, styles, first)
  local parts = {}
  for i, s in ipairs(panel.series) do parts[i] = plots_of(s, first + i - 1, styles[s.name or ""]) end
  for _, ref in ipairs(panel.refs or {}) do parts[#parts + 1] = ("%.10g notitle with lines linecolor '#6b6b6b' linewidth 1.3 dashtype 2"):format(ref[1]) end
  out("plot " .. (#parts > 0 and table.concat(parts, ", ") or "NaN notitle"))
end

-- Labels and arrows of the title and the legend live in screen coordinates; they are drawn with the first panel and then unset.
local function add_header(out, spec, places, styles, width, height)
  out(("set label 1 %s at screen %.5f, screen %.5f left font 'Sans,14'"):format(gnuplot.quote(spec.title or ""), LEFT / width, 1 - 20 / height))
  for i, p in ipairs(places) do
    local y, style = 1 - p.y / height, styles[p.name]
    if p.name == SHADED then
      out(("set object 99 rectangle from screen %.5f, screen %.5f to screen %.5f, screen %.5f fillcolor '#e3e7ee' fillstyle solid noborder"):format(
        p.x / width, y - 6 / height, (p.x + 28) / width, y + 6 / height))
    elseif style.points then
      out(("set label %d '' at screen %.5f, screen %.5f point linecolor '%s' pointtype 7 pointsize 0.8"):format(i + 50, (p.x + 24) / width, y, style.color))
    else
      out(("set arrow %d from screen %.5f, screen %.5f to screen %.5f, screen %.5f nohead linecolor '%s' linewidth %g dashtype %s"):format(
        i, p.x / width, y, (p.x + 28) / width, y, style.color, style.width * 1.3, style.dash))
    end
    out(("set label %d %s at screen %.5f, screen %.5f left"):format(i + 1, gnuplot.quote(p.name), (p.x + 36) / width, y))
  end
end

function figure.draw(base, spec)
  if not gnuplot.available() then return false end
  local lines, blocks, id = {}, {}, 1
  local function out(text) lines[#lines + 1] = "  " .. text end
  local columns = math.min(spec.columns or (#spec.panels <= 3 and 3 or math.ceil(math.sqrt(#spec.panels))), #spec.panels)
  local rows = math.ceil(#spec.panels / columns)
  local width = columns * PANEL_WIDTH * (#spec.panels == 1 and 1.6 or 1) // 1
  local panel_width, panel_height = width / columns, PANEL_HEIGHT * (#spec.panels == 1 and 1.3 or 1)
  local styles, names = styles_of(spec.panels)
  local legend = legend_names(names)
  if has_shade(spec.panels) then legend[#legend + 1] = SHADED end
  local places, legend_height = place_legend(legend, width)
  local header = TITLE_HEIGHT + legend_height
  local height = header + rows * panel_height // 1
  out "set border 3 linecolor '#444444'; set tics nomirror out; set grid ytics linecolor '#d4d4d4' linewidth 0.8 dashtype 1; set format '%g'; unset key; set multiplot"
  add_header(out, spec, places, styles, width, height)
  for i, panel in ipairs(spec.panels) do
    local column, row = (i - 1) % columns, (i - 1) // columns
    out(("set lmargin at screen %.5f; set rmargin at screen %.5f"):format((column * panel_width + LEFT) / width, ((column + 1) * panel_width - RIGHT) / width))
    out(("set tmargin at screen %.5f; set bmargin at screen %.5f"):format(1 - (header + row * panel_height + TOP) / height,
                                                                        1 - (header + (row + 1) * panel_height - BOTTOM) / height))
    add_axes(out, panel)
    add_series(out, panel, styles, id)
    for _, s in ipairs(panel.series) do
      blocks[#blocks + 1] = data_block(id, s)
      id = id + 1
    end
    out "unset label; unset arrow; unset object"
  end
  out "unset multiplot"
  return gnuplot.render(base, width // 1, height // 1, table.concat(blocks, "\n"), table.concat(lines, "\n"))
end

return figure

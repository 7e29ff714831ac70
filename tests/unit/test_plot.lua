-- Figures: which files appear, what their scripts hold, and numbers that are not finite. The pictures themselves are for eyes.
local check = require "check"
local c = require "vbl.store.c"
local folder = require "vbl.runs.folder"
local gnuplot = require "vbl.plot.gnuplot"
local plot = require "vbl.plot"
local system = require "vbl.system.c"

if not gnuplot.available() then check.skip "gnuplot is not installed" end

local root = require "fresh_folder" "plot"

-- Width and height as a PNG's header says; the last chunk is there.
local function png_size(path)
  local bytes = c.read_file(path)
  check.equal(bytes:sub(1, 8), "\x89PNG\r\n\x1a\n")
  check.equal(bytes:sub(-8, -5), "IEND")
  return string.unpack(">I4I4", bytes, 17)
end

local function whole_svg(path)
  local text = c.read_file(path)
  check.ok(text:find("<svg", 1, true) and text:find "</svg>%s*$", path)
  return text
end

check.group("curves", function()
  local base = root .. "/sub/it's $HOME `x` 5"
  local drawn = plot.curves(base, {title = "a_b^c 'q' \"d\" \\n", xlabel = "step", ylabel = "loss", series = {
    {name = "train", x = {1, 2, 3}, y = {3, 0 / 0, 1}}, {name = "test_x", x = {1, 3}, y = {1 / 0, 2}}, {name = "none", x = {}, y = {}}}})
  check.equal(drawn, true)
  local width, height = png_size(base .. ".png")
  check.ok(width > height and width >= 1200)
  local svg = whole_svg(base .. ".svg")
  for _, text in ipairs {"a_b^c", "test_x", "step", "loss"} do check.ok(svg:find(text, 1, true), text) end
  check.equal(#system.list(root .. "/sub"), 3)
  -- The script alone draws the same again.
  c.remove(base .. ".svg")
  check.equal(system.run {"sh", "-c", 'cd "$1" && exec gnuplot *.gp', "sh", root .. "/sub"}, 0)
  check.equal(whole_svg(base .. ".svg"), svg)
end)

check.group("nothing finite, one point, flat lines", function()
  check.equal(plot.curves(root .. "/nan", {series = {{x = {1, 2}, y = {0 / 0, 0 / 0}}}}), true)
  check.ok(whole_svg(root .. "/nan.svg"):find("undefined", 1, true))
  check.equal(plot.curves(root .. "/one", {series = {{x = {1}, y = {5}}}}), true)
  check.equal(plot.curves(root .. "/flat", {series = {{x = {1, 2}, y = {0, 0}}}}), true)
end)

check.group("layers and heat map", function()
  check.equal(plot.layers(root .. "/layers", {title = "t", measures = {"cka", "mknn"}, coattention = {1}, values = {
    cka = {matched = {0.1, 0.2, 0.3}, mismatched = {0.1, 0.1, 0.1}, chance = {0, 0, 0}}, mknn = {matched = {0.1, 0 / 0, 0.3}}}}), true)
  local svg = whole_svg(root .. "/layers.svg")
  for _, text in ipairs {"CKA", "mutual k-NN", "matched pairs", "mismatched partner", "chance level", "co-attending layer"} do check.ok(svg:find(text, 1, true), text) end
  check.ok(not whole_svg(root .. "/flat.svg"):find("co-attending", 1, true))
  check.equal(plot.heatmap(root .. "/heat", {{1, 0.5}, {0 / 0, 0.25}}, {title = "t", rows = {"a_1", "b"}, columns = {"c", "d"}}), true)
  check.ok(whole_svg(root .. "/heat.svg"):find("a_1", 1, true))
  check.equal(plot.heatmap(root .. "/same", {{2, 2}}), true)
  check.error(function() plot.heatmap(root .. "/none", {}) end, "at least one row")
end)

check.group("a grid of heat maps: one scale, marks, slanted names, two hues", function()
  local panels = {{title = "left", matrix = {{0.1, 0.9}, {0 / 0, 0.5}}, mark_rows = {[2] = true}, mark_columns = {[2] = true}},
                  {title = "right", matrix = {{0.2, 0.3}, {0.4, 0.5}}}}
  check.equal(plot.heatmaps(root .. "/grid", {title = "grid", note = "a note", label = "CKA", panels = panels}), true)
  local svg, script = whole_svg(root .. "/grid.svg"), c.read_file(root .. "/grid.gp")
  for _, text in ipairs {"left", "right", "a note", "CKA", "1 *"} do check.ok(svg:find(text, 1, true), text) end
  check.equal(select(2, script:gsub("set cbrange %[0.1:0.9%]", "")), 2)
  check.equal(select(2, script:gsub("front noclip", "")), 2)
  local long = {"a measure's long name", "another quite long name", "a third one, longer still"}
  check.equal(plot.heatmap(root .. "/long", {{1, 0, -1}, {0, 1, 0}, {-1, 0, 1}}, {rows = long, columns = long, diverging = true, low = -1, high = 1}), true)
  check.ok(c.read_file(root .. "/long.gp"):find("rotate by -45", 1, true))
  check.error(function() plot.heatmaps(root .. "/none", {panels = {{matrix = {{}}}}}) end, "at least one row")
end)

check.group("bands, dots, broken lines, logarithmic axes", function()
  check.equal(plot.curves(root .. "/band", {panels = {{log_x = true, series = {
    {name = "a", x = {1, 2, 4}, y = {1, 2, 3}, low = {0.5, 1.5, 0 / 0}, high = {1.5, 2.5, 3.5}}, {name = "dots", x = {1, 4}, y = {2, 2}, points = true},
    {name = "broken", x = {1, 4}, y = {1, 3}, broken = true}}}}}), true)
  local script = c.read_file(root .. "/band.gp")
  for _, text in ipairs {"filledcurves", "with points", "dashtype (9,5)", "set logscale x", "4 3 NaN 3.5"} do check.ok(script:find(text, 1, true), text) end
end)

check.group("no two series of a figure share a colour while the palette has another", function()
  local function color_of(svg_base, series)
    plot.curves(root .. "/" .. svg_base, {panels = {{series = series}}})
    local colors = {}
    for color in c.read_file(root .. "/" .. svg_base .. ".gp"):gmatch "with lines[^\n]-(#%x%x%x%x%x%x)" do colors[#colors + 1] = color end
    return colors
  end
  local function line(name, color) return {name = name, x = {1, 2}, y = {1, 2}, color = color} end
  local colors = color_of("shared", {line("a", 1), line("b", 2), line "c", line("d", 3)})
  local seen = {}
  for _, color in ipairs(colors) do seen[color] = true end
  local n = 0
  for _ in pairs(seen) do n = n + 1 end
  check.equal(n, 4, table.concat(colors, " "))
  check.ok(#color_of("all", {line("1", 1), line("2", 2), line("3", 3), line("4", 4), line("5", 5), line("6", 6), line("7", 7), line "8"}) > 0)
end)

check.group("as text", function()
  check.equal(plot.terminal.heatmap({{-0.001, -0.006}}, {color = false}):match "0.00 +%-0.01", "0.00 -0.01")
  local text = plot.terminal.heatmap({{1, 0.5}, {0 / 0, 0}}, {title = "t", rows = {"a", "bb"}, mark_rows = {[2] = true}, color = false})
  check.equal(text, "t\n        0     1\n  a  1.00  0.50 \nbb*   nan  0.00 \n")
  local colored = plot.terminal.heatmap({{1, 0}}, {color = true})
  check.ok(colored:find("\27[48;2;220;205;40;38;5;16m", 1, true) and colored:find("\27[48;2;68;1;84;38;5;231m", 1, true))
  local lines = plot.terminal.lines({{name = "up", x = {0, 1}, y = {0, 1}}, {name = "gap", x = {0, 1}, y = {0 / 0, 0.5}}},
                                    {width = 9, height = 3, xlabel = "x", color = false})
  local rows = {}
  for row in lines:gmatch "[^\n]+" do rows[#rows + 1] = row end
  check.equal(rows[1], "       1 |       .o")
  check.equal(rows[2], "     0.5 |   .... x")
  check.equal(rows[3], "       0 |o..      ")
  check.ok(rows[#rows]:find("o up   x gap", 1, true))
end)

check.group("pictures under a map of weights", function()
  local vbl = require "vbl"
  local overlay = require("vbl.plot.pictures").overlay
  local image = vbl.full({3, 4, 4}, 100, {dtype = "u8"})
  local even = overlay(image, vbl.ones(2, 2))
  check.equal(even[{1, 1, 1}], even[{2, 4, 4}])  -- an even share is not tinted: grey stays grey
  local peaked = overlay(image, vbl.tensor {{1, 0}, {0, 0}})
  check.ok(peaked[{1, 1, 1}] > peaked[{2, 1, 1}] + 60, "four times an even share is red")
  check.equal(peaked[{1, 1, 4}], even[{1, 1, 4}])
  check.equal(plot.pictures(root .. "/pictures", {title = "t & <", panels = {{title = "a", image = image}, {title = "b", image = image, weights = vbl.ones(2, 2)}}}), true)
  check.ok(whole_svg(root .. "/pictures.svg"):find("t &amp; &lt;", 1, true))
  check.ok(c.read_file(root .. "/pictures.png"):find "^\x89PNG")
end)

check.group("a run", function()
  local run = folder.create {out = root, name = "job", config = {}, manifest = {coattention_layers = {1}}}
  check.equal(#plot.from_run(run.path), 0)
  for epoch = 0, 2 do
    for _, split in ipairs {"train", "test"} do
      run:metric {step = 10 * epoch, epoch = epoch, split = split, name = "loss.ap", value = 1 / (epoch + 1)}
    end
    run:metric {step = 10 * epoch, epoch = epoch, split = "test", name = "loss.ap_shuffled", value = 2}
    run:metric {step = 10 * epoch, epoch = epoch, split = "test", name = "accuracy.ap", value = epoch / 2}
    run:metric {step = 10 * epoch, epoch = epoch, split = "test", name = "accuracy.ap.low", value = epoch / 3}
    run:metric {step = 10 * epoch, epoch = epoch, split = "step", name = "lr", value = 1e-3}
    for layer = 0, 2 do
      for _, partner in ipairs {"matched", "mismatched"} do
        run:metric {step = 10 * epoch, epoch = epoch, split = "probe." .. partner, name = "layer." .. layer .. ".cka", value = 0.1 * layer + epoch}
      end
    end
  end
  check.equal(table.concat(plot.from_run(run.path), " "), "loss scores schedule layers evolution")
  check.ok(not whole_svg(run.path .. "/plots/scores.svg"):find("accuracy.ap.low", 1, true))
  local loss = whole_svg(run.path .. "/plots/loss.svg")
  check.ok(loss:find("images shuffled", 1, true) and not loss:find("ap_shuffled", 1, true))
  check.ok(whole_svg(run.path .. "/plots/layers.svg"):find("epoch 2", 1, true))
  check.ok(c.read_file(run.path .. "/plots/layers.gp"):find("rectangle from 0.5, graph 0 to 1.5", 1, true))
  check.ok(whole_svg(run.path .. "/plots/evolution.svg"):find("layer 2", 1, true))
  run:close()
end)

check.group("a program apart: the terminal's Ctrl-C is not for it", function()
  local own = io.open("/proc/self/stat"):read("a"):match "%) %a %d+ (%d+)"
  local function group(words) return (system.output(words):gsub("\n", "")) end
  local script = "read id name state parent group rest </proc/$$/stat; echo $group"
  check.equal(group {"sh", "-c", script}, own)
  check.ok(group {"sh", "-c", script, apart = true} ~= own)
end)

check.done()

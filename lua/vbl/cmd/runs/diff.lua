-- vbl runs diff A B: in what two runs differ: config, data, versions, and from which step on their metrics do.
local usage = require "vbl.usage"
local vbl = require "vbl"
local visible = require "vbl.visible"

local function print(text) io.write(visible(text), "\n") end

local function print_rows(title, rows)
  if #rows == 0 then return print(("%s: equal"):format(title)) end
  print(title)
  local widths = {0, 0}
  for _, row in ipairs(rows) do
    for i = 1, 2 do widths[i] = math.max(widths[i], math.min(40, #row[i])) end
  end
  for _, row in ipairs(rows) do print(("  %-" .. widths[1] .. "s  %-" .. widths[2] .. "s  %s"):format(row[1], row[2], row[3])) end
end

local function print_metrics(m)
  if m.common == 0 then return print "metrics: they have none in common" end
  if #m.differ == 0 then return print(("metrics: all %d series are equal where both have values"):format(m.common)) end
  local first = m.differ[1]
  print(("metrics: %d of %d series differ, first %s at step %d: %.9g against %.9g (%+.3g)"):format(#m.differ, m.common, first.name, first.step, first.a, first.b,
                                                                                             first.b - first.a))
  local width = 0
  for i = 1, math.min(20, #m.differ) do width = math.max(width, #m.differ[i].name) end
  print(("  %-" .. width .. "s  first at  last step  %12s  %12s  %10s"):format("", "A", "B", "B - A"))
  for i, row in ipairs(m.differ) do
    if i > 20 then return print(("  ... and %d more"):format(#m.differ - 20)) end
    print(("  %-" .. width .. "s  %8d  %9d  %12.6g  %12.6g  %+10.3g"):format(row.name, row.step, row.last, row.last_a, row.last_b, row.last_b - row.last_a))
  end
end

local function print_only(letter, names)
  if #names > 0 then print(("metrics only %s has: %d, %s%s"):format(letter, #names, table.concat(names, ", ", 1, math.min(4, #names)), #names > 4 and ", ..." or "")) end
end

return {
  usage = "A B",
  help = "config, data, versions, first differing step",
  run = function(words, _, flags)
    if #words ~= 2 then usage "runs diff: expected two runs (vbl runs help)" end
    local a, b = vbl.runs.open(vbl.runs.find(words[1], flags.out)), vbl.runs.open(vbl.runs.find(words[2], flags.out))
    local d = vbl.runs.diff(a, b)
    print(("A %s\nB %s\n"):format(a, b))
    print_rows("config", d.config)
    print_rows("data", d.data)
    print_rows("versions", d.versions)
    print_metrics(d.metrics)
    print_only("A", d.metrics.only_a)
    print_only("B", d.metrics.only_b)
  end,
}

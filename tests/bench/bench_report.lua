-- What a run of benchmarks says while it works, and the Markdown that it prints at its end.
-- defines: say, line, text, median
local report = {}
local markdown = {}

function report.line(text, ...) markdown[#markdown + 1] = text:format(...) end

function report.say(text, ...)
  print((text:format(...)))
  io.stdout:flush()
end

function report.text() return table.concat(markdown, "\n") end

function report.median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  return (sorted[(#sorted + 1) // 2] + sorted[#sorted // 2 + 1]) / 2
end

return report

-- vbl report RUN... [--out FILE.html]: a page of one run (RUN/report.html), or of several in the same charts (report.html here). A RUN is a
-- folder, or the id, the name or a part of the name of one in runs/.
local usage = require "vbl.usage"
local vbl = require "vbl"
local words = require "vbl.words"

local help = [[
usage: vbl report RUN... [--out FILE.html]     one offline page of a run (RUN/report.html), or of several in the same charts (report.html)]]

-- The folder that a word means.
local function folder_of(word)
  local ok, result = pcall(vbl.runs.find, word, "runs")
  return ok and result or usage("report: " .. usage.strip(result))
end

return function(first, ...)
  if first == "help" or first == "--help" then return print(help) end
  local runs, _, flags = words.parse("report", {first, ...}, {out = "FILE.html"})
  if #runs == 0 then usage(help) end
  for i, word in ipairs(runs) do runs[i] = folder_of(word) end
  print(vbl.report.html(runs, {out = flags.out or #runs > 1 and "report.html" or nil}))
end

-- vbl report RUN... [--out FILE.html]: a page of one run (RUN/report.html), or of several in the same charts (report.html here). A RUN is a
-- folder, or the id, the name or a part of the name of one in runs/.
local usage = require "vbl.usage"
local vbl = require "vbl"

local help = [[
usage: vbl report RUN... [--out FILE.html]     one offline page of a run (RUN/report.html), or of several in the same charts (report.html)]]

-- The folder that a word means.
local function folder_of(word)
  local ok, result = pcall(vbl.runs.find, word, "runs")
  return ok and result or usage("report: " .. usage.strip(result))
end

return function(first, ...)
  if first == "help" or first == "--help" then return print(help) end
  local runs, out, words = {}, nil, {first, ...}
  local i = 1
  while i <= #words do
    local flag, value = words[i]:match "^(%-%-[^=]*)=?(.*)$"
    if not flag then
      runs[#runs + 1] = folder_of(words[i])
    elseif flag == "--out" then
      if value == "" then i, value = i + 1, words[i + 1] end
      out = value or usage "report: --out: expected a file after it"
    else
      usage(("report: unknown flag '%s' (there is --out FILE.html)"):format(words[i]))
    end
    i = i + 1
  end
  if #runs == 0 then usage(help) end
  print(vbl.report.html(runs, {out = out or #runs > 1 and "report.html" or nil}))
end

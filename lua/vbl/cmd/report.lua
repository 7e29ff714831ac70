-- vbl report RUN... [--out FILE.html]: a page of one run (RUN/report.html), or of several in the same charts (report.html here).
local report = require("vbl").report
local usage = require "vbl.usage"

return function(...)
  local runs, out, words = {}, nil, {...}
  local i = 1
  while i <= #words do
    local flag, value = words[i]:match "^(%-%-[^=]*)=?(.*)$"
    if not flag then
      runs[#runs + 1] = words[i]
    elseif flag == "--out" then
      if value == "" then i, value = i + 1, words[i + 1] end
      out = value or usage "report: --out: expected a file after it"
    else
      usage(("report: unknown flag '%s' (there is --out FILE.html)"):format(words[i]))
    end
    i = i + 1
  end
  if #runs == 0 then usage "usage: vbl report RUN... [--out FILE.html]" end
  print(report.html(runs, {out = out or #runs > 1 and "report.html" or nil}))
end

-- page(run, job): report.html of a run at its end. What goes wrong with it is said, and is no failure of the run.
local dist = require "vbl.dist"
local usage = require "vbl.usage"
local vbl = require "vbl"

return function(run, job)
  if not dist.first() then return end
  local ok, message = pcall(dist.alone, function() vbl.report.html(run.path, {job = job}) end)  -- the module is loaded here, too
  if not ok then io.stderr:write("vbl: no report of the run: ", usage.strip(message), "\n") end
end

-- folder(run, flags) -> where an analysis of a run goes: --out, else RUN/analysis. It is made, and that files can be written there is seen before the analysis,
-- which takes minutes.
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local trimmed = require "vbl.trimmed"
local usage = require "vbl.usage"

local function try(folder)
  local name = ("%s/.try-%d"):format(folder, system.pid())
  store.make_folder(folder)
  store.write_atomic(name, "")
  store.remove(name)
end

return function(run, flags)
  local folder = flags.given.out and trimmed(flags.out) or run .. "/analysis"
  local ok, message = pcall(try, folder)
  if ok then return folder end
  if system.interrupted() then error(message, 0) end
  usage(("the analysis cannot be written: %s; --out DIR takes it elsewhere"):format(usage.strip(message)))
end

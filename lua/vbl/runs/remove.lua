-- remove(record): the run's folder, with all that is in it; raises for what is not to go (vbl.runs.removable).
local c = require "vbl.store.c"
local removable = require "vbl.runs.removable"
local system = require "vbl.system.c"
local usage = require "vbl.usage"

return function(record)
  removable(record)
  local ok, lock = pcall(c.append, record.path .. "/metrics.jsonl")
  if not ok then
    removable(record)  -- a process that began to write it in between
    error(usage.strip(lock), 0)
  end
  -- It goes in one step; what a kill leaves is a folder that no list shows.
  local gone = ("%s/.removed-%s-%d"):format(record.path:match "^(.*)/" or ".", record.name, system.pid())
  local moved, message = os.rename(record.path, gone)
  lock:close()
  if not moved then error(message, 0) end
  c.remove(gone)
end

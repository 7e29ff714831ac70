-- remove(record): the run's folder, with all that is in it. A run that a process is writing stays; so does everything that is not surely a run: a
-- project's folder may have a config.lua too.
local c = require "vbl.store.c"
local system = require "vbl.system.c"
local usage = require "vbl.usage"

return function(record)
  if not require("vbl.runs.record").is_surely_run(record.path) then
    error(record.path .. ": not surely a run's folder (no manifest.json and no metrics.jsonl); remove it by hand if it is one", 0)
  end
  local ok, lock = pcall(c.append, record.path .. "/metrics.jsonl")
  if not ok then
    if record:locked() then error(record.path .. ": is running; stop it first", 0) end
    error(usage.strip(lock), 0)
  end
  -- It goes in one step; what a kill leaves is a folder that no list shows.
  local gone = ("%s/.removed-%s-%d"):format(record.path:match "^(.*)/" or ".", record.name, system.pid())
  local moved, message = os.rename(record.path, gone)
  lock:close()
  if not moved then error(message, 0) end
  c.remove(gone)
end

-- manifest(RUN) -> the table of its manifest.json; {} where there is none. As it is: who reads a stranger's checks it (vbl.runs.record).
local store = require "vbl.store"
local system = require "vbl.system.c"

return function(run)
  local path = run .. "/manifest.json"
  return system.exists(path) and store.load(path) or {}
end

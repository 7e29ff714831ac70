-- stored(RUN) -> the config of the run in that folder, as vbl.runs.folder wrote it, as data: nothing in the file runs.
local literal = require "vbl.config.literal"
local store = require "vbl.store.c"

return function(run)
  local file = run .. "/config.lua"
  local ok, config = pcall(literal.read, store.read_file(file), file)
  if not ok or type(config) ~= "table" then
    error(("%s: not a run's config: %s"):format(file, ok and "expected a table, got " .. type(config) or config), 0)
  end
  return config
end

-- What the processes that a sweep or a study starts have to say.
--   process.last_words(text) -> what it printed last: its error, which starts with "vbl: ", else its last line; nil: nothing
--   process.refusal(command) -> the last words of one that fails; nil: it does not fail
local system = require "vbl.system.c"

local process = {}

function process.last_words(text)
  local said, last
  for line in text:gmatch "[^\n]+" do
    said = line:match "^vbl: (.*)$" or said
    if line:find "%S" then last = line end
  end
  return said or last
end

function process.refusal(command)
  local text, code = system.output {"/bin/sh", "-c", 'exec "$0" "$@" 2>&1', table.unpack(command)}
  if code == 0 then return nil end
  return text and (process.last_words(text) or "exit code " .. code) or code
end

return process

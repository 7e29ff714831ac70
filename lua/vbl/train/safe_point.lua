-- safe_point(): where a held interrupt may end a run: between steps and between batches of an evaluation, never inside an update.
local system = require "vbl.system.c"

return function()
  if system.interrupted() then error("interrupted", 0) end
end

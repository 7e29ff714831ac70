-- safe_point(): where a held interrupt may end a run: between steps and between batches of an evaluation, never inside an update. It ends all ranks at
-- the same one.
local dist = require "vbl.dist"
local system = require "vbl.system.c"

return function()
  local number = dist.most(system.interrupted() or 0)
  if number == 0 then return end
  if not system.interrupted() then dist.interrupt(math.tointeger(number)) end
  error("interrupted", 0)
end

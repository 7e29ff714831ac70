-- Mistakes of the user, which the program prints as one sentence, without a traceback.
--   usage(message)           raises one
--   usage.explain(message[, thread])   for xpcall: an error that names a place in Lua code gets its traceback, once; what names none is a sentence already.
--                            thread: the coroutine that it ended
--   usage.strip(message)     without the place in Lua code that C functions put before what they raise
local meta = {__tostring = function(e) return e.message end}

local usage = {}

function usage.strip(message) return (tostring(message):gsub("^[^\n:]*%.lua:%d+: ", ""):gsub("^vbl[%w_.]*:%d+: ", "")) end

function usage.explain(message, thread)
  if type(message) ~= "string" or usage.strip(message) == message or message:find("\nstack traceback:", 1, true) then return message end
  return thread and debug.traceback(thread, message) or debug.traceback(message, 2)
end

return setmetatable(usage, {__call = function(_, message) error(setmetatable({message = message}, meta), 0) end})

-- Strict globals. Reading one that was never assigned raises, with the nearest name; assigning a new one is for a main
-- chunk (and the prompt): inside a function it is nearly always a missing `local`. nil counts as assigned.

local nearest = require "vbl.nearest"

local declared = {}

-- A list of its own: nearest would index _G, and come back here.
local function names()
  local list = {}
  for name in next, _G do list[#list + 1] = tostring(name) end
  return list
end

-- What other languages' users type.
local habits = {
  exit = " (Ctrl-D ends the prompt, os.exit() a script)", help = " (?name explains a function at the prompt, ? lists what there is)",
  None = " (nil)", True = " (true)", False = " (false)", len = " (#list)", range = " (for i = 1, n do ... end)",
}
habits.quit = habits.exit

setmetatable(_G, {
  __index = function(_, name)
    if declared[name] then return nil end
    error(("undefined global '%s'%s"):format(tostring(name), habits[name] or nearest.hint(name, names())), 2)
  end,
  __newindex = function(globals, name, value)
    local caller = debug.getinfo(2, "S")
    if caller.what == "Lua" and caller.source ~= "=prompt" and not declared[name] then
      error(("assignment to undefined global '%s' inside a function (local %s?)"):format(tostring(name), tostring(name)), 2)
    end
    declared[name] = true
    rawset(globals, name, value)
  end,
  __metatable = false,
})

return true

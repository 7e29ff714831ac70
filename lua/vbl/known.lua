-- known(what, given, names) -> given, or {} where nothing was given: a table of options that holds no key but these names (a list). Another one is an
-- error that names the nearest and what there is, at the given level of the stack (3: the line that called the function); what: its name.
local nearest = require "vbl.nearest"

return function(what, given, names, level)
  if given == nil then return {} end
  if type(given) ~= "table" then error(("%s: expected a table of options, got %s"):format(what, type(given)), level or 3) end
  local set = {}
  for _, name in ipairs(names) do set[name] = true end
  for key in pairs(given) do
    if not set[key] then
      error(("%s: no option '%s'%s (%s)"):format(what, tostring(key), nearest.hint(tostring(key), names), table.concat(names, ", ")), level or 3)
    end
  end
  return given
end

-- How the prompt prints a value. show(value) -> string: a plain table on one line, its list first, then names by the alphabet; of each
-- table the first entries, of tables in tables two levels. Everything else as tostring has it.
local visible = require "vbl.visible"

local SHOWN, DEPTH = 16, 2

local function keys_of(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) == "number" or type(b) ~= "number" and type(a) < type(b) end
    if type(a) == "number" or type(a) == "string" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function show(value, depth)
  if type(value) == "string" then return depth and ("%q"):format(value) or visible(value) end
  if type(value) ~= "table" or getmetatable(value) then return tostring(value) end
  depth = depth or 0
  if depth > DEPTH and next(value) ~= nil then return "{...}" end
  local parts = {}
  for n, key in ipairs(keys_of(value)) do
    if n > SHOWN then parts[n] = "..." break end
    local text = show(value[key], depth + 1)
    parts[n] = key == n and text or ("%s = %s"):format(visible(tostring(key)), text)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

return function(value) return show(value) end

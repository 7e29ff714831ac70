-- Config values as text and back: words of the command line by the types a key takes, tables as Lua source.
-- values.parse(text, types) -> value, or nil when no type of the set takes it    types: {number = true, ...}
-- values.write(value, indent) -> Lua source; numbers come back exactly
local keywords = require "vbl.keywords"
local literal = require "vbl.config.literal"

local values = {}

-- A table constructor of plain values: it calls nothing, not even the methods that strings bring along.
local function parse_table(text)
  local ok, value = pcall(literal.read, "return " .. text, "value")
  if ok and type(value) == "table" then return value end
end

function values.parse(text, types)
  if types.table and text:find "^%s*{" then return parse_table(text) end
  if types["false"] and text == "false" then return false end
  if types.boolean and (text == "true" or text == "false") then return text == "true" end
  if types.number then
    local number = tonumber(text)
    if number then return math.tointeger(number) or number end
  end
  if types.string then return text end
end

local function write_number(x)
  if x ~= x then return "0/0" end
  if x == math.huge or x == -math.huge then return x > 0 and "1/0" or "-1/0" end
  if x == math.mininteger then return "0x8000000000000000" end  -- its decimal form would be read as a float
  if math.type(x) == "integer" then return ("%d"):format(x) end
  local text = ("%.15g"):format(x)
  if tonumber(text) ~= x then text = ("%.17g"):format(x) end
  return text:find "[%.e]" and text or text .. ".0"
end

local function write_key(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" and not keywords[key] then return key .. " = " end
  if type(key) == "string" or type(key) == "number" then return ("[%s] = "):format(values.write(key)) end
  error(("a key of type %s cannot be written"):format(type(key)), 0)
end

-- Names by the alphabet, after the list part and other numbers.
local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do
    if not (math.type(key) == "integer" and key >= 1 and key <= #t) then keys[#keys + 1] = key end
  end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) == "number" end
    return a < b
  end)
  return keys
end

local function write_table(t, indent)
  local list, named = {}, {}
  for i, value in ipairs(t) do list[i] = values.write(value, indent .. "  ") end
  for _, key in ipairs(sorted_keys(t)) do
    local ok, text = pcall(values.write, t[key], indent .. "  ")
    if not ok then error(("%s%s%s"):format(tostring(key), text:find "^a %a+ cannot" and ": " or ".", text), 0) end
    named[#named + 1] = write_key(key) .. text
  end
  if #named == 0 then return "{" .. table.concat(list, ", ") .. "}" end
  local inner = "\n" .. indent .. "  "
  local items = #list > 0 and {table.concat(list, ", "), table.unpack(named)} or named
  return "{" .. inner .. table.concat(items, "," .. inner) .. ",\n" .. indent .. "}"
end

function values.write(value, indent)
  local kind = type(value)
  if kind == "table" then return write_table(value, indent or "") end
  if kind == "number" then return write_number(value) end
  if kind == "string" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
  if kind == "boolean" or kind == "nil" then return tostring(value) end
  error(("a %s cannot be written"):format(kind), 0)
end

-- On one line, for messages and help.
function values.show(value)
  return (values.write(value):gsub(",\n%s*}", "}"):gsub("{\n%s*", "{"):gsub(",\n%s*", ", "))
end

return values

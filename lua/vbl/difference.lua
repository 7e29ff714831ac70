-- difference.first(a, b) -> the first key, in the order of the alphabet, in which two plain tables differ, as "a.b.c", and both values as
-- text ("nothing" where a table lacks it); nil where they are equal. NaN equals NaN.
local c = require "vbl.store.c"

local difference = {}

local function show(value)
  if value == nil then return "nothing" end
  return type(value) == "table" and c.json_encode(value, {nan = "string"}) or tostring(value)
end

local function first(a, b, prefix)
  local keys, seen = {}, {}
  for _, t in ipairs {a, b} do
    for key in pairs(t) do
      if not seen[key] then keys[#keys + 1], seen[key] = key, true end
    end
  end
  table.sort(keys, function(x, y) return tostring(x) < tostring(y) end)
  for _, key in ipairs(keys) do
    local x, y, path = a[key], b[key], prefix .. tostring(key)
    if type(x) == "table" and type(y) == "table" then
      local where, left, right = first(x, y, path .. ".")
      if where then return where, left, right end
    elseif x ~= y and not (x ~= x and y ~= y) then
      return path, show(x), show(y)
    end
  end
end

function difference.first(a, b) return first(a, b, "") end

return difference

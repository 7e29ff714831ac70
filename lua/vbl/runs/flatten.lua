-- flatten(t[, prefix]) -> {["a.b.c"] = leaf}: nested tables of named fields as one; a list, or an empty table, is a leaf.
local function add(t, prefix, into)
  for key, value in pairs(t) do
    local path = prefix .. tostring(key)
    if type(value) == "table" and next(value) ~= nil and #value == 0 then add(value, path .. ".", into) else into[path] = value end
  end
  return into
end

return function(t, prefix) return add(t, prefix or "", {}) end

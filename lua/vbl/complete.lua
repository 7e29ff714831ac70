-- Completion at the prompt: globals and keywords, fields after a dot, methods after a colon, by values and metatables.
-- complete(text before the cursor) -> text to insert (may be ""), candidates to show or nil
local help = require "vbl.help"

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true until
while]]):gmatch "%a+" do keywords[word] = true end

-- Adds the string keys of a value: its own, then those its metatable's __index leads to.
local function add_keys(value, set)
  for _ = 1, 8 do
    if type(value) == "table" then
      for key, item in next, value do
        if type(key) == "string" then set[key] = type(item) end
      end
    end
    local meta = debug.getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index") or nil
    if type(value) ~= "table" then return end
  end
end

-- Names that exist only once they are asked for: submodules, and methods behind an __index function.
local function add_documented(path, value, set)
  local prefix = path .. "."
  if type(value) == "userdata" then prefix = tostring((debug.getmetatable(value) or {}).__name):match "[^.]*$" .. ":" end
  for _, full in ipairs(help.names(prefix)) do set[full:sub(#prefix + 1):match "^[^.:]*"] = "function" end
end

-- The value that the names lead to from the globals, without raising.
local function value_of(path)
  local value = _G
  for name in path:gmatch "[%a_][%w_]*" do
    local ok, next_value = pcall(function() return value[name] end)
    if not ok then return nil end
    value = next_value
  end
  return value
end

local function candidates(path, separator, start)
  local set = {}
  if separator == "" then
    add_keys(_G, set)
    for word in pairs(keywords) do set[word] = "keyword" end
  else
    local value = value_of(path)
    if value == nil then return {} end
    add_keys(value, set)
    add_documented(path, value, set)
  end
  local list = {}
  for key, kind in pairs(set) do
    local fits = key:sub(1, #start) == start and (start:sub(1, 1) == "_" or key:sub(1, 1) ~= "_")
    if fits and (separator ~= ":" or kind == "function") then list[#list + 1] = key end
  end
  table.sort(list)
  return list
end

local function common_prefix(list)
  local first, last = list[1], list[#list]
  local n = 0
  while n < #first and first:byte(n + 1) == last:byte(n + 1) do n = n + 1 end
  return first:sub(1, n)
end

return function(text)
  local chain = text:match "[%a_][%w_.:]*$"
  if not chain then return "", nil end
  local path, separator, start = chain:match "^(.-)([.:]?)([%a_]?[%w_]*)$"
  local list = candidates(path, separator, start)
  if #list == 0 then return "", nil end
  local insert = common_prefix(list):sub(#start + 1)
  if insert ~= "" or #list == 1 then return insert, nil end
  return "", table.concat(list, "  ")
end

-- Completion at the prompt, by values, metatables and the help table: globals and keywords, fields after a dot, methods after a colon, the
-- keys of an option table, names of layers in m:tap{"...}, and paths inside other quotes.
-- complete(text before the cursor) -> text to insert (may be ""), candidates to show or nil
local commands = require "vbl.repl.commands"
local help = require "vbl.help"
local system = require "vbl.system.c"

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

-- Keys that the signature of the called function names ("name=" between braces), and those of a model or a data set.
local function add_options(called, set)
  local row = help.row(called) or help.row((called:gsub("^vbl%.", "")))
  for braces in (row and row.signature or ""):gmatch "%b{}" do
    for key in braces:gmatch "([%a_][%w_]*)%s*=" do set[key] = "option" end
  end
  local schema = called:find "models.vilbert$" and require("vbl.models.vilbert_config").schema or called:find "data.open$" and require("vbl.data").options
  for key in pairs(schema or {}) do set[key] = "option" end
end

-- "cka" of `cka(X, Y, {ker` and of `cka{ker`.
local function called_with_options(text)
  local before = text:match "^(.*){[^{}]*$" or ""
  return before:match "([%a_][%w_.:]*)%s*$" or before:match "([%a_][%w_.:]*)%s*%([^()]*$"
end

local function fitting(set, start, only)
  local list = {}
  for key, kind in pairs(set) do
    local fits = key:sub(1, #start) == start and (start:sub(1, 1) == "_" or key:sub(1, 1) ~= "_")
    if fits and (not only or kind == only) then list[#list + 1] = key end
  end
  table.sort(list)
  return list
end

local function names(text)
  local chain = text:match "[%a_][%w_.:]*$"
  if not chain then return {}, "" end
  local path, separator, start = chain:match "^(.-)([.:]?)([%a_]?[%w_]*)$"
  local set = {}
  if separator == "" then
    local called = called_with_options(text)
    if called then add_options(called, set) end
    add_keys(_G, set)
    for word in pairs(keywords) do set[word] = "keyword" end
  else
    local value = commands.value_of(path)
    if value == nil then return {}, start end
    add_keys(value, set)
    add_documented(path, value, set)
  end
  return fitting(set, start, separator == ":" and "function" or nil), start
end

local function paths(start)
  local folder, begin = start:match "^(.*/)([^/]*)$"
  local set = {}
  for _, name in ipairs(system.list(folder or ".") or {}) do
    local stat = system.stat((folder or "") .. name)
    if name:sub(1, 1) ~= "." or begin and begin:sub(1, 1) == "." then set[stat and stat.type == "directory" and name .. "/" or name] = "path" end
  end
  return fitting(set, begin or start), begin or start
end

-- Inside quotes: what stands behind the last one that is open, and the text before it. A quote sign inside the other kind is a letter.
local function open_string(text)
  local quote, at
  for i = 1, #text do
    local sign = text:sub(i, i)
    if quote then
      if sign == quote then quote = nil end
    elseif sign == "'" or sign == '"' then
      quote, at = sign, i
    end
  end
  if quote then return text:sub(at + 1), text:sub(1, at - 1) end
end

local function in_string(start, before)
  local model = before:match "([%a_][%w_.]*):tap%s*%(?%s*{[^{}]*$"
  local value = model and commands.value_of(model)
  if type(value) == "table" and value.tap_names then
    local set = {}
    for _, name in ipairs(value:tap_names()) do set[name] = "tap" end
    return fitting(set, start), start
  end
  return paths(start)
end

local function common_prefix(list)
  local first, last = list[1], list[#list]
  local n = 0
  while n < #first and first:byte(n + 1) == last:byte(n + 1) do n = n + 1 end
  return first:sub(1, n)
end

return function(text)
  local inside, before = open_string(text)
  if text:find "^%s*%$" then inside, before = text:match "%S*$", "" end
  local list, start
  if inside then list, start = in_string(inside, before) else list, start = names(text) end
  if #list == 0 then return "", nil end
  local insert = common_prefix(list):sub(#start + 1)
  if insert ~= "" or #list == 1 then return insert, nil end
  return "", table.concat(list, "  ")
end

-- Lines at the prompt that are no Lua: ?name help, ?*part* search, name?? source, $ command the shell.
-- commands(line) -> function to run, or nil when the line is Lua
local help = require "vbl.help"
local show = require "vbl.repl.show"
local source = require "vbl.source"
local system = require "vbl.system.c"

-- The value that dotted names lead to from the globals; nil where they lead nowhere.
local function value_of(path)
  local value = _G
  for name in path:gmatch "[%a_][%w_]*" do
    local ok, found = pcall(function() return value[name] end)
    if not ok then return nil end
    value = found
  end
  return value
end

-- The function itself, or what makes a value callable.
local function function_of(value)
  local meta = debug.getmetatable(value)
  local fn = type(value) == "function" and value or type(meta) == "table" and meta.__call
  return type(fn) == "function" and fn or nil
end

local function source_of(path)
  local value = value_of(path)
  if value == nil then return ("'%s' leads to nothing"):format(path) end
  local fn = function_of(value)
  return fn and source.text(fn) or ("'%s' is a %s, not a function"):format(path, type(value))
end

-- "tensor", "data set", ... or the type.
local function kind_of(value)
  local meta = type(value) == "userdata" and debug.getmetatable(value)
  return type(meta) == "table" and type(meta.__name) == "string" and meta.__name:match "[^.]*$" or type(value)
end

-- What a name stands for that no help tells of: its kind, how it prints, where its methods are listed.
local function about_value(name, value)
  local kind = kind_of(value)
  local methods = help.names(kind .. ":")[1] and ("\n  ?%s: lists its methods"):format(kind) or ""
  return ("%s: %s\n  %s%s"):format(name, kind, show(value):gsub("\n", "\n  "), methods)
end

-- The table first; a function of one's own, or a method of an object in Lua, is explained by the comment above it.
local function help_of(name)
  local text, found = help(name)
  local row = help.row(name)
  local head = row and row.help:find "^Module: " and source.head(name)
  if head then return name .. "\n  " .. head:gsub("\n", "\n  ") end
  if row or name == "" or name:find "[*]" or name:find "[.:]$" then return text end
  local value = value_of(name)
  local about = value ~= nil and function_of(value) and source.about(function_of(value))
  if about then return ("%s\n  %s\n  %s"):format(about.where, about.signature, (about.help:gsub("\n", "\n  "))) end
  return (found or value == nil) and text or about_value(name, value)
end

-- Lines that the terminal would cut within a word, cut between words; what follows keeps the line's indent.
local function wrapped(text, width)
  if not width or width < 20 then return text end
  local out = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local indent = line:match "^ *"
    while (utf8.len(line) or #line) > width do
      local stop = utf8.offset(line, width + 2) or width + 2
      local cut = line:sub(1, stop - 1):match "^ *%S.*() " or line:match("() ", stop)
      if not cut then break end
      out[#out + 1] = line:sub(1, cut - 1)
      line = indent .. line:sub(cut + 1)
    end
    out[#out + 1] = line
  end
  return table.concat(out, "\n")
end

-- A list has a line for each name: what is too long for it is left out.
local function cut(text, width)
  if not width then return text end
  return (text:gsub("[^\n]+", function(line)
    return utf8.len(line) and utf8.len(line) > width and line:sub(1, utf8.offset(line, width) - 1) .. "…" or line
  end))
end

local function print_help(name)
  local fit = (name:find "[*]" or name:find "[.:]$") and cut or wrapped
  print(fit(help_of(name), system.width "stdout"))
end

local function shell(command)
  local _, how, code = os.execute(command)
  if code ~= 0 then print(("(%s %d)"):format(how, code)) end
end

local commands = {}
commands.value_of, commands.kind_of, commands.wrapped = value_of, kind_of, wrapped

return setmetatable(commands, {__call = function(_, line)
  local command = line:match "^%s*%$%s*(%S.-)%s*$"
  if command then return function() shell(command) end end
  local path = line:match "^%s*([%a_][%w_.:]*)%s*%?%?%s*$"
  if path then return function() print(source_of(path)) end end
  local name = line:match "^%s*%?%s*(.-)%s*$" or line:match "^%s*([%a_][%w_.:]*)%s*%?%s*$"
  if name then return function() print_help(name) end end
end})

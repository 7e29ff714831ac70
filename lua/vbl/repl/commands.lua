-- Lines at the prompt that are no Lua: ?name help, ?*part* search, name?? source, $ command the shell.
-- commands(line) -> function to run, or nil when the line is Lua
local help = require "vbl.help"
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

-- The binding tables first; a function in Lua is explained by the comment above it.
local function help_of(name)
  local row = help.row(name)
  local head = row and row.help:find "^Module: " and source.head(name)
  if head then return name .. "\n  " .. head:gsub("\n", "\n  ") end
  local known = help.row(name) or name == "" or name:find "[*]" or name:find "[.:]$"
  local fn = not known and function_of(value_of(name))
  local about = fn and source.about(fn)
  if not about then return help(name) end
  return ("%s\n  %s\n  %s"):format(about.where, about.signature, (about.help:gsub("\n", "\n  ")))
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

local function shell(command)
  local _, how, code = os.execute(command)
  if code ~= 0 then print(("(%s %d)"):format(how, code)) end
end

local commands = {}
commands.value_of, commands.wrapped = value_of, wrapped

return setmetatable(commands, {__call = function(_, line)
  local command = line:match "^%s*%$%s*(%S.-)%s*$"
  if command then return function() shell(command) end end
  local path = line:match "^%s*([%a_][%w_.:]*)%s*%?%?%s*$"
  if path then return function() print(source_of(path)) end end
  local name = line:match "^%s*%?%s*(.-)%s*$" or line:match "^%s*([%a_][%w_.:]*)%s*%?%s*$"
  if name then return function() print(wrapped(help_of(name), system.width "stdout")) end end
end})

-- Lines at the prompt that are no Lua: ?name help, ?*part* search, name?? source, $ command the shell.
-- commands(line) -> function to run, or nil when the line is Lua
local help = require "vbl.help"

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

local function source_of(path)
  local value = value_of(path)
  if value == nil then return ("'%s' leads to nothing"):format(path) end
  local meta = debug.getmetatable(value)
  local fn = type(value) == "function" and value or type(meta) == "table" and meta.__call
  if type(fn) ~= "function" then return ("'%s' is a %s, not a function"):format(path, type(value)) end
  return require "vbl.repl.source"(fn)
end

local function shell(command)
  local _, how, code = os.execute(command)
  if code ~= 0 then print(("(%s %d)"):format(how, code)) end
end

local commands = {}
commands.value_of = value_of

return setmetatable(commands, {__call = function(_, line)
  local command = line:match "^%s*%$%s*(%S.-)%s*$"
  if command then return function() shell(command) end end
  local source = line:match "^%s*([%a_][%w_.:]*)%s*%?%?%s*$"
  if source then return function() print(source_of(source)) end end
  local name = line:match "^%s*%?%s*(.-)%s*$" or line:match "^%s*([%a_][%w_.:]*)%s*%?%s*$"
  if name then return function() print(help(name)) end end
end})

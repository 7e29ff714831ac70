-- Commands that have commands: vbl NAME SUB words...  Each SUB is a file lua/vbl/cmd/NAME/SUB.lua, which returns {usage = "words", help =
-- "one line", run = function(words, options, flags) -> exit code or nil, options = true}. Where it takes options a word KEY=VALUE is one; --FLAG is one
-- of `flags`. What stands behind -- is neither.
--
-- subcommand{name =, about = "one line", names = {SUB, ...}, more = "text below the list", flags = {yes = "", out = "DIR"}} -> what is called with
--   the words, and has the names
--   flags: name -> what stands behind it, "" for a switch
-- --help among the words is answered in their place.
-- What is wrong with the user's words or files is one sentence, without a traceback.
local nearest = require "vbl.nearest"
local usage = require "vbl.usage"

local function load(spec, name) return require(("vbl.cmd.%s.%s"):format(spec.name, name)) end

local function help(spec)
  print(("vbl %s SUB: %s\n"):format(spec.name, spec.about))
  for _, name in ipairs(spec.names) do
    local command = load(spec, name)
    print(("  vbl %s %-8s %-34s %s"):format(spec.name, name, command.usage, command.help))
  end
  print("\n" .. spec.more)
end

-- "3" -> 3, "true" -> true, anything else the string itself.
local function value_of(text)
  if text == "true" or text == "false" then return text == "true" end
  return math.tointeger(tonumber(text)) or tonumber(text) or text
end

local function take_flag(spec, list, i, into)
  local name, value = list[i]:match "^%-%-([^=]*)=?(.*)$"
  local kind = spec.flags and spec.flags[name]
  if not kind then usage(("%s: unknown flag '%s'%s"):format(spec.name, list[i], nearest.hint(name, spec.flags or {}))) end
  if kind == "" then
    into[name] = true
    return i
  end
  if not list[i]:find("=", 1, true) then
    i = i + 1
    value = list[i]
  end
  if not value or value == "" then usage(("%s: --%s: expected %s after it"):format(spec.name, name, kind)) end
  into[name] = value
  return i
end

local function parse(spec, command, list)
  local words, options, flags = {}, {}, {}
  local i = 1
  while i <= #list do
    local key, value = list[i]:match "^([%a_][%w_.]*)=(.*)$"
    if list[i] == "--" then
      table.move(list, i + 1, #list, #words + 1, words)
      break
    elseif list[i]:find "^%-%-" then
      i = take_flag(spec, list, i, flags)
    elseif key and command.options then
      options[key] = value_of(value)
    else
      words[#words + 1] = list[i]
    end
    i = i + 1
  end
  return words, options, flags
end

return function(spec)
  return setmetatable({names = spec.names}, {__call = function(_, name, ...)
    if not name or name == "help" or name == "--help" then return help(spec) end
    local known
    for _, n in ipairs(spec.names) do known = known or n == name end
    if not known then usage(("%s: no command '%s'%s (vbl %s help)"):format(spec.name, name, nearest.hint(name, spec.names), spec.name)) end
    local command = load(spec, name)
    for _, word in ipairs {...} do
      if word == "--" then break end
      if word == "--help" then return print(("usage: vbl %s %s %s     %s\n\n%s"):format(spec.name, name, command.usage, command.help, spec.more)) end
    end
    local words, options, flags = parse(spec, command, {...})
    local ok, result = pcall(command.run, words, options, flags)
    if ok then return result end
    usage(usage.strip(tostring(result)))
  end})
end

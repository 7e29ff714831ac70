-- Commands that have commands: vbl NAME SUB words...  Each SUB is a file lua/vbl/cmd/NAME/SUB.lua, which returns {usage = "words", help =
-- "one line", run = function(words, options, flags) -> exit code or nil, options = true}: words, options and flags as of vbl.words, options where the
-- command takes some.
--
-- subcommand{name =, about = "one line", names = {SUB, ...}, more = "text below the list", flags = {yes = "", out = "DIR"}} -> what is called with
--   the words, and has the names
--   flags: name -> what stands behind it, "" for a switch
-- --help among the words is answered in their place.
-- What is wrong with the user's words or files is one sentence, without a traceback.
local nearest = require "vbl.nearest"
local parse = require("vbl.words").parse
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
    local words, options, flags = parse(spec.name, {...}, spec.flags or {}, command.options)
    local ok, result = pcall(command.run, words, options, flags)
    if ok then return result end
    usage(usage.strip(tostring(result)))
  end})
end

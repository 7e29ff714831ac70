-- vbl data SUB words...: what can be done with a data set; each SUB is a file lua/vbl/cmd/data/SUB.lua, which returns
-- {usage = "words", help = "one line", run = function(words, options) -> exit code or nil}. A word KEY=VALUE is an option of
-- vbl.data.open (or of SUB, where `options` there lists it); the others are the words.
local nearest = require "vbl.nearest"
local usage = require "vbl.usage"

local names = {"check", "describe", "fetch", "pack", "show"}

local function load(name)
  local ok, command = pcall(require, "vbl.cmd.data." .. name)
  if ok then return command end
  if tostring(command):find("module 'vbl.cmd.data." .. name .. "' not found", 1, true) then return nil end
  error(command, 0)
end

local function help()
  print "vbl data SUB: commands for data sets\n"
  for _, name in ipairs(names) do
    local command = load(name)
    if command then print(("  vbl data %-8s %-34s %s"):format(name, command.usage, command.help)) end
  end
  print "\nSOURCE is what vbl.data.open takes: a path (its form is looked at), or NAME:PATH. KEY=VALUE words are options of\nvbl.data.open: image=224 vocabulary=vocab.txt max_bad=0.05 ..."
end

-- "3" -> 3, "true" -> true, anything else the string itself.
local function value_of(text)
  if text == "true" or text == "false" then return text == "true" end
  return tonumber(text) or text
end

return function(name, ...)
  if not name or name == "help" or name == "--help" then return help() end
  local known
  for _, n in ipairs(names) do known = known or n == name end
  local command = known and load(name)
  if not command then usage(("data: no command '%s'%s (vbl data help)"):format(name, nearest.hint(name, names))) end
  local words, options = {}, {}
  for _, word in ipairs {...} do
    local key, value = word:match "^([%a_][%w_]*)=(.*)$"
    if key then options[key] = value_of(value) else words[#words + 1] = word end
  end
  local ok, result = pcall(command.run, words, options)  -- what is wrong with the data is one sentence, without a traceback
  if ok then return result end
  usage(usage.strip(tostring(result)))
end

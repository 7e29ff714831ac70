-- The words of a command. words.parse(name, list, flags[, takes_options]) -> words, options, flags
--   name: of the command, for messages    flags: name -> what stands behind it, "" for a switch
--   --FLAG is a flag, --FLAG=VALUE and --FLAG VALUE one with a value; where the command takes options, KEY=VALUE is one, whose value is a number or a
--   boolean where it can be; what stands behind -- is neither. A wrong flag is one sentence.
local nearest = require "vbl.nearest"
local sorted_keys = require "vbl.sorted_keys"
local usage = require "vbl.usage"

local words = {}

-- "3" -> 3, "true" -> true, anything else the string itself.
local function value_of(text)
  if text == "true" or text == "false" then return text == "true" end
  return math.tointeger(tonumber(text)) or tonumber(text) or text
end

-- ", did you mean '--out'?", or what there is: " (there is --out DIR)".
local function hint(flag, flags)
  local names, shown = sorted_keys(flags), {}
  for i, name in ipairs(names) do names[i], shown[i] = "--" .. name, ("--%s %s"):format(name, flags[name]):gsub(" $", "") end
  local near = nearest.hint("--" .. flag, names)
  return near ~= "" and near or #shown > 0 and (" (there is %s)"):format(table.concat(shown, ", ")) or ""
end

-- Reads the flag at list[i] into the table; returns the place of its last word.
local function take_flag(name, list, i, flags, into)
  local flag, value = list[i]:match "^%-%-([^=]*)=?(.*)$"
  local kind = flags[flag]
  if not kind then usage(("%s: unknown flag '%s'%s"):format(name, list[i], hint(flag, flags))) end
  if kind == "" then
    into[flag] = true
    return i
  end
  if not list[i]:find("=", 1, true) then
    i = i + 1
    value = list[i]
  end
  if not value or value == "" then usage(("%s: --%s: expected %s after it"):format(name, flag, kind)) end
  into[flag] = value
  return i
end

function words.parse(name, list, flags, takes_options)
  local plain, options, given = {}, {}, {}
  local i = 1
  while i <= #list do
    local key, value = list[i]:match "^([%a_][%w_.]*)=(.*)$"
    if list[i] == "--" then
      table.move(list, i + 1, #list, #plain + 1, plain)
      break
    elseif list[i]:find "^%-%-" then
      i = take_flag(name, list, i, flags, given)
    elseif key and takes_options then
      options[key] = value_of(value)
    else
      plain[#plain + 1] = list[i]
    end
    i = i + 1
  end
  return plain, options, given
end

return words

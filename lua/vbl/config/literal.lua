-- A file of plain values, `return {...}` as vbl.config.write makes it, read as data: the text may have been written by somebody else.
-- literal.read(text, name) -> value. Only constants, table constructors, signs and the division of 0/0 and 1/0 are let through to Lua's own
-- parser: no name is read, nothing is called, repeated or joined, so that a text cannot act, hang or grow in memory.
local literal = {}

local words = {["return"] = true, ["true"] = true, ["false"] = true, ["nil"] = true}

-- Patterns of what may stand in the text, by what they are; a name only as a key.
local tokens = {"^[ \t\r\n,;{}%]=/%-]", "^0[xX]%x+", "^%d+%.?%d*[eE]?[+-]?%d*", "^%.%d+[eE]?[+-]?%d*", "^%[[^%[=]"}

-- The end of a quoted string that opens at `at`, or nil.
local function string_end(text, at)
  local quote = text:sub(at, at)
  local i = at + 1
  while true do
    i = text:find("[\\" .. quote .. "\n]", i)
    local found = i and text:sub(i, i)
    if found == quote then return i end
    if found ~= "\\" then return nil end
    i = i + 2
  end
end

local function word_end(text, at)
  local word, after = text:match("^([%a_][%w_]*)()", at)
  if word and (words[word] or text:find("^%s*=[^=]", after)) then return after - 1 end
end

local function token_end(text, at)
  local first = text:sub(at, at)
  if first == '"' or first == "'" then return string_end(text, at) end
  if text:find("^%-%-", at) then return not text:find("^%-%-%[", at) and text:match("^[^\n]*()", at) - 1 or nil end
  for i, pattern in ipairs(tokens) do
    local _, last = text:find(pattern, at)
    if last then return i == 5 and last - 1 or last end  -- the character behind [ is looked at again
  end
  return word_end(text, at)
end

local function check(text, name)
  local at = 1
  while at <= #text do
    local last = token_end(text, at)
    if not last then
      local _, line = text:sub(1, at - 1):gsub("\n", "")
      error(("%s:%d: expected plain values, got '%s'"):format(name, line + 1, text:match("^[^\n]*", at):sub(1, 30)), 0)
    end
    at = last + 1
  end
end

function literal.read(text, name)
  check(text, name)
  local chunk, message = load(text, "@" .. name, "t", {})
  if not chunk then error(message:find(name, 1, true) and message or ("%s: %s"):format(name, message), 0) end
  local ok, value = pcall(chunk)
  if not ok then error(value, 0) end
  return value
end

return literal

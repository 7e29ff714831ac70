-- The meaning of each config key, read from the script: the comment that trails the key's line.
-- comments(path, line) -> {["model.preset"] = "text", ...}, {paths in the order of the source}. `line` is where the table
-- opens. A comment belongs to the first key of its line. Both tables are empty where the source cannot be read.

local patterns = {
  {"space", "^[ \t\r]+"}, {"line", "^\n"}, {"name", "^[%a_][%w_]*"}, {"number", "^%.?%d[%w%.]*"},
}

-- The last index of the long bracket [[...]] or [=[...]=] that opens at `at`; nil when none does.
local function long_bracket(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, stop = text:find("]" .. level .. "]", at, true)
  return stop or #text
end

local function quoted_end(text, at)
  local quote = text:sub(at, at)
  local i = at + 1
  while i <= #text and text:sub(i, i) ~= quote do
    i = i + (text:sub(i, i) == "\\" and 2 or 1)
  end
  return i
end

-- kind ("name", "comment", "string", "number", "line", "space" or the character itself) and last index of the token at `at`.
local function token(text, at)
  for _, row in ipairs(patterns) do
    local _, stop = text:find(row[2], at)
    if stop then return row[1], stop end
  end
  if text:find("^%-%-", at) then
    return "comment", long_bracket(text, at + 2) or (text:find("\n", at, true) or #text + 1) - 1
  end
  local stop = long_bracket(text, at)
  if stop then return "string", stop end
  local c = text:sub(at, at)
  if c == '"' or c == "'" then return "string", quoted_end(text, at) end
  if text:find("^[=~<>]=", at) then return "operator", at + 1 end
  return c, at
end

local function read_from(path, line)
  local file = io.open(path, "r")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  local at = 1
  for _ = 2, line do at = (text:find("\n", at, true) or #text) + 1 end
  return text, at
end

local function join(stack, key)
  local parts = {}
  for i = 2, #stack do parts[#parts + 1] = stack[i] or "?" end
  parts[#parts + 1] = key
  return table.concat(parts, ".")
end

return function(path, line)
  local meanings, order = {}, {}
  local text, at = read_from(path, line)
  if not text then return meanings, order end
  local stack = {}  -- one entry per open brace: its key, or false
  local previous, name, key, first_of_line = nil, nil, nil, nil
  while at <= #text do
    local kind, stop = token(text, at)
    if kind == "{" then
      stack[#stack + 1] = previous == "=" and key or false
    elseif kind == "}" then
      stack[#stack] = nil
      if #stack == 0 then return meanings, order end
    elseif kind == "name" then
      local opens = previous == "{" or previous == "," or previous == ";"
      name = #stack > 0 and opens and text:sub(at, stop) or nil
    elseif kind == "=" and previous == "name" and name then
      key = name
      local full = join(stack, key)
      order[#order + 1] = full
      first_of_line = first_of_line or full
    elseif kind == "comment" and first_of_line then
      meanings[first_of_line] = text:sub(at, stop):gsub("^%-%-%s*", ""):gsub("%s+$", "")
    elseif kind == "line" then
      first_of_line = nil
    end
    if kind ~= "space" and kind ~= "line" and kind ~= "comment" then previous = kind end
    at = stop + 1
  end
  return meanings, order
end

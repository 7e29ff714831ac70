-- What the source says about a Lua function: the one place where its text and the comment above it are read.
--   source.text(fn) -> string      where it is defined, its comment and its text; a sentence where there is none (C, typed at the prompt)
--   source.head(module) -> string or nil     the comment that one of vbl's own modules begins with
--   source.about(fn) -> {signature = "open(name, opts)", help =, where = "vbl.data:121"}, or nil. help: the comment above it, else what the
--     file's head says of it; of the function that a file returns the whole head
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local source = {}

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

-- The lines of a chunk: one of vbl's own modules ("=vbl.name"), or a file.
local function chunk_lines(chunk)
  local kind, name, text = chunk:sub(1, 1), chunk:sub(2), nil
  if kind == "=" then text = system.module_source(name) end
  if kind == "@" and system.exists(name) then text = store.read_file(name) end
  return text and lines_of(text)
end

-- lines, number of the first line of the comment above, number of the definition's first and last line
local function find(fn)
  local info = debug.getinfo(fn, "S")
  local lines = info.what ~= "C" and chunk_lines(info.source)
  if not lines or not lines[info.lastlinedefined] then return nil, info end
  local first = info.linedefined
  while first > 1 and lines[first - 1]:find "^%s*%-%-" do first = first - 1 end
  return lines, info, first
end

function source.text(fn)
  local lines, info, first = find(fn)
  if info.what == "C" then return "a function in C" end
  if not lines then return ("%s:%d: its text is not at hand"):format(info.short_src, info.linedefined) end
  return ("%s:%d\n%s"):format(info.short_src, info.linedefined, table.concat(lines, "\n", first, info.lastlinedefined))
end

local function comment_of(lines, first, definition)
  local words = {}
  for i = first, definition - 1 do words[#words + 1] = (lines[i]:gsub("^%s*%-%-%s?", "")) end
  return table.concat(words, "\n")
end

local function head_of(lines)
  local words = {}
  for i, line in ipairs(lines) do
    if line:sub(1, 2) ~= "--" then break end
    words[i] = line:gsub("^%-%-%s?", "")
  end
  return words
end

function source.head(module)
  local text = system.module_source(module) or system.module_source(module .. ".init")
  local words = text and head_of(lines_of(text)) or {}
  return words[1] and table.concat(words, "\n")
end

-- The head's line with a call of `name`, and those below it that are indented deeper.
local function passage(words, name)
  local found, indent = {}, nil
  for _, line in ipairs(words) do
    local depth = #line:match "^ *"
    if indent and depth <= indent then break end
    if not indent and (" " .. line):find("[ .]" .. name .. "[({]") then indent = depth end
    if indent then found[#found + 1] = line:sub(indent + 1) end
  end
  return table.concat(found, "\n")
end

function source.about(fn)
  local lines, info, first = find(fn)
  if not lines then return nil end
  local line = lines[info.linedefined]
  local name, parameters = line:match "function%s+([%w_.:]*)%s*(%b())"
  if not name then name, parameters = line:match "([%w_.]+)%s*=%s*function%s*(%b())" end
  local returned = not name and line:match "^return function%s*(%b())"
  if not name and not returned then return nil end
  local text = comment_of(lines, first, info.linedefined)
  if text == "" then text = returned and table.concat(head_of(lines), "\n") or passage(head_of(lines), name:match "[^.:]*$") end
  return {signature = returned or name .. parameters, help = text, where = ("%s:%d"):format(info.short_src, info.linedefined)}
end

return source

-- source(fn) -> string: where a function is defined and its text, the comment above it included. Functions in C and those typed at the
-- prompt have no text here: the sentence says so.
local store = require "vbl.store.c"
local system = require "vbl.system.c"

-- The text of a chunk: one of vbl's own modules ("=vbl.name"), or a file.
local function text_of(chunk)
  local kind, name = chunk:sub(1, 1), chunk:sub(2)
  if kind == "=" then return system.module_source(name) end
  if kind == "@" and system.exists(name) then return store.read_file(name) end
end

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

return function(fn)
  local info = debug.getinfo(fn, "S")
  if info.what == "C" then return "a function in C" end
  local text = text_of(info.source)
  if not text then return ("%s:%d: its text is not at hand"):format(info.short_src, info.linedefined) end
  local lines, first = lines_of(text), info.linedefined
  while first > 1 and lines[first - 1]:find "^%s*%-%-" do first = first - 1 end
  return ("%s:%d\n%s"):format(info.short_src, info.linedefined, table.concat(lines, "\n", first, info.lastlinedefined))
end

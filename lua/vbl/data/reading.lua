-- What readers (lua/vbl/data/readers/NAME.lua) share. A reader is
--   {name =, expects = what it needs on disk (text), options = {key = {nil, meaning, type =}},
--    found = function(folder) -> a sentence when the folder is of its form, else nil,
--    read = function(path, options, base) -> records, name}        base: the options of a builder (vbl.data.c.records)
-- It fills a builder row by row; what it cannot read it skips with a reason. It never makes a table a row that stays.
local c = require "vbl.data.c"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local reading = {}

function reading.is_folder(path)
  local stat = system.stat(path)
  return stat ~= nil and stat.type == "directory"
end

function reading.is_file(path)
  local stat = system.stat(path)
  return stat ~= nil and stat.type == "file"
end

-- "/a/b.json" -> "/a", "b.json"; a path without a slash lies in ".".
function reading.split_path(path)
  local folder, name = path:match "^(.*)/([^/]*)$"
  if not folder then return ".", path end
  return folder == "" and "/" or folder, name
end

-- The first of the names that exists in the folder (or of paths, with folder nil), or nil.
function reading.first(folder, names)
  for _, name in ipairs(names) do
    if system.exists(folder and folder .. "/" .. name or name) then return name end
  end
end

-- The same, where one of them has to be there.
function reading.need(folder, names, what)
  return reading.first(folder, names) or
    error(string.format("%s: no %s here (expected %s)", folder, what, table.concat(names, " or ")), 0)
end

-- Names in a folder that match a Lua pattern, sorted.
function reading.names(folder, pattern)
  local list = {}
  for _, name in ipairs(system.list(folder) or {}) do
    if name:find(pattern) then list[#list + 1] = name end
  end
  return list
end

-- A regular file, opened for reading; else nil and why. (A FIFO would wait for its writer, a device need not end.)
function reading.open(path)
  local stat = system.stat(path)
  if stat and stat.type ~= "file" then return nil, ("%s: not a regular file"):format(path) end
  return io.open(path, "rb")
end

-- The first line of a file without its end and byte-order mark; nil of an empty file, and of one that cannot be read.
function reading.first_line(path)
  local file = reading.open(path)
  if not file then return nil end
  local line = file:read "l"
  file:close()
  return line and line:gsub("^\xEF\xBB\xBF", ""):gsub("\r$", "")
end

-- Lines of a file with their numbers, without line ends; the byte-order mark of spreadsheets is left out.
function reading.lines(path)
  local file, message = reading.open(path)
  if not file then error(message, 0) end
  local number, next_line = 0, file:lines()
  return function()
    local line = next_line()
    if not line then return file:close() and nil end
    number = number + 1
    if number == 1 then line = line:gsub("^\xEF\xBB\xBF", "") end
    return number, line:byte(-1) == 13 and line:sub(1, -2) or line
  end
end

-- A caption on one line: line ends and runs of blanks are one blank, none at the ends.
function reading.clean(text) return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")) end

-- A CSV field: without its quotes, "" is a quote.
function reading.unquote(field)
  local inner = field:match '^%s*"(.*)"%s*$'
  return inner and inner:gsub('""', '"') or field
end

local entities = {amp = "&", lt = "<", gt = ">", quot = '"', apos = "'", nbsp = " ", eacute = "é", egrave = "è", ntilde = "ñ", ccedil = "ç",
                  ndash = "–", mdash = "—", hellip = "…", rsquo = "’", lsquo = "‘", ldquo = "“", rdquo = "”", reg = "®", trade = "™", copy = "©",
                  frac12 = "½", frac14 = "¼", deg = "°", raquo = "»", laquo = "«", bull = "•", middot = "·"}

-- HTML entities as characters; what is unknown stays.
function reading.entities(text)
  return (text:gsub("&(#?%w+);", function(name)
    local code = name:match "^#(%d+)$" or name:match "^#[xX](%x+)$" and tonumber(name:sub(3), 16)
    code = tonumber(code)
    if code and code > 0 and code < 0x110000 and not (code >= 0xD800 and code < 0xE000) then return utf8.char(code) end
    return entities[name]
  end))
end

-- fn(number, row) for each JSON object of a file with one a line; a line that is none is skipped. From the second pass on (`records`
-- nil) bad lines are passed over without a word.
function reading.jsonl(path, records, fn)
  for number, line in reading.lines(path) do
    if line:find "%S" then
      local ok, row = pcall(store.json_decode, line, {where = "line"})
      if not ok then
        if records then records:skip(number, (tostring(row):gsub("^line:1:", "column "):gsub("^.-line:1:", "column "))) end
      elseif type(row) ~= "table" then
        if records then records:skip(number, "no JSON object") end
      else
        fn(number, row)
      end
    end
  end
end

-- A JSON file's elements: see vbl.data.c.json_each.
function reading.json_each(path, keys, fn)
  local wanted = {}
  for _, key in ipairs(keys) do wanted[key] = true end
  return c.json_each(path, wanted, fn)
end

-- The same for elements that are objects; one that is none is skipped, without a word where `records` is nil.
function reading.json_objects(path, key, records, fn)
  return reading.json_each(path, {key}, function(_, item, number)
    if type(item) == "table" then return fn(item, number) end
    if records then records:skip(("%s %d"):format(key:gsub("s$", ""), number), "no object") end
  end)
end

function reading.records(folder, base) return c.records(folder, base) end

-- What an id is as a string: integers in decimal.
function reading.id(value) return math.type(value) == "integer" and ("%d"):format(value) or type(value) == "string" and value or nil end

return reading

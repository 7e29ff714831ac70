-- Which reader a data set's name means.
--   find.names -> {reader's name, ...}      find.reader(name) -> the reader (lua/vbl/data/readers/NAME.lua)
--   find.add(reader)   one more
--   find.source("coco:/data/coco" or "/data/coco") -> reader, path, what was found there (nil where the reader was named)
local nearest = require "vbl.nearest"
local reading = require "vbl.data.reading"

local find = {
  names = {"captions", "cc3m", "cc12m", "webdataset", "coco", "flickr30k", "flickr8k", "hateful_memes", "mmimdb", "upmc_food", "vqa2", "easy_vqa",
           "jsonl", "csv", "files", "itm"},
}

function find.reader(name) return require("vbl.data.readers." .. name) end

local needed = {{"name", "string"}, {"expects", "string"}, {"options", "table"}, {"found", "function"}, {"read", "function"}}

local function refuse(message, ...) error(("vbl.data.add_reader: " .. message):format(...), 4) end

-- A reader of a script's own, from then on one of the names.
function find.add(reader)
  for _, field in ipairs(needed) do
    local got = type(reader) == "table" and type(reader[field[1]]) or "nil"
    if got ~= field[2] then refuse("expected a reader with %s, a %s (got %s); the head of lua/vbl/data/reading.lua says what each is", field[1], field[2], got) end
  end
  local name, known = reader.name, {scenes = true, packed = true}
  for _, other in ipairs(find.names) do known[other] = true end
  if known[name] then refuse("there is a data set '%s' already", name) end
  if not name:find "^[%a_][%w_]*$" then refuse("expected letters, digits and _ as a name, got '%s'", name) end
  package.loaded["vbl.data.readers." .. name] = reader
  find.names[#find.names + 1] = name
end

-- Files that say what they are by their names.
local by_name = {
  {"%.tar$", "webdataset"}, {"%.jsonl$", "jsonl"}, {"%.csv$", "csv"}, {"^cc12m.*%.tsv$", "cc12m"}, {"_GCC%-.*%.tsv$", "cc3m"}, {"%.tsv$", "captions"},
}

local function of_file(path)
  local _, name = reading.split_path(path)
  for _, row in ipairs(by_name) do
    if name:find(row[1]) then return find.reader(row[2]), path end
  end
end

-- Forms that another one also fits: the particular one counts.
local covers = {hateful_memes = "jsonl", cc3m = "csv"}

local function of_folder(path)
  local found, names, covered = {}, {}, {}
  for _, name in ipairs(find.names) do
    local what = find.reader(name).found(path)
    if what then
      found[name] = what
      covered[covers[name] or ""] = true
    end
  end
  for _, name in ipairs(find.names) do
    if found[name] and not covered[name] then names[#names + 1] = name end
  end
  if #names == 1 then return find.reader(names[1]), path, found[names[1]] end
  if #names == 0 then
    local lines = {}
    for i, name in ipairs(find.names) do lines[i] = ("  %-14s %s"):format(name, find.reader(name).expects) end
    error(("%s: no data set that is known by its files. Name the reader (NAME:%s):\n%s"):format(path, path, table.concat(lines, "\n")), 0)
  end
  for i, name in ipairs(names) do names[i] = ("%s:%s (%s)"):format(name, path, found[name]) end
  error(("%s: several data sets lie here; choose one: %s"):format(path, table.concat(names, ", ")), 0)
end

local function is_name(word)
  for _, name in ipairs(find.names) do
    if name == word then return true end
  end
end

-- What names no data set: a reader without its path, a path where nothing lies, a file of no known form, a misspelt word.
local function refuse_source(name)
  local readers = table.concat(find.names, ", ")
  if is_name(name) then error(("vbl.data.open: %s needs a path, %s:PATH: %s"):format(name, name, find.reader(name).expects), 0) end
  if reading.is_file(name) then error(("%s: its name does not say what it holds; name the reader, READER:%s (readers: %s)"):format(name, name, readers), 0) end
  if name:find "/" or name:find "%.%w+$" then
    error(("%s: No such file or folder (a data set is scenes, READER:PATH, or a path; readers: %s)"):format(name, readers), 0)
  end
  local words = {"scenes", table.unpack(find.names)}
  error(("vbl.data.open: no data set '%s'%s (scenes, READER:PATH, or a path; readers: %s)"):format(name, nearest.hint(name, words), readers), 0)
end

function find.source(name)
  local word, path = name:match "^([%a_][%w_]*):(.+)$"
  if word then
    if is_name(word) then return find.reader(word), path end
    if word == "scenes" then error(("vbl.data.open: scenes is drawn from a seed and takes no path, got '%s'"):format(name), 0) end
    error(("vbl.data.open: no data set '%s'%s (scenes, %s)"):format(word, nearest.hint(word, find.names), table.concat(find.names, ", ")), 0)
  end
  if reading.is_folder(name) then return of_folder(name) end
  local reader = of_file(name)
  if reader and (reading.is_file(name) or reader.name == "webdataset" or name:find "/") then return reader, name end
  refuse_source(name)
end

return find

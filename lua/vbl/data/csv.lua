-- Tables with a header: CSV as RFC 4180 has it (fields in quotes may hold the separator, "" and line ends), separated by commas, semicolons or
-- tabs, whichever the header has most of.
--   csv.each(path, records, fn)      fn(number, row) for each row, row: name -> field of a header's names in lower case, number: of its first
--                                    line. A row of another number of fields, or with a quote that does not close, is skipped with its reason
--                                    (without a word where `records` is nil)
local reading = require "vbl.data.reading"

local csv = {}

local MOST_LINES = 1000  -- of one row: a quote too many must not swallow the rest of a file

local function separator_of(header)
  local best, most = ",", 0
  for _, separator in ipairs {",", ";", "\t"} do
    local _, count = header:gsub(separator, "")
    if count > most then best, most = separator, count end
  end
  return best
end

local function closes(text)
  local _, quotes = text:gsub('"', "")
  return quotes % 2 == 0
end

-- The fields of a row whose quotes close, or nil and what is wrong.
local function fields_of(text, separator)
  local fields, at = {}, 1
  repeat
    local first, last = text:find('^%s*"', at)
    local field
    if first and not text:sub(first, last):find(separator, 1, true) then
      local from, stop = last + 1, last + 1
      repeat
        stop = text:find('"', stop, true)
        local double = text:sub(stop + 1, stop + 1) == '"'
        stop = double and stop + 2 or stop
      until not double
      field = text:sub(from, stop - 1):gsub('""', '"')
      at = stop + 1
      local after = text:match("^[ \r]*", at)
      at = at + #after
      if at <= #text and text:sub(at, at) ~= separator then return nil, "text after a closing quote" end
    else
      local stop = text:find(separator, at, true) or #text + 1
      field = text:sub(at, stop - 1)
      at = stop
    end
    fields[#fields + 1] = field
    local more = at <= #text
    at = at + 1
  until not more
  return fields
end

-- Rows as text, with the number of their first line; a row with line ends in quotes is put together. broken(number): a quote does not close.
local function rows(path, broken)
  local next_line, waiting, ended = reading.lines(path), {}, false  -- waiting: lines that were read on trial, the next one last
  local function line()
    local kept = table.remove(waiting)
    if kept then return table.unpack(kept) end
    if ended then return nil end
    local number, text = next_line()
    ended = number == nil
    return number, text
  end
  return function()
    local number, text = line()
    while number do
      local read, whole = {}, {text}
      local closed = closes(text)
      while not closed and #whole < MOST_LINES do
        local k, more = line()
        if not k then break end
        read[#read + 1], whole[#whole + 1] = {k, more}, more
        closed = not closes(more)
      end
      if closed then return number, table.concat(whole, "\n") end
      for i = #read, 1, -1 do waiting[#waiting + 1] = read[i] end
      broken(number)
      number, text = line()
    end
  end
end

function csv.each(path, records, fn)
  local names, separator
  local function skip(number, ...) if records then records:skip(number, ...) end end
  for number, text in rows(path, function(number) skip(number, "a quote does not close") end) do
    if not text:find "%S" then goto next end
    separator = separator or separator_of(text)
    local fields, wrong = fields_of(text, separator)
    if not names then
      names = fields or {}
      for i, name in ipairs(names) do names[i] = reading.clean(name):lower() end
    elseif not fields or #fields ~= #names then
      skip(number, wrong or ("%d fields; the header has %d"):format(#fields, #names))
    else
      local row = {}
      for i, name in ipairs(names) do row[name] = fields[i] end
      fn(number, row)
    end
    ::next::
  end
end

-- The names of a file's header, in lower case; {} of none.
function csv.header(path)
  local file = reading.open(path)
  local line = file and file:read "l" or ""
  if file then file:close() end
  line = line:gsub("^\xEF\xBB\xBF", ""):gsub("\r$", "")
  local names = {}
  for i, name in ipairs(closes(line) and fields_of(line, separator_of(line)) or {}) do names[i] = reading.clean(name):lower() end
  return names
end

return csv

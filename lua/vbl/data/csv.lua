-- Tables with a header: CSV as RFC 4180 has it (fields in quotes may hold the separator, "" and line ends), separated by commas, semicolons or
-- tabs, whichever the header has most of.
--   csv.each(path, records, fn)      fn(number, row) for each row, row: name -> field of a header's names in lower case, number: of its first
--                                    line. A row of another number of fields, or with a quote that does not close, is skipped with its reason
--                                    (without a word where `records` is nil)
local reading = require "vbl.data.reading"

local csv = {}

local MOST_LINES = 1000  -- of one row

local function separator_of(header)
  local best, most = ",", 0
  for _, separator in ipairs {",", ";", "\t"} do
    local _, count = header:gsub(separator, "")
    if count > most then best, most = separator, count end
  end
  return best
end

-- From the quote at `at` on: the field, and where the text goes on behind it; nil where it does not close.
local function quoted(text, at)
  local from, stop = at + 1, at + 1
  while true do
    stop = text:find('"', stop, true)
    if not stop then return nil end
    if text:sub(stop + 1, stop + 1) ~= '"' then return text:sub(from, stop - 1):gsub('""', '"'), text:find("[^ \r]", stop + 1) or #text + 1 end
    stop = stop + 2
  end
end

-- The fields of a row, or nil and what is wrong; OPEN where a field in quotes does not end in this text. Within a field without quotes a quote sign is one.
local OPEN, AFTER = "a quote does not close", "text after a closing quote"

local function fields_of(text, separator)
  local fields, at = {}, 1
  repeat
    local quote, field = text:match('^ *()"', at), nil
    if quote then
      field, at = quoted(text, quote)
      if not field then return nil, OPEN end
      if at <= #text and text:sub(at, at) ~= separator then return nil, AFTER end
    else
      local stop = text:find(separator, at, true) or #text + 1
      field, at = text:sub(at, stop - 1), stop
    end
    fields[#fields + 1] = field
    local more = at <= #text
    at = at + 1
  until not more
  return fields
end

local function wrong_count(fields, count) return ("%d field%s; the header has %d"):format(#fields, #fields == 1 and "" or "s", count) end

-- A file's lines, of which some can be given back to be read again.
local function lines_of(path)
  local next_line, waiting, ended = reading.lines(path), {}, false  -- waiting: the next one last
  local lines = {}
  function lines.next()
    local kept = table.remove(waiting)
    if kept then return kept[1], kept[2] end
    if ended then return nil end
    local number, text = next_line()
    ended = number == nil
    return number, text
  end
  function lines.back(list)
    for i = #list, 1, -1 do waiting[#waiting + 1] = list[i] end
  end
  return lines
end

-- The row that begins with this line, put together where a field in quotes has line ends. Nil and what is wrong with the line, whose followers are
-- rows of their own then: a quote too many must not swallow them.
local function row_of(lines, text, separator, count)
  local fields, wrong = fields_of(text, separator)
  if wrong ~= OPEN then
    if fields and count and #fields ~= count then return nil, wrong_count(fields, count) end
    return fields, wrong
  end
  local read, whole = {}, {text}
  while #whole < MOST_LINES do
    local number, more = lines.next()
    if not number then break end
    read[#read + 1], whole[#whole + 1] = {number, more}, more
    if more:find('"', 1, true) then
      fields, wrong = fields_of(table.concat(whole, "\n"), separator)
      if fields and (not count or #fields == count) then return fields end
      if wrong ~= OPEN then break end
    end
  end
  lines.back(read)
  return nil, OPEN
end

-- The names in lower case; two columns of one name are an error.
local function header_of(fields, path)
  local names, seen = {}, {}
  for i, field in ipairs(fields) do
    local name = reading.clean(field):lower()
    if seen[name] and name ~= "" then error(("%s: two columns are named '%s'"):format(path, name), 0) end
    names[i], seen[name] = name, true
  end
  return names
end

function csv.each(path, records, fn)
  local lines = lines_of(path)
  local names, separator
  for number, text in lines.next do
    if text:find "%S" then
      separator = separator or separator_of(text)
      local fields, wrong = row_of(lines, text, separator, names and #names)
      if not names then
        names = header_of(fields or {}, path)
      elseif fields then
        local row = {}
        for i, name in ipairs(names) do row[name] = fields[i] end
        fn(number, row)
      elseif records then
        records:skip(number, wrong)
      end
    end
  end
end

-- The names of a file's header, in lower case; {} of none.
function csv.header(path)
  local line = reading.first_line(path) or ""
  return header_of(fields_of(line, separator_of(line)) or {}, path)
end

return csv

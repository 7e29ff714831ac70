-- Tables of text: .csv (RFC 4180: quotes where needed, "" for a quote inside) and .tsv (no quotes; a field holds no tab or line end).
-- table.parse(text, separator, where) -> rows, each an array of strings      separator: "," or "\t"
-- table.format(rows, separator, where) -> text; a field is a string, a number or a boolean
local delimited = {}

-- The quoted field that opens at `at`; returns it and the place after its closing quote.
local function quoted(text, at, where)
  local parts, from = {}, at + 1
  while true do
    local quote = text:find('"', from, true)
    if not quote then
      local _, line = text:sub(1, at):gsub("\n", "")
      error(("%s:%d: a quoted field does not end"):format(where, line + 1), 0)
    end
    parts[#parts + 1] = text:sub(from, quote - 1)
    if text:byte(quote + 1) ~= 34 then return table.concat(parts), quote + 1 end
    parts[#parts + 1] = '"'
    from = quote + 2
  end
end

function delimited.parse(text, separator, where)
  local rows, row, at = {}, {}, 1
  local stop = separator == "\t" and "[\t\n]" or "[,\n]"
  if text:sub(1, 3) == "\xEF\xBB\xBF" then at = 4 end  -- the byte-order mark of spreadsheets
  while at <= #text do
    local field
    if separator == "," and text:byte(at) == 34 then
      field, at = quoted(text, at, where)
      local after = text:find("[,\n]", at) or #text + 1
      if text:sub(at, after - 1):find "[^\r]" then
        error(("%s: row %d: text after a quoted field: %q"):format(where, #rows + 1, text:sub(at, after - 1)), 0)
      end
      at = after
    else
      local after = text:find(stop, at) or #text + 1
      field = text:sub(at, after - 1)
      if text:byte(after) ~= separator:byte() then field = field:gsub("\r$", "") end
      at = after
    end
    row[#row + 1] = field
    if text:byte(at) == separator:byte() then
      if at == #text then row[#row + 1] = "" end
    else
      rows[#rows + 1], row = row, {}
    end
    at = at + 1
  end
  if #row > 0 then rows[#rows + 1] = row end
  return rows
end

local function field_text(value, separator, where, row)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    error(("%s: row %d: a %s cannot be a field"):format(where, row, kind), 0)
  end
  local text = math.type(value) == "float" and ("%.17g"):format(value) or tostring(value)
  if math.type(value) == "float" and tonumber(("%.15g"):format(value)) == value then text = ("%.15g"):format(value) end
  if separator == "," and text:find '[",\r\n]' then return '"' .. text:gsub('"', '""') .. '"' end
  if separator == "\t" and text:find "[\t\r\n]" then
    error(("%s: row %d: a field with a tab or a line end; write .csv"):format(where, row), 0)
  end
  return text
end

function delimited.format(rows, separator, where)
  local lines = {}
  for i, row in ipairs(rows) do
    local fields = {}
    for j, value in ipairs(row) do fields[j] = field_text(value, separator, where, i) end
    lines[i] = table.concat(fields, separator) .. "\n"
  end
  return table.concat(lines)
end

return delimited

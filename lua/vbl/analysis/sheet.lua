-- What an analysis returns: a table of rows that prints, is saved and draws itself.
--   sheet.new{title=, note=, columns = {"layer", ...}, rows = {{..}, ..}, figure = function(self, base) -> boolean, text = function(self) -> string}
--   sheet.aligned(columns, rows) -> the text of a table
--   tostring(s)         the title, the note and the rows in columns (or what `text` gives)
--   s:save(base)        base.tsv (columns, rows) and base.json {title, note, columns, rows; of matrices also low, high, chance}
--   s:draw(base)        base.svg and base.png; false without gnuplot, or where the analysis has no picture
--   s:column("layer")   its values, a list;  s:where(column number, cell)  its rows that hold the cell
--   s:values({partner = "matched", measure = "cka"}[, "value"])     numbers of a column where the others hold these, in order; NaN: undefined
--   sheet.series(rows, pick) -> the series of a figure, in order of appearance; pick(row) -> name, x, cell[, low, high], or nil to leave it out
-- Cells are strings, numbers or booleans; a number that is undefined is its status, "ZERO_VARIANCE", where one is known, else "nan".
local c = require "vbl.store.c"
local layout = require "vbl.columns"
local nearest = require "vbl.nearest"
local store = require "vbl.store"

local sheet = {}

local Sheet = {}
Sheet.__index = Sheet

function sheet.new(made) return setmetatable(made, Sheet) end

-- The value, or the status that stands for it.
function sheet.cell(value, record)
  if value == nil then return "" end
  if value == value then return value end
  return record and record.status ~= "OK" and record.status or "nan"
end

-- A cell as a number; NaN where it holds none.
function sheet.number(cell) return type(cell) == "number" and cell or 0 / 0 end

function sheet.series(rows, pick)
  local list, by_name = {}, {}
  for _, row in ipairs(rows) do
    local name, x, cell, low, high = pick(row)
    local s = name and by_name[name]
    if name and not s then
      s = {name = name, x = {}, y = {}, low = low and {}, high = high and {}, dashed = name:find "^chance" ~= nil, broken = name:find "mismatched" ~= nil}
      by_name[name], list[#list + 1] = s, s
    end
    if s then
      for key, v in pairs {x = x, y = sheet.number(cell), low = low, high = high} do table.insert(s[key], v) end
    end
  end
  return list
end

local function shown(value)
  if math.type(value) ~= "float" then return tostring(value) end
  if value ~= value then return "nan" end
  return math.abs(value) < 1e5 and ("%.4f"):format(value) or ("%.4g"):format(value)
end

function sheet.aligned(columns, rows)
  local lines = {}
  for i = 0, #rows do
    lines[i + 1] = {}
    for j = 1, #columns do lines[i + 1][j] = shown((i == 0 and columns or rows[i])[j]) end
  end
  return table.concat(layout(lines, function(i, j) return i > 1 and type(rows[i - 1][j]) == "number" end), "\n")
end

function Sheet:__tostring()
  local head = self.title .. "\n" .. (self.note and self.note .. "\n" or "")
  return head .. (self.text and self:text() or sheet.aligned(self.columns, self.rows) .. "\n")
end

local function tsv_rows(self)
  local rows = {self.columns}
  for i, row in ipairs(self.rows) do
    local cells = {}
    for j = 1, #self.columns do
      local v = row[j]
      cells[j] = type(v) == "number" and v ~= v and "nan" or v
    end
    rows[i + 1] = cells
  end
  return rows
end

-- The folder of a file to be written.
function sheet.make_folder(path)
  local folder = path:match "^(.*)/[^/]*$"
  if folder and folder ~= "" then c.make_folder(folder) end
end

function Sheet:save(base)
  sheet.make_folder(base)
  store.save(base .. ".tsv", tsv_rows(self))
  local plain = {title = self.title, note = self.note, columns = self.columns, rows = self.rows, low = self.low, high = self.high, chance = self.chance}
  c.write_atomic(base .. ".json", c.json_encode(plain, {indent = 2, nan = "string"}) .. "\n")
end

function Sheet:draw(base) return self.figure ~= nil and self:figure(base) end

function Sheet:column(name)
  for j, known in ipairs(self.columns) do
    if known == name then
      local list = {}
      for i, row in ipairs(self.rows) do list[i] = row[j] end
      return list
    end
  end
  error(("sheet: no column '%s'%s"):format(tostring(name), nearest.hint(tostring(name), self.columns)), 2)
end

function Sheet:values(wanted, name)
  local columns, list, from = {}, {}, name or "value"
  for key in pairs(wanted) do columns[key] = self:column(key) end
  for i, cell in ipairs(self:column(from)) do
    local same = true
    for key, value in pairs(wanted) do same = same and columns[key][i] == value end
    if same then list[#list + 1] = sheet.number(cell) end
  end
  return list
end

function Sheet:where(column, cell)
  local rows = {}
  for _, row in ipairs(self.rows) do
    if row[column] == cell then rows[#rows + 1] = row end
  end
  return rows
end

return sheet

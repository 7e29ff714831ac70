-- The object that report and report_layers return: `rows` (an array of tables) and `settings`; print it, r:row(measure[, layer]),
-- r:totable() (a copy of the rows), r:save(path) as .json or .tsv.
local c = require "vbl.store.c"
local layout = require "vbl.columns"
local store = require "vbl.store"

local Report = {}
Report.__index = Report

local columns = {"layer", "measure", "value", "lo", "hi", "chance", "null_mean", "null_q95", "p", "q", "calibrated", "n", "k", "null",
                 "seconds", "status", "warnings", "note"}

local function number(v)
  if v == nil then return "" end
  if v ~= v then return "nan" end
  if math.type(v) == "integer" then return tostring(v) end
  return (v ~= 0 and math.abs(v) < 1e-3 or math.abs(v) >= 1e5) and ("%.2e"):format(v) or ("%.4f"):format(v)
end

local function remarks(row)
  local parts = {}
  if row.status ~= "OK" then parts[1] = row.status end
  for _, w in ipairs(row.warnings or {}) do parts[#parts + 1] = w end
  if row.at then parts[#parts + 1] = "at " .. row.at end
  if row.null == "swap" then parts[#parts + 1] = "null: rows of both clouds dealt anew" end
  if row.null == "none" then parts[#parts + 1] = "one matrix: no null" end
  if row.note then parts[#parts + 1] = row.note end
  return table.concat(parts, ", ")
end

local function cells(row, has)
  local interval = row.lo and ("[%s, %s]"):format(number(row.lo), number(row.hi)) or ""
  local list = {row.measure, number(row.value), interval, number(row.chance), number(row.null_q95), number(row.p)}
  if has.layer then table.insert(list, 1, row.layer or "") end
  if has.q then list[#list + 1] = number(row.q) end
  list[#list + 1] = number(row.calibrated)
  list[#list + 1] = ("%.1f"):format(row.seconds or 0)
  list[#list + 1] = remarks(row)
  return list
end

local function head(has, s)
  local list = {"measure", "value", ("%g %% interval"):format(100 * (1 - s.alpha)), "chance", ("null %g %%"):format(100 * (1 - s.alpha)), "p"}
  if has.layer then table.insert(list, 1, "layer") end
  if has.q then list[#list + 1] = "q" end
  for _, name in ipairs {"calibrated", "s", "remarks"} do list[#list + 1] = name end
  return list
end

function Report:__tostring()
  local has = {}
  for _, row in ipairs(self.rows) do
    has.layer, has.q = has.layer or row.layer ~= nil, has.q or row.q ~= nil
  end
  local lines = {head(has, self.settings)}
  for i, row in ipairs(self.rows) do lines[i + 1] = cells(row, has) end
  return table.concat(layout(lines), "\n")
end

-- The row of a measure (its label), of a layer where there are layers; nil when there is none.
function Report:row(measure, layer)
  for _, row in ipairs(self.rows) do
    if row.measure == measure and (layer == nil or row.layer == layer) then return row end
  end
end

function Report:totable()
  local out = {}
  for i, row in ipairs(self.rows) do
    out[i] = {}
    for key, value in pairs(row) do out[i][key] = value end
  end
  return out
end

local function text(value)
  if value == nil then return "" end
  if type(value) == "table" then return table.concat(value, " ") end
  return value
end

local function delimited(rows)
  local lines = {columns}
  for i, row in ipairs(rows) do
    lines[i + 1] = {}
    for j, name in ipairs(columns) do lines[i + 1][j] = text(row[name]) end
  end
  return lines
end

-- .json: {settings, rows}, NaN as the string "NaN"; .tsv and .csv: one line a row.
function Report:save(path)
  if path:match "%.json$" then
    local s = self.settings
    local document = {rows = self:totable(), settings = {null = s.null, interval = s.interval, draws = s.draws, seed = s.seed, alpha = s.alpha}}
    return c.write_atomic(path, c.json_encode(document, {indent = 2, nan = "string"}) .. "\n")
  end
  if not path:match "%.[tc]sv$" then error(("%s: a report is saved as .json, .tsv or .csv"):format(path), 2) end
  return store.save(path, delimited(self.rows))
end

return function(rows, s) return setmetatable({rows = rows, settings = s}, Report) end

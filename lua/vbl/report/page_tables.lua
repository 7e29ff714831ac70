-- Tables of a page (vbl.report.html) beside the summary's; tables of groups of runs are vbl.report.table.
--   tables.alignment(run) -> markup or nil        result.json's alignment before and after
--   tables.sheets(run) -> markup or nil           what experiments/analyse.lua wrote (RUN/analysis/*.json)
--   tables.coverage(run) -> markup                what the data set held, and what of it was skipped
local c = require "vbl.store.c"
local markup = require "vbl.report.markup"
local sorted_keys = require "vbl.sorted_keys"
local system = require "vbl.system.c"
local titles = require "vbl.plot.titles"

local tables = {}

local e, text = markup.element, markup.text

-- Four decimals under each other; NaN in words.
local function shown(v)
  if v == nil or v == c.null then return "" end
  if math.type(v) ~= "float" then return tostring(v) end
  return math.abs(v) < 1e5 and ("%.4f"):format(v) or markup.number(v)
end

-- Measures of all rows of partner -> {row by layer}, sorted; not what describes the row.
local function measures_of(results)
  local names, seen = {}, {layer = true, coattention = true, n = true}
  for _, list in pairs(results) do
    for name in pairs(list[1] or {}) do
      if not seen[name] then names[#names + 1], seen[name] = name, true end
    end
  end
  table.sort(names)
  return names
end

local partners = {"matched", "mismatched", "none"}

-- partner -> one record a layer, before and after: a row a measure and layer, before, after and change of each partner.
function tables.alignment(run)
  local alignment = run.result.alignment
  local before, after = alignment and alignment.before or {}, alignment and alignment.after or {}
  local present, columns, rows, numeric = {}, {"measure", "layer"}, {}, {}
  for _, partner in ipairs(partners) do
    if before[partner] or after[partner] then
      present[#present + 1] = partner
      for _, part in ipairs {"before", "after", "change"} do columns[#columns + 1], numeric[#columns + 1] = partner .. " " .. part, true end
    end
  end
  for _, measure in ipairs(measures_of(next(after) and after or before)) do
    for layer, first in ipairs(after[present[1]] or before[present[1]] or {}) do
      local row = {titles.of(measure), first.layer or layer - 1}
      for _, partner in ipairs(present) do
        local a, b = (before[partner] or {})[layer], (after[partner] or {})[layer]
        a, b = a and tonumber(a[measure]), b and tonumber(b[measure])
        for _, v in ipairs {a or "", b or "", a and b and b - a or ""} do row[#row + 1] = shown(v) end
      end
      rows[#rows + 1] = row
    end
  end
  return #rows > 0 and markup.table {columns = columns, rows = rows, numeric = numeric} or nil
end

-- Maps and curves over epochs are drawn; the others are read.
local function is_table(name) return not name:find "matrix" and not name:find "^evolution" and not name:find "^scatter" end

local ROWS = 240

-- Columns NAME, NAME_lo, NAME_hi are one: value and interval.
local function columns_of(sheet)
  local list, j = {}, 1
  while j <= #sheet.columns do
    local name = sheet.columns[j]
    local interval = sheet.columns[j + 1] == name .. "_lo" and sheet.columns[j + 2] == name .. "_hi"
    list[#list + 1] = {name = interval and name .. " [interval]" or name, at = j, interval = interval}
    j = j + (interval and 3 or 1)
  end
  return list
end

local function body_of(sheet)
  local columns, names, rows, numeric = columns_of(sheet), {}, {}, {}
  for k, column in ipairs(columns) do names[k] = column.name end
  for i = 1, math.min(#sheet.rows, ROWS) do
    rows[i] = {}
    for k, column in ipairs(columns) do
      local v, low, high = table.unpack(sheet.rows[i], column.at, column.at + 2)
      rows[i][k] = shown(v)
      if column.interval and type(low) == "number" and type(high) == "number" then
        rows[i][k] = markup.raw(text(shown(v)) .. " " .. e("small", nil, ("[%.3f, %.3f]"):format(low, high)))
      end
      numeric[k] = numeric[k] or type(v) == "number"
    end
  end
  return markup.table {columns = names, rows = rows, numeric = numeric}
end

function tables.sheets(run)
  local parts = {}
  for _, name in ipairs(run.sheet_names) do
    local sheet = run.sheets[name]
    if is_table(name) then
      local more = #sheet.rows > ROWS and (", the first %d of %d rows"):format(ROWS, #sheet.rows) or ""
      parts[#parts + 1] = e("details", nil, e("summary", nil, text(sheet.title or name)),
                            e("p", {class = "note"}, text((sheet.note or "") .. " (analysis/" .. name .. ".tsv" .. more .. ")")),
                            body_of(sheet))
    end
  end
  return #parts > 0 and table.concat(parts) or nil
end

local NOTES = 40

local function notes_of(run)
  local path = run.path .. "/data_notes.txt"
  if not system.exists(path) then return "" end
  local lines, n = {}, 0
  for line in c.read_file(path):gmatch "[^\n]+" do
    n = n + 1
    if n <= NOTES then lines[n] = line end
  end
  if n == 0 then return "" end
  if n > NOTES then lines[#lines + 1] = ("... %d more lines in data_notes.txt"):format(n - NOTES) end
  return e("h3", nil, "Skipped, cut or odd") .. e("pre", nil, text(table.concat(lines, "\n")))
end

-- What the run said of its data when it opened it (before the line of the model): counting a large set again takes long.
local function described_in(log)
  local lines, inside = {}, false
  for line in log:gmatch "[^\n]* %- INFO %- ([^\n]*)" do
    inside = inside or line:find "^data " ~= nil
    if inside and line:find "^vilbert%(" then return table.concat(lines, "\n") end
    if inside then lines[#lines + 1] = line end
  end
end

function tables.coverage(run)
  local described = described_in(run.log) or run.data and run.data:describe()
  local skipped = run.log:match "data: %d+ bad records?, %d+ bad images?, %d+ captions? cut"
  local rows = {}
  for _, row in ipairs {{"train_pairs", "training pairs"}, {"test_pairs", "held-out pairs"}} do
    if run.manifest[row[1]] then rows[#rows + 1] = {row[2], run.manifest[row[1]]} end
  end
  local splits = type(run.manifest.splits) == "table" and run.manifest.splits or {}
  for _, name in ipairs(sorted_keys(splits)) do rows[#rows + 1] = {"split " .. name, splits[name]} end
  if run.config.test_samples then rows[#rows + 1] = {"pairs of an evaluation (at most)", run.config.test_samples} end
  if run.config.probe_samples then rows[#rows + 1] = {"pairs of the layer measures (at most)", run.config.probe_samples} end
  return (#rows > 0 and markup.table {columns = {"what", "number"}, rows = rows, numeric = {[2] = true}} or "") ..
    (described and e("pre", nil, text(described)) or "") .. (skipped and e("p", nil, "At its end the run had read: ", e("code", nil, text(skipped))) or "") ..
    (run.no_data and e("p", {class = "note"}, text("The data set was not opened for this page: " .. run.no_data .. ".")) or "") .. notes_of(run)
end

return tables

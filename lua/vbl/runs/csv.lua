-- Runs as comma-separated values, for pandas, R and spreadsheets. NaN is "NaN", infinities "Infinity" and "-Infinity"; what is not there
-- is empty. A text that a spreadsheet would compute, one that begins with = + - or @ and is no number, has an apostrophe before it: notes and names may
-- be a stranger's.
--   csv.metrics(record) -> text     step,epoch,split,name,value,time: a line each of metrics.jsonl
--   csv.runs(records) -> text       a line a run: id,name,status,kind,task,seed,created,tags,note, then every key of the configs
--                                   (config.model.placement) and every value (values.val.accuracy) that one of them has
local delimited = require "vbl.store.table"
local flatten = require "vbl.runs.flatten"
local values = require "vbl.config.values"

local csv = {}

local function inert(text) return text:find "^[=+%-@\t\r]" and not tonumber(text) and "'" .. text or text end

local function field(value)
  if value == nil then return "" end
  if type(value) == "table" then return values.show(value) end
  if value ~= value then return "NaN" end
  if value == math.huge or value == -math.huge then return value > 0 and "Infinity" or "-Infinity" end
  return type(value) == "string" and inert(value) or value
end

local function text_of(columns, rows)
  local sheet = {columns}
  for i, row in ipairs(rows) do
    sheet[i + 1] = {}
    for j, column in ipairs(columns) do sheet[i + 1][j] = field(row[column]) end
  end
  return delimited.format(sheet, ",", "csv")
end

function csv.metrics(record) return text_of({"step", "epoch", "split", "name", "value", "time"}, record:metrics()) end

function csv.runs(records)
  local columns = {"id", "name", "status", "kind", "task", "seed", "created", "tags", "note"}
  local rows, seen, more = {}, {}, {}
  for i, record in ipairs(records) do
    local extra = flatten(record.config, "config.")
    for key, value in pairs(record.values) do extra["values." .. key] = value end
    extra["config.seed"] = nil
    for key in pairs(extra) do
      if not seen[key] then more[#more + 1], seen[key] = key, true end
    end
    for _, column in ipairs(columns) do extra[column] = record[column] end
    extra.tags = table.concat(record.tags, " ")
    rows[i] = extra
  end
  table.sort(more)
  table.move(more, 1, #more, #columns + 1, columns)
  return text_of(columns, rows)
end

return csv

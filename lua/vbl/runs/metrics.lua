-- metrics.jsonl: one JSON object a line, keys in the order step, epoch, split, name, value, time. Doubles are written so that they
-- read back exactly; NaN and infinities are the strings "NaN", "Infinity", "-Infinity". `time` (seconds since 1970) is last and
-- alone differs between a run and its repetition.
--
--   metrics.line{step=, epoch=, split=, name=, value=, time=} -> the line with its end
--   metrics.read(path) -> array of those tables, numbers as numbers; a last line without its end (a killed writer) is left out. A line that is
--     none raises, with its place; so does a layer's number from metrics.MOST_LAYERS on
--   metrics.alarms(path) -> the same of warnings.jsonl: {step=, epoch=, kind=, text=}
--   metrics.without_time(text) -> the text without the times, to compare two runs
local c = require "vbl.store.c"
local nearest = require "vbl.nearest"
local shape = require "vbl.runs.shape"

local metrics = {}

local keys = {"step", "epoch", "split", "name", "value", "time"}
local metric = {step = "integer", epoch = "number", split = "string", name = "string", value = "number", time = "integer"}
local alarm = {step = "integer", epoch = "number", kind = "string", text = "string"}

function metrics.line(row)
  for key, value in pairs(row) do
    if not metric[key] then error(("metric: unknown key '%s'%s"):format(tostring(key), nearest.hint(key, keys)), 3) end
    local ok, message = pcall(shape.check, value, metric[key], "metric: " .. key)
    if not ok then error(message, 3) end
  end
  for _, key in ipairs {"step", "name", "value"} do
    if row[key] == nil then error(("metric: %s is missing"):format(key), 3) end
  end
  return c.json_encode(row, {order = keys, nan = "string"}) .. "\n"
end

local function lines_of(path, form, needed)
  local rows, number = {}, 0
  for line in c.read_file(path):gmatch "([^\n]*)\n" do
    number = number + 1
    local where = path .. ":" .. number
    local row = c.json_decode(line, {where = where, nan = "string"})
    shape.check(row, form, where)
    for _, key in ipairs(needed) do
      if row[key] == nil then error(("%s: %s is missing"):format(where, key), 0) end
    end
    rows[number] = row
  end
  return rows
end

-- Who draws the layers makes room for as many as the largest number says.
metrics.MOST_LAYERS = 1000

function metrics.read(path)
  local rows = lines_of(path, metric, {"step", "name", "value"})
  for number, row in ipairs(rows) do
    local layer = row.name:match "^layer%.(%d+)%."
    if layer and tonumber(layer) >= metrics.MOST_LAYERS then
      error(("%s:%d: name: expected a layer below %d, got %q"):format(path, number, metrics.MOST_LAYERS, row.name), 0)
    end
  end
  return rows
end

function metrics.alarms(path) return lines_of(path, alarm, {"kind", "text"}) end

function metrics.without_time(text) return (text:gsub(',"time":[^,}\n]*}', "}")) end

return metrics

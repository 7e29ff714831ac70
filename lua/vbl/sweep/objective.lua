-- What a sweep seeks: "max val.accuracy", "min test.loss.mlm", "min manifest.total_parameters". Without a direction, one of the metrics
-- whose direction everybody knows.
--
--   objective.read(given) -> {{name=, direction = "max"|"min"}, ...}     given: a string, or a list of them
--   objective.point(objectives, values) -> list of numbers to minimise     values: name -> number
--   objective.of_row(objectives, row, task) -> the name of the objective that a row of metrics.jsonl reports, or nil
--   objective.of_record(objectives, record) -> name -> value; what is missing is missing
--   objective.text(value[, digits = 6]) -> so many digits; counts, such as parameters, whole, and so their means over seeds
local nearest = require "vbl.nearest"

local objective = {}

local known = {
  {"^loss", "min"}, {"^accuracy", "max"}, {"^auroc", "max"}, {"^average_precision", "max"}, {"^f1_", "max"}, {"^vqa_accuracy", "max"},
  {"^r%d+_", "max"},
}

local function fail(format, ...) error(format:format(...), 0) end

local function direction_of(name)
  local metric = name:match "^%w+%.(.*)$"
  for _, row in ipairs(known) do
    if metric:find(row[1]) then return row[2] end
  end
  fail("sweep: objective '%s': say which way: \"max %s\" or \"min %s\"", name, name, name)
end

local sources = {"train", "val", "test", "manifest"}

local function read_one(text)
  if type(text) ~= "string" then fail("sweep: objective: expected a name such as \"val.accuracy\", got %s", tostring(text)) end
  local direction, name = text:match "^(%a+)%s+(.*)$"
  name = name or text
  if direction and direction ~= "max" and direction ~= "min" then
    fail("sweep: objective '%s': expected max or min before the name, got '%s'", text, direction)
  end
  local source = name:match "^(%w+)%.[^%s]+$"
  local found = false
  for _, s in ipairs(sources) do found = found or s == source end
  if not found then
    fail("sweep: objective '%s': expected SPLIT.METRIC such as val.accuracy or test.loss.mlm, or manifest.KEY such as manifest.total_parameters%s", name,
         nearest.hint(source or name, sources))
  end
  return {name = name, direction = direction or direction_of(name)}
end

function objective.read(given)
  local list, seen = {}, {}
  for i, text in ipairs(type(given) == "table" and given or {given}) do
    list[i] = read_one(text)
    if seen[list[i].name] then fail("sweep: objective '%s' is there twice", list[i].name) end
    seen[list[i].name] = true
  end
  if #list == 0 then fail 'sweep: objective is missing: what to seek, such as objective = "max val.accuracy"' end
  return list
end

function objective.point(objectives, values)
  local point = {}
  for i, o in ipairs(objectives) do point[i] = o.direction == "max" and -values[o.name] or values[o.name] end
  return point
end

-- metrics.jsonl has the task behind the metric, accuracy.hateful_memes; the objective may leave it out, as result.json does.
function objective.of_row(objectives, row, task)
  for _, o in ipairs(objectives) do
    local split, metric = o.name:match "^(%w+)%.(.*)$"
    if row.split == split and (row.name == metric or task and row.name == metric .. "." .. task) then return o.name end
  end
end

-- From result.json, else (an experiment that writes none) the last rows of metrics.jsonl; manifest.KEY from manifest.json.
function objective.of_record(objectives, record)
  local values, last = {}, nil
  for _, o in ipairs(objectives) do
    local key = o.name:match "^manifest%.(.*)$"
    if key then
      values[o.name] = record.manifest[key]
    elseif next(record.values) then
      values[o.name] = record.values[o.name]
    else
      last = last or record:last()
      values[o.name] = last[o.name] or record.task and last[o.name .. "." .. record.task]
    end
  end
  return values
end

function objective.text(value, digits)
  if value == math.floor(value) and math.abs(value) < 1e15 then return ("%d"):format(value) end
  local text = ("%." .. (digits or 6) .. "g"):format(value)
  return text:find("e+", 1, true) and math.abs(value) < 1e15 and ("%.0f"):format(value) or text
end

return objective

-- Which runs: `where` of vbl.runs.list.
-- query.test(record, where) -> boolean. where: a function(record), or a table of keys, all of which must hold:
--   {kind = "finetune", ["config.model.placement"] = "late", seed = {0, 1, 2}, tags = "paper", ["values.val.accuracy"] = function(v) return v > 0.9 end}
--   A key is a record's field and the way from there, by dots (names with dots in them are found too). What is wanted of it is a value, one of a list
--   of values, or a function(value) that returns true; a run without the field does not fit. A field that is itself a list (tags, freeze) fits when
--   one of its elements does.
-- query.get(record, key) -> value or nil
local nearest = require "vbl.nearest"

local query = {}

local fields = {"path", "name", "id", "status", "message", "kind", "task", "config", "manifest", "result", "values", "seed", "created", "tags", "note"}

-- The value at a.b.c of t, the longest names first: values["val.accuracy"] is at values.val.accuracy.
local function find(t, path)
  if type(t) ~= "table" then return nil end
  if t[path] ~= nil then return t[path] end
  if tonumber(path) and t[tonumber(path)] ~= nil then return t[tonumber(path)] end
  local dot = #path
  while true do
    dot = path:sub(1, dot - 1):match ".*()%."
    if not dot then return nil end
    local value = find(t[path:sub(1, dot - 1)], path:sub(dot + 1))
    if value ~= nil then return value end
  end
end

local function check_field(key)
  local first = tostring(key):match "^[^.]*"
  for _, field in ipairs(fields) do
    if field == first then return end
  end
  error(("runs: a run has no field '%s'%s (config keys are at config.%s)"):format(first, nearest.hint(first, fields), key), 0)
end

function query.get(record, key)
  check_field(key)
  return find(record, key)
end

local function holds(value, wanted)
  if value == nil then return false end
  if type(wanted) == "function" then return wanted(value) and true or false end
  if type(wanted) == "table" then
    for _, one in ipairs(wanted) do
      if holds(value, one) then return true end
    end
    return false
  end
  if type(value) == "table" then
    for _, item in ipairs(value) do
      if holds(item, wanted) then return true end
    end
    return false
  end
  if type(value) == "string" and math.type(wanted) then return tonumber(value) == wanted end  -- a tag 2024, asked for on a command line
  return value == wanted
end

function query.test(record, where)
  if where == nil then return true end
  if type(where) == "function" then return where(record) and true or false end
  for key, wanted in pairs(where) do
    if not holds(query.get(record, key), wanted) then return false end
  end
  return true
end

return query

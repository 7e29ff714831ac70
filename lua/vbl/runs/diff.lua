-- In what two runs differ.
-- diff(a, b) -> {config = rows, data = rows, versions = rows, metrics = metrics}
--   rows: {{key, value in a, value in b}, ...}, sorted by key, values as text; "-" where one has none. data: keys of the manifest about
--   data (data, data_hash, splits, *_pairs ...), versions: all its others (program, machine, device, parameter counts)
--   metrics: {common = series that both have, equal = of these, differ = {{name, step, a, b, last, last_a, last_b}, ...}, only_a = {names}, only_b}
--     name SPLIT.NAME; step: the first at which both have a value and the values differ; last: the last step that both have. Sorted by
--     step, then name.
local config_values = require "vbl.config.values"
local flatten = require "vbl.runs.flatten"

local function union(a, b)
  local keys = {}
  for key in pairs(a) do keys[#keys + 1] = key end
  for key in pairs(b) do
    if a[key] == nil then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

local function texts(t)
  local flat = flatten(t)
  for key, value in pairs(flat) do flat[key] = config_values.show(value) end
  return flat
end

local function rows_of(a, b, keep)
  local rows = {}
  a, b = texts(a), texts(b)
  for _, key in ipairs(union(a, b)) do
    if a[key] ~= b[key] and keep(key) then rows[#rows + 1] = {key, a[key] or "-", b[key] or "-"} end
  end
  return rows
end

local function about_data(key) return key:find "^data" or key:find "^splits" or key:find "_pairs$" or key:find "^vocab" end
local function about_versions(key) return key ~= "created" and not about_data(key) end
local function everything() return true end

-- {["SPLIT.NAME"] = {[step] = value}}
local function series(record)
  local all = {}
  for _, row in ipairs(record:metrics()) do
    local name = row.split and row.split .. "." .. row.name or row.name
    all[name] = all[name] or {}
    all[name][row.step] = row.value
  end
  return all
end

local function same(x, y) return x == y or x ~= x and y ~= y end

local function compare(name, a, b)
  local row = {name = name}
  for step, x in pairs(a) do
    local y = b[step]
    if y ~= nil then
      if not row.last or step > row.last then row.last, row.last_a, row.last_b = step, x, y end
      if not same(x, y) and (not row.step or step < row.step) then row.step, row.a, row.b = step, x, y end
    end
  end
  return row
end

local function metrics_of(a, b)
  local result = {common = 0, equal = 0, differ = {}, only_a = {}, only_b = {}}
  a, b = series(a), series(b)
  for _, name in ipairs(union(a, b)) do
    local row = a[name] and b[name] and compare(name, a[name], b[name])
    if row then
      result.common = result.common + 1
      if row.step then table.insert(result.differ, row) else result.equal = result.equal + 1 end
    else
      table.insert(a[name] and result.only_a or result.only_b, name)
    end
  end
  table.sort(result.differ, function(x, y)
    if x.step ~= y.step then return x.step < y.step end
    return x.name < y.name
  end)
  return result
end

return function(a, b)
  return {
    config = rows_of(a.config, b.config, everything), data = rows_of(a.manifest, b.manifest, about_data),
    versions = rows_of(a.manifest, b.manifest, about_versions), metrics = metrics_of(a, b),
  }
end

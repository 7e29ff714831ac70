-- In what two runs differ.
-- diff(a, b) -> {config = rows, data = rows, versions = rows, metrics = metrics}
--   rows: {{key, value in a, value in b}, ...}, sorted by key, values as text; "-" where one has none (of the config: and the other has not its default). data: keys of the manifest about
--   data (data, data_hash, splits, *_pairs ...), versions: all its others (program, machine, device, parameter counts)
--   metrics: {common = series that both have, equal = of these, differ = {{name, step, a, b, far, last, last_a, last_b}, ...}, only_a = {names}, only_b,
--     begins = {[name] = the first step that both have}, before = the last step that both have before the first that differs, or nil,
--     end_a, end_b = the last step of each, nil without metrics}
--     name SPLIT.NAME; step: the first at which both have a value and the values differ; far: {step, a, b}, the first at which they differ by more than
--     rounding does, or nil; last: the last step that both have. Sorted by step, then name.
-- Rounding: relative to the larger value 1e-5, which is what another order of summation gives in f32 (a pairwise sum of 10^6 terms errs by
-- 20 * 2^-24 = 1.2e-6, and some of them follow one another), or 2^-7, two units of bf16, where one of the runs has that precision.
local config_values = require "vbl.config.values"
local flatten = require "vbl.runs.flatten"
local options = require "vbl.train.options"

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
    if a[key] ~= b[key] and keep(key, a[key], b[key]) then rows[#rows + 1] = {key, a[key] or "-", b[key] or "-"} end
  end
  return rows
end

local function about_data(key) return key:find "^data" or key:find "^splits" or key:find "_pairs$" or key:find "^vocab" end
local function about_versions(key) return key ~= "created" and not about_data(key) end


-- A run from before a key came into being is as one that has the key's default.
local function about_config(key, x, y)
  local row = options.pretrain[key] or options.finetune[key]
  return not (row and (x == nil or y == nil) and (x or y) == config_values.show(row[2]))
end

-- {["SPLIT.NAME"] = {[step] = value}}, the last step
local function series(record)
  local all, last = {}, nil
  for _, row in ipairs(record:metrics()) do
    local name = row.split and row.split .. "." .. row.name or row.name
    all[name] = all[name] or {}
    all[name][row.step] = row.value
    last = math.max(last or row.step, row.step)
  end
  return all, last
end

local function same(x, y) return x == y or x ~= x and y ~= y end

local function rounding(a, b)
  for _, run in ipairs {a, b} do
    if run.manifest.precision == "bf16" then return 2 ^ -7 end
  end
  return 1e-5
end

local function far(x, y, tolerance) return not same(x, y) and not (math.abs(x - y) <= tolerance * math.max(math.abs(x), math.abs(y))) end

local function compare(name, a, b, tolerance, steps)
  local row = {name = name}
  for step, x in pairs(a) do
    local y = b[step]
    if y ~= nil then
      steps[step] = true
      row.begins = math.min(row.begins or step, step)
      if far(x, y, tolerance) and (not row.far or step < row.far.step) then row.far = {step = step, a = x, b = y} end
      if not row.last or step > row.last then row.last, row.last_a, row.last_b = step, x, y end
      if not same(x, y) and (not row.step or step < row.step) then row.step, row.a, row.b = step, x, y end
    end
  end
  return row
end

local function metrics_of(a, b)
  local result, tolerance = {common = 0, equal = 0, differ = {}, only_a = {}, only_b = {}, begins = {}}, rounding(a, b)
  local steps = {}
  a, result.end_a = series(a)
  b, result.end_b = series(b)
  for _, name in ipairs(union(a, b)) do
    local row = a[name] and b[name] and compare(name, a[name], b[name], tolerance, steps)
    if row then
      result.begins[name] = row.begins
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
  for step in pairs(result.differ[1] and steps or {}) do
    if step < result.differ[1].step then result.before = math.max(result.before or step, step) end
  end
  return result
end

return function(a, b)
  return {
    config = rows_of(a.config, b.config, about_config), data = rows_of(a.manifest, b.manifest, about_data),
    versions = rows_of(a.manifest, b.manifest, about_versions), metrics = metrics_of(a, b),
  }
end

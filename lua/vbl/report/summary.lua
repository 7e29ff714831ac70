-- What was run and what came of it, as tables.
--   summary.facts(runs) -> markup: status, time, size, one column a run
--   summary.values(runs) -> markup: the last and the best value of every metric, with intervals
--   summary.config(runs) -> markup: what differs between the runs; every key, its value, the default, marked where the two differ
--   summary.environment(runs) -> markup: manifest.json
local clock = require "vbl.report.clock"
local comma = require("vbl.models.summary").comma
local flatten = require "vbl.runs.flatten"
local markup = require "vbl.report.markup"
local metric_names = require "vbl.metric_names"
local show = require("vbl.config.values").show

local summary = {}

local function head(runs, first)
  local columns = {first}
  for i, run in ipairs(runs) do columns[i + 1] = #runs > 1 and run.short or "value" end
  return columns
end

local MOST = 4  -- runs that stand side by side; more of them stand below each other

-- A table of one column a run after the first (its names), turned where there are many runs.
local function by_run(runs, columns, rows, numeric)
  if #runs <= MOST then return markup.table {columns = columns, rows = rows, numeric = numeric} end
  local turned, names, right = {}, {"run"}, {}
  for k, row in ipairs(rows) do names[k + 1], right[k + 1] = row[1], numeric and true or nil end
  for i, run in ipairs(runs) do
    turned[i] = {run.short}
    for k, row in ipairs(rows) do turned[i][k + 1] = row[i + 1] end
  end
  return markup.table {columns = names, rows = turned, numeric = right}
end

local function lasting(seconds)
  if seconds < 60 then return ("%d s"):format(seconds) end
  if seconds < 3600 then return ("%d min %02d s"):format(seconds // 60, seconds % 60) end
  return ("%d h %02d min"):format(seconds // 3600, seconds // 60 % 60)
end

local function thousands(n) return n and comma(n) end

local function last_row(run) return run.rows[#run.rows] or {} end

local function best_of(run)
  local best = run.result.best
  if best and best.metric then return ("epoch %s, %s = %s"):format(best.epoch, best.metric, markup.number(best.value)) end
end

local facts = {
  {"status", function(run) return markup.raw(markup.element("span", {class = "status " .. run.status}, run.status)) end},
  {"kind", function(run) return run.kind and run.kind .. (run.task and ", " .. run.task or "") end},
  {"begun", function(run) return run.created end},
  {"training time", function(run)
    local seconds = clock.seconds(run)
    return seconds and lasting(math.floor(seconds + 0.5))
  end},
  {"reached", function(run)
    local row = last_row(run)
    return row.step and ("step %d%s%s"):format(row.step, run.manifest.steps and " of " .. run.manifest.steps or "", row.epoch and ", epoch " .. row.epoch or "")
  end},
  {"best checkpoint", best_of},
  {"throughput", function(run) return (clock.closing(run.log)) end},
  {"parameters", function(run) return thousands(run.manifest.total_parameters) end},
  {"training pairs", function(run) return thousands(run.manifest.train_pairs) end},
  {"held-out pairs", function(run) return thousands(run.manifest.test_pairs) end},
  {"data", function(run) return run.manifest.data end},
  {"seed", function(run) return run.seed and ("%d"):format(run.seed) end},
  {"tags", function(run) return #run.tags > 0 and table.concat(run.tags, ", ") or nil end},
  {"note", function(run) return run.note ~= "" and run.note or nil end},
  {"folder", function(run) return run.path end},
}

function summary.facts(runs)
  local rows = {}
  for _, fact in ipairs(facts) do
    local row, any = {fact[1]}, false
    for i, run in ipairs(runs) do
      row[i + 1] = fact[2](run) or ""
      any = any or row[i + 1] ~= ""
    end
    if any then rows[#rows + 1] = row end
  end
  return by_run(runs, head(runs, ""), rows)
end

-- ---- values

-- Whether b is better than a.
local function better(name, a, b)
  if metric_names.lower(name) or name:find "^rank%." then return b < a end
  return b > a
end

-- "SPLIT NAME" -> {first, last, best} rows; intervals: "SPLIT NAME.low"
local function evaluations(run)
  local found, names = {}, {}
  for _, row in ipairs(run.rows) do
    local split = row.split
    if (split == "test" or split == "val") and not row.name:find "^candidates" and not row.name:find "^left_out%." and not row.name:find "^layer%." then
      local key = split .. " " .. row.name
      local f = found[key]
      if not f then
        f = {first = row, last = row, best = nil, split = split, name = row.name}
        found[key], names[#names + 1] = f, key
      end
      f.last = row
      local counts = row.value == row.value and (row.epoch or 0) > 0 and not metric_names.neutral(row.name)
      if counts and (not f.best or better(row.name, f.best.value, row.value)) then f.best = row end
    end
  end
  return found, names
end

-- Under each other with the same digits.
local function shown(v)
  if math.type(v) == "integer" or v ~= v or math.abs(v) >= 1000 or (v ~= 0 and math.abs(v) < 0.001) then return markup.number(v) end
  return ("%.4f"):format(v)
end

local function with_interval(found, key, row)
  if not row then return "" end
  local low, high = found[key .. ".low"], found[key .. ".high"]
  local text = markup.text(shown(row.value))
  if low and row == found[key].last then
    text = text .. " " .. markup.element("small", nil, ("[%s, %s]"):format(shown(low.last.value), shown(high.last.value)))
  end
  return markup.raw(text)
end

local function one_run(run)
  local found, names = evaluations(run)
  local rows = {}
  for _, key in ipairs(names) do
    local f = found[key]
    if not f.name:find "%.low$" and not f.name:find "%.high$" then
      local best = f.best and markup.raw(markup.text(shown(f.best.value)) .. markup.element("small", nil, (" (%s)"):format(f.best.epoch))) or ""
      local before = (f.first.epoch or 1) == 0 and shown(f.first.value) or ""
      local name = markup.raw(markup.name(f.name) .. " " .. markup.element("small", nil, markup.text(f.split)))
      rows[#rows + 1] = {name, with_interval(found, key, f.last), best, before}
    end
  end
  if #rows == 0 then return nil end
  return markup.table {columns = {"metric", "last [95 % interval]", "best (epoch)", "before training"}, rows = rows, numeric = {[2] = true, [3] = true, [4] = true}}
end

local function several(runs)
  local found, keys, seen, rows = {}, {}, {}, {}
  for i, run in ipairs(runs) do
    local own
    found[i], own = evaluations(run)
    for _, key in ipairs(own) do
      if not seen[key] and not key:find "%.low$" and not key:find "%.high$" then keys[#keys + 1], seen[key] = key, true end
    end
  end
  local numeric = {}
  for _, key in ipairs(keys) do
    local row = {key}
    for i in ipairs(runs) do row[i + 1], numeric[i + 1] = found[i][key] and with_interval(found[i], key, found[i][key].last) or "", true end
    rows[#rows + 1] = row
  end
  return #rows > 0 and by_run(runs, head(runs, "last value [95 % interval]"), rows, numeric)
end

local function result_cell(run, name)
  local value, interval = run.values[name], run.result.intervals and run.result.intervals[name]
  if type(value) ~= "number" then return value or "" end
  if not interval then return metric_names.count(name:match "^%l+%.(.*)$" or name, value) or shown(value) end
  return markup.raw(markup.text(shown(value)) .. " " .. markup.element("small", nil, ("[%s, %s]"):format(shown(interval[1]), shown(interval[2]))))
end

-- result.json's values: those of the best checkpoint, the ones to quote.
local function results(runs)
  local names, rows, numeric = {}, {}, {}
  for _, run in ipairs(runs) do
    for name in pairs(run.values) do
      if not names[name] then names[name], names[#names + 1] = true, name end
    end
  end
  table.sort(names)
  for k, name in ipairs(names) do
    rows[k] = {name}
    for i, run in ipairs(runs) do rows[k][i + 1], numeric[i + 1] = result_cell(run, name), true end
  end
  if #rows == 0 then return "" end
  return markup.element("h3", nil, "Result (result.json)") .. by_run(runs, head(runs, "metric"), rows, numeric)
end

function summary.values(runs)
  local evaluated = #runs == 1 and one_run(runs[1]) or #runs > 1 and several(runs)
  return results(runs) .. (evaluated and markup.element("h3", nil, "Evaluations") .. evaluated or "")
end

-- ---- config and environment

-- What the trainer and the model take where a script says nothing.
local function defaults(kind)
  local made, options = {model = {}}, require "vbl.train.options"
  for key, row in pairs(options[kind == "finetune" and kind or "pretrain"]) do
    if key ~= "model" then made[key] = row[2] end
  end
  for key, row in pairs(require("vbl.models.vilbert_config").schema) do made.model[key] = row[2] end
  return flatten(made)
end

local function equal(a, b) return a == b or tonumber(a) ~= nil and tonumber(a) == tonumber(b) end

-- {key, value of each run} of all keys, sorted, in two lists: those in which the runs differ, and the others.
local function compared(runs, tables)
  local keys, seen, different, same = {}, {}, {}, {}
  for _, t in ipairs(tables) do
    for key in pairs(t) do
      if not seen[key] then keys[#keys + 1], seen[key] = key, true end
    end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local row, into = {key}, same
    for i in ipairs(runs) do
      row[i + 1] = tables[i][key] ~= nil and show(tables[i][key]) or "–"
      if row[i + 1] ~= row[2] then into = different end
    end
    into[#into + 1] = row
  end
  return different, same
end

-- What differs between the runs, a column a run; then what is the same in all of them (of one run: everything).
local function two_tables(runs, field, rest)
  local flat = {}
  for i, run in ipairs(runs) do flat[i] = flatten(run[field]) end
  local different, same = compared(runs, flat)
  if #runs == 1 then return rest(same) end
  return (#different > 0 and by_run(runs, head(runs, "differs"), different) or markup.element("p", nil, "The same in all runs.")) ..
    (#same > 0 and markup.element("details", nil, markup.element("summary", nil, ("The same in all runs: %d keys"):format(#same)), rest(same)) or "")
end

function summary.config(runs)
  local known = defaults(runs[1].kind)
  return two_tables(runs, "config", function(rows)
    local list = {}
    for k, row in ipairs(rows) do list[k] = {row[1], row[2], known[row[1]] ~= nil and show(known[row[1]]) or ""} end
    return markup.table {columns = {"key", "value", "default"}, rows = list, class = function(row) return row[3] ~= "" and not equal(row[2], row[3]) and "hit" end}
  end)
end

function summary.environment(runs)
  return two_tables(runs, "manifest", function(rows)
    local list = {}
    for k, row in ipairs(rows) do list[k] = {row[1], row[2]} end
    return markup.table {columns = {"key", "value"}, rows = list}
  end)
end

return summary

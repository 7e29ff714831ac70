-- A table of results: a row for each group of runs (its seeds), a column for each task and metric, from the predictions that the runs
-- stored with their best checkpoints.
--
--   local t = vbl.report.table({{name = "no fusion", runs = records}, {name = "late", runs = records}, ...}, {
--     metrics = {"auroc", "accuracy"},   -- default: the main ones of each task's kind (vbl.report.scores); or a name of the runs' values
--     split = "test",                    -- default: test where every run has it, else val
--     baseline = "no fusion",            -- the row that the others are tested against; default: the first; false: no tests
--     test = "bootstrap",                -- or "permutation"
--     draws = 2000, seed = 0, alpha = 0.05, digits = 3,
--     interval = true,                   -- show the intervals
--     title = "...",
--   })
--   print(t)   t:markdown()   t:latex()   t:csv()   t:save("table.md" | ".tex" | ".csv")
-- groups are of records (vbl.runs.list) or of run folders' paths; vbl.runs.group makes them by a key of the config.
--
-- A cell: mean over runs +- sample deviation (n), and the interval of the mean: percentiles of a bootstrap that draws samples, the same ones
-- in every row, with the spread of n runs by Student's t (vbl.report.resample; runs that each have samples of their own: by t alone). Tests
-- compare each row with the baseline on the same samples:
--   bootstrap     of the difference of the two means, by the same draws: p is twice the share of those on the smaller side of 0. Of one run
--                 a row it is of these runs, and says nothing of other seeds
--   permutation   the two rows' predictions of a sample change places, in all pairs of runs at once (in the order of their seeds, so
--                 both rows need as many runs): holds for these runs, says nothing of other seeds
-- and p is corrected over all tests of the table (Holm 1979). Rows compare only where the ids and labels of their samples are equal, one
-- by one: the first that differs is an error (built-in data of several seeds compare within each). A metric that the predictions do not give is
-- taken from the runs' values, without interval and test. Runs that did not finish, are damaged, tagged invalid or have no predictions are listed below
-- the table, never scored.
--   t.columns {{task, metric, lower, neutral, samples}}, t.rows {{name, cells = {cell per column, or false}}}, t.left_out {{row, name, why}},
--   t.notes; cell {mean, sd, n, values, seeds, low, high, best, fewer, difference, p, p_holm}
local metric_names = require "vbl.metric_names"
local nearest = require "vbl.nearest"
local resample = require "vbl.report.resample"
local scores = require "vbl.report.scores"
local inference = require "vbl.report.table_inference"
local layout = require "vbl.report.table_layout"
local task_names = require "vbl.report.task_names"
local unlike = require "vbl.report.unlike"
local with_defaults = require "vbl.with_defaults"

local defaults = {metrics = false, split = false, baseline = false, test = "bootstrap", draws = 2000, seed = 0, alpha = 0.05, digits = 3, interval = true, title = false}

local function options_of(opts)
  local all = with_defaults("report.table", opts, defaults, 4)
  if all.test ~= "bootstrap" and all.test ~= "permutation" then
    error(("report.table: test: expected bootstrap or permutation, got '%s'"):format(tostring(all.test)), 3)
  end
  if not math.tointeger(all.draws) or all.draws < 100 then
    error(("report.table: draws: expected a whole number of at least 100, got %s"):format(tostring(all.draws)), 3)
  end
  all.no_tests = opts and opts.baseline == false
  return all
end

-- Why a run is not scored, or nil.
local function unfit(record)
  if record.status == "finished" then return nil end
  return record.message and ("%s: %s"):format(record.status, (record.message:gsub("%s+", " "))) or #record.problems > 0 and "damaged: " .. record.problems[1] or record.status
end

local function leave_out(t, row, record, why) table.insert(t.left_out, {row = row.name, name = record.name, why = why}) end

-- t.rows with their runs that count, by seed.
local function sort_runs(t, groups)
  local seen_name = {}
  for i, group in ipairs(groups) do
    local row = {name = group.name or group[1], runs = {}, cells = {}}
    if type(row.name) ~= "string" or type(group.runs) ~= "table" then
      error(("report.table: group %d: expected {name = \"...\", runs = {...}}"):format(i), 4)
    end
    if seen_name[row.name] then error(("report.table: two groups are named '%s'"):format(row.name), 4) end
    seen_name[row.name], t.rows[i] = true, row
    for _, run in ipairs(group.runs) do
      local record = type(run) == "string" and require("vbl.runs.record").read(run) or run
      local why = unfit(record)
      if why then leave_out(t, row, record, why) else row.runs[#row.runs + 1] = record end
    end
    table.sort(row.runs, function(a, b)
      local x, y = tonumber(a.seed) or 0, tonumber(b.seed) or 0
      if x ~= y then return x < y end
      return a.name < b.name
    end)
  end
end

-- t.tasks in the order of their first run, and t.task_of(record).
local function name_tasks(t)
  local seen = {}
  t.task_of = task_names(t.rows)
  for _, row in ipairs(t.rows) do
    for _, record in ipairs(row.runs) do
      local task = t.task_of(record)
      if not seen[task] then t.tasks[#t.tasks + 1], seen[task] = task, true end
    end
  end
end

-- The split that all runs with predictions have.
local function choose_split(t)
  for _, row in ipairs(t.rows) do
    for _, record in ipairs(row.runs) do
      if #record:splits() > 0 and not scores.file(record, "test") then return "val" end
    end
  end
  return "test"
end

-- The built-in data are drawn from a seed: runs of one share their samples, those of another have others. Fine-tuning has one seed of them
-- for all runs, unless the config names another.
local function scope_of(record)
  if record.config.data ~= "scenes" then return "" end
  local own = (record.config.scenes or {}).seed
  return own and "seed " .. tostring(own) or record.kind ~= "finetune" and "seed " .. tostring(record.seed) or ""
end

local function read_predictions(t, row, record, split)
  if #record:splits() == 0 and record.kind ~= "finetune" then return end
  local p, why = scores.read(record, split)
  if not p then return leave_out(t, row, record, why) end
  local task = t.task_of(record)
  local first = t.first[task]
  if first and first.kind ~= p.kind then error(("%s: kind %s, but %s in %s"):format(p.where, p.kind, first.kind, first.where), 0) end
  p.scope = scope_of(record)
  local key = task .. "/" .. p.scope
  local twin = t.twins[key]
  t.first[task], t.twins[key] = first or p, twin or p
  local same, message = true, nil
  if twin then same, message = scores.same(twin, p) end
  if not same then error(("report.table: the runs were not scored on the same samples: %s"):format(message), 0) end
  return p
end

-- Each row's {record, task, p (nil: no predictions)}.
local function read_all(t)
  for _, row in ipairs(t.rows) do
    row.scored = {}
    for _, record in ipairs(row.runs) do
      local p = read_predictions(t, row, record, t.split)
      if p or record.kind ~= "finetune" then table.insert(row.scored, {record = record, task = t.task_of(record), p = p}) end
    end
  end
end

local function stored_value(record, split, metric)
  local values = record.values
  return values[split .. "." .. metric] or values[("%s.%s.%s"):format(split, metric, record.task or "")]
end

local function default_metrics(p)
  local list, all = {}, scores.names(p.kind)
  for i = 1, scores.main[p.kind] do list[i] = all[i] end
  return list
end

local function has(t, task, metric)
  for _, row in ipairs(t.rows) do
    for _, one in ipairs(row.scored) do
      if one.task == task and (one.p and scores.has(one.p, metric) or stored_value(one.record, t.split, metric)) then return true end
    end
  end
  return false
end

local function all_metrics(t)
  local list = {}
  for _, p in pairs(t.first) do
    for _, name in ipairs(scores.names(p.kind)) do list[name] = true end
  end
  for _, row in ipairs(t.rows) do
    for _, one in ipairs(row.scored) do
      for key in pairs(one.record.values) do list[key:match("^" .. t.split .. "%.(.+)$") or key] = true end
    end
  end
  return list
end

local function make_columns(t, opts)
  local used = {}
  for _, task in ipairs(t.tasks) do
    local first = t.first[task]
    for _, metric in ipairs(opts.metrics or first and default_metrics(first) or {}) do
      if has(t, task, metric) then
        used[metric] = true
        t.columns[#t.columns + 1] = {task = task, metric = metric, lower = metric_names.lower(metric), neutral = metric_names.neutral(metric),
                                     samples = first and scores.has(first, metric) and first.n or nil}
      end
    end
  end
  for _, metric in ipairs(opts.metrics or {}) do
    if not used[metric] then error(("report.table: no run has the metric '%s' on %s%s"):format(metric, t.split, nearest.hint(metric, all_metrics(t))), 3) end
  end
  if #t.columns == 0 and not opts.metrics and #t.tasks > 0 then
    error(("report.table: the runs have no predictions of %s; name `metrics` to take them from the runs' values"):format(t.split), 3)
  end
end

-- The runs of a row that a column counts, with their sets or values.
local function fill(t, row, column)
  local cell = {values = {}, seeds = {}, sets = {}, ps = {}}
  for _, one in ipairs(row.scored) do
    if one.task == column.task then
      local set = column.samples and one.p and scores.has(one.p, column.metric) and scores.set(one.p, column.metric)
      local value = set and set:value() or not column.samples and stored_value(one.record, t.split, column.metric) or nil
      if value == nil then
        leave_out(t, row, one.record, ("has no %s on %s"):format(column.metric, t.split))
      else
        local n = #cell.values + 1
        cell.values[n], cell.seeds[n], cell.sets[n], cell.ps[n] = value, one.record.seed or "?", set or nil, one.p
      end
    end
  end
  cell.n = #cell.values
  if cell.n == 0 then return false end
  cell.mean, cell.sd = resample.moments(cell.values)
  return cell
end

-- Marks the best means of a column, and cells of fewer runs than others.
local function judge(t, c)
  local best, most
  for _, row in ipairs(t.rows) do
    local cell = row.cells[c]
    if cell then
      local m = t.columns[c].lower and -cell.mean or cell.mean
      if m == m and (not best or m > best) then best = m end
      most = math.max(most or 0, cell.n)
    end
  end
  for _, row in ipairs(t.rows) do
    local cell = row.cells[c]
    if cell then
      cell.best = not t.columns[c].neutral and (t.columns[c].lower and -cell.mean or cell.mean) == best
      cell.fewer = cell.n < most
    end
  end
  t.columns[c].runs = most
end

local function note_twice(t)
  for _, row in ipairs(t.rows) do
    local seen = {}
    for _, one in ipairs(row.scored) do
      local key = ("%s, seed %s"):format(one.task, tostring(one.record.seed or "?"))
      if seen[key] then table.insert(t.notes, ("%s counts %s twice: %s and %s"):format(row.name, key, seen[key], one.record.name)) end
      seen[key] = one.record.name
    end
  end
end

-- A key that made the groups may bring unlike runs together: a mean over learning rates is none over seeds.
local function note_unlike(t)
  for _, row in ipairs(t.rows) do
    local by_task = {}
    for _, one in ipairs(row.scored) do
      by_task[one.task] = by_task[one.task] or {}
      table.insert(by_task[one.task], unlike.keys(one.record))
    end
    for _, task in ipairs(t.tasks) do
      local keys = unlike.among(by_task[task] or {})
      if #keys > 0 then
        table.insert(t.notes, ("the runs of '%s'%s differ in more than their seeds: %s"):format(row.name, #t.tasks > 1 and " on " .. task or "", table.concat(keys, ", ")))
      end
    end
  end
end

return function(groups, opts)
  opts = options_of(opts)
  local t = {rows = {}, columns = {}, tasks = {}, left_out = {}, notes = {}, first = {}, twins = {}, names = {}, opts = opts, comparisons = 0}
  sort_runs(t, groups)
  for i, row in ipairs(t.rows) do t.names[i] = row.name end
  name_tasks(t)
  t.split = opts.split or choose_split(t)
  read_all(t)
  make_columns(t, opts)
  for c, column in ipairs(t.columns) do
    for _, row in ipairs(t.rows) do row.cells[c] = fill(t, row, column) end
    judge(t, c)
    inference.draw(t, c, opts)
  end
  if not opts.no_tests and #t.rows > 1 then inference.test(t, opts) end
  note_twice(t)
  note_unlike(t)
  return layout.new(t)
end

-- A run as the page needs it: its record (vbl.runs.record) and
--   rows, alarm_rows, log           of metrics.jsonl, warnings.jsonl and log.txt; what cannot be read is empty and a line in `problems`
--   measured                        by partner, the layer measures (vbl.runs.series); nil where there are none
--   sheets, sheet_names, attention  RUN/analysis/NAME.json by name; sorted names; analysis/attention.json
--   predicted                       split -> {header, rows, n, majority = share of the largest class, accuracy} (majority, accuracy: class labels)
--   data, view, split               the data set, opened again, the view that each epoch evaluates, its name; nil and `no_data` says why
--   view_of(name)                   the view whose samples are the predictions of the split `name`, or nil
--   unigram                         entropy in nats of the word pieces of (at most 4,000 of) the training captions, where MLM was trained
--   has_checkpoint, short           short: the name without its date, for legends
--   source.read(path, {job = the run's job, where it is at hand; false: without the data}) -> run
local c = require "vbl.store.c"
local chance = require "vbl.report.chance"
local merged = require "vbl.merged"
local metrics = require "vbl.runs.metrics"
local record = require "vbl.runs.record"
local scores = require "vbl.report.scores"
local series = require "vbl.runs.series"
local shape = require "vbl.runs.shape"
local system = require "vbl.system.c"
local unigram = require "vbl.tasks.unigram"
local usage = require "vbl.usage"

local source = {}

local function try(run, fallback, fn, ...)
  local ok, value = pcall(fn, ...)
  if ok then return value end
  run.problems[#run.problems + 1] = usage.strip(value)
  return fallback
end

local function read_text(path) return system.exists(path) and c.read_file(path) or "" end

local sheet = {title = "string", note = "string", columns = {each = "string"}, rows = {each = {each = "any"}}, low = "number", high = "number", chance = "number"}
local pairs_of_attention = {pairs = {each = {}}}

local function is_place(v) return math.type(v) == "integer" and v >= 0 and v < metrics.MOST_LAYERS end

local function is_key(v) return type(v) == "string" or type(v) == "number" end

-- A map's rows are {partner and block, or epoch and partner, row, column, value}.
local function check_rows(value, path, is_map)
  for i, row in ipairs(value.rows or {}) do
    for j, cell in pairs(row) do
      if type(cell) == "table" then error(("%s.rows.%d.%d: expected a text or a number, got a table"):format(path, i, j), 0) end
    end
    if is_map and not (#row == 5 and #value.columns == 5 and is_key(row[1]) and is_key(row[2]) and is_place(row[3]) and is_place(row[4])) then
      error(("%s.rows.%d: expected a map's row, two names, the numbers of two layers below %d, and a value"):format(path, i, metrics.MOST_LAYERS), 0)
    end
  end
end

local function read_sheet(path, name)
  local value = c.json_decode(c.read_file(path), {where = path, nan = "string"})
  shape.check(value, name == "attention" and pairs_of_attention or sheet, path)
  if name ~= "attention" and value.columns then check_rows(value, path, name:find "matrix%-" ~= nil) end
  return value
end

local function read_sheets(run)
  run.sheets, run.sheet_names = {}, {}
  local folder = run.path .. "/analysis"
  for _, file in ipairs(system.list(folder) or {}) do
    local name = file:match "^([^.].*)%.json$"
    local value = name and try(run, nil, read_sheet, folder .. "/" .. file, name)
    if name == "attention" then
      run.attention = value and value.pairs and value
    elseif value and value.columns and value.rows then
      run.sheets[name], run.sheet_names[#run.sheet_names + 1] = value, name
    end
  end
  table.sort(run.sheet_names)
end

-- Of labels that are one class: the share of the largest class and of the rows that are right, decided as the metric "accuracy" is.
local function class_shares(p)
  local counts, right, n, most = {}, 0, 0, 0
  for _, row in ipairs(p.rows) do
    if math.type(row.label) ~= "integer" then return end
    counts[row.label] = (counts[row.label] or 0) + 1
    most, n, right = math.max(most, counts[row.label]), n + 1, right + (scores.said(p.header.kind, row) == row.label and 1 or 0)
  end
  if n > 0 then p.majority, p.accuracy = most / n, right / n end
end

local function read_predictions(run)
  run.predicted = {}
  for _, split in ipairs(run:splits()) do
    local p = try(run, nil, function()
      local header, rows = run:predictions(split)
      return {header = header, rows = rows, n = #rows}
    end)
    if p then
      if p.header.kind == "binary" or p.header.kind == "multiclass" then class_shares(p) end
      run.predicted[split] = p
    end
  end
end

-- The job that the run was, from its config; the model is counted, not made.
local function job_of(run)
  local config = merged(run.config)
  config.flags, config.seed = {seed = run.config.seed or 0, device = "cpu"}, nil
  return require("vbl.train").job(config, {kind = require("vbl.train.kinds").of(run.path)}, true)
end

-- The view whose samples are those of a split's predictions. A split to test on has predictions only after it was unlocked.
local function view_of(job)
  return function(name)
    if name == (job.val_name or job.test_split) then return job.test end
    return name == job.test_name and require("vbl.train.splits").test(job) or nil
  end
end

local function open_data(run, given)
  if given == false then
    run.no_data = "it was not asked for"
    return
  end
  local ok, message = pcall(function()
    local job = given or job_of(run)
    if run.manifest.data_hash and job.data:hash() ~= run.manifest.data_hash then error("it has changed since the run (its hash differs)", 0) end
    run.data, run.split, run.view, run.view_of = job.data, job.val_name or job.test_split, job.test, view_of(job)
    if chance.last(run, "loss.mlm", "test") then run.unigram = unigram.entropy(job.data:split "train") end
  end)
  if not ok then run.no_data = usage.strip(message) end
end

function source.read(path, opts)
  if not record.is_run(path) then usage(("report: %s: not a run's folder (no config.lua in it); expected one such as runs/DATE-TIME-NAME"):format(path)) end
  local run = record.read(path)
  run.short = run.name:gsub("^%d%d%d%d%-%d%d%-%d%d%-%d%d%d%d%d%d%-", "")
  run.rows = try(run, {}, function() return run:metrics() end)
  run.alarm_rows = try(run, {}, function() return run:alarms() end)
  run.log = try(run, "", read_text, path .. "/log.txt")
  run.has_checkpoint = #(system.list(path .. "/checkpoints") or {}) > 0
  run.measured = series.layers(run.rows)
  run.measured.chance = nil
  if next(run.measured) == nil then run.measured = nil end
  read_sheets(run)
  read_predictions(run)
  open_data(run, opts and opts.job)
  return run
end

return source

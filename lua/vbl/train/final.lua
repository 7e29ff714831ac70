-- The end of a fine-tuning run: the best checkpoint, whatever the last epoch was, on the validation split, with thresholds chosen there; with
-- --final on the test split too, which until then is neither read nor scored; co-attention switched off by name; and the layer analysis again.
--   final.run(job, run, s): predictions/{val,test}.jsonl, lines, metrics; sets s.values, s.intervals, s.after
local vbl = require "vbl"
local checkpoint = require "vbl.runs.checkpoint"
local guards = require "vbl.train.guards"
local copy_weights = require "vbl.train.copy_weights"
local dist = require "vbl.dist"
local predict = require "vbl.train.predict"
local probe = require "vbl.train.probe"
local report = require "vbl.train.report"
local scoring = require "vbl.tasks.scoring"
local sorted_keys = require "vbl.sorted_keys"
local splits = require "vbl.train.splits"
local store = require "vbl.store.c"
local usage = require "vbl.usage"

local final = {}

local function load_best(job, run, s)
  if not s.best then usage(("%s: the checkpoint of the best epoch was not written; it cannot be scored"):format(run.path)) end
  local parts = checkpoint.read(run.path .. "/checkpoints", "best")
  if not parts then usage(("%s/checkpoints/best: there is no such checkpoint; the best epoch cannot be scored"):format(run.path)) end
  if parts.state.counters.epoch ~= s.best.epoch then
    usage(("%s/checkpoints/best: is of epoch %s, the best one was %d; it cannot be scored"):format(run.path, parts.state.counters.epoch, s.best.epoch))
  end
  copy_weights(job.model.list, parts.model, run.path .. "/checkpoints/best")
end

-- All values of predictions, with and without tuned thresholds, and their intervals.
local function score(p, loss, thresholds)
  local values, proportions = scoring.values(p)
  local intervals = scoring.intervals(p, values, proportions)
  values.loss = loss
  if thresholds then
    local tuned, shares = scoring.values(p, thresholds)
    for name, interval in pairs(scoring.intervals(p, tuned, shares, thresholds)) do intervals[name] = interval end
    for name, value in pairs(tuned) do values[name] = value end
  end
  return values, intervals
end

-- role: val or test; name: what the data set calls that split.
local function write(job, run, s, p, role, name, thresholds)
  if not dist.first() then return end
  store.make_folder(run.path .. "/predictions")
  p:write(("%s/predictions/%s.jsonl"):format(run.path, role), {
    task = job.task_name, split = role, data_split = name, kind = p.kind, classes = job.tasks[1].classes, thresholds = thresholds, checkpoint = {epoch = s.best.epoch},
  })
end

local function line(split, values, intervals)
  local parts = {}
  for i, name in ipairs(sorted_keys(values)) do
    local interval = intervals[name]
    parts[i] = ("%s %.4f%s"):format(name, values[name], interval and (" [%.4f, %.4f]"):format(interval[1], interval[2]) or "")
  end
  return ("best checkpoint on %s: %s"):format(split, table.concat(parts, ", "))
end

-- Scores a split; `given`: thresholds chosen elsewhere. -> the thresholds that are best on it
local function score_split(job, run, s, view, name, role, given)
  local p, loss = predict(job, view)
  local tuned = role == "val" and scoring.tune(p) or nil
  local values, intervals = score(p, loss, given or tuned)
  if next(values) == "loss" and next(values, "loss") == nil then
    run:warn("%s: no sample of it has a label: its predictions are written, and nothing is scored", name)
    values.loss = nil
  end
  write(job, run, s, p, role, name, given or tuned)
  run:log("%s", line(name, values, intervals))
  local rows = {}
  for metric, value in pairs(values) do
    s.values[role .. "." .. metric], s.intervals[role .. "." .. metric] = value, intervals[metric]
    if role == "test" or metric:find "_tuned$" then rows[metric .. "." .. job.task_name] = value end
  end
  report.values(run, s.best.epoch, s.step, role, rows)
  return tuned
end

-- The predictions without the co-attention of that name. It is on again where this ends, unless that is interrupted too: an interrupted run goes on with
-- this model.
local function predict_without(job, view, pattern)
  local model = job.model
  local _ <close> = setmetatable({}, {__close = function() model:ablate {} end})
  model:ablate {pattern}
  return (predict(job, view))
end

-- One more evaluation for each name, and what is lost.
local function ablations(job, run, s, view, name, role)
  for _, pattern in ipairs(job.config.ablate) do
    local p = predict_without(job, view, pattern)
    for metric, value in pairs((scoring.values(p))) do s.values[("%s.%s.without.%s"):format(role, metric, pattern)] = value end
    local whole = s.values[role .. "." .. job.metric]
    local without = s.values[("%s.%s.without.%s"):format(role, job.metric, pattern)]
    if without then run:log("%s on %s without %s: %.4f (with it %.4f)", job.metric, name, pattern, without, whole) end
  end
end

local function all(job, run, s)
  if #job.config.ablate > 0 then job.model:ablate {} end  -- an interrupt may have come just as the one below was to be ended
  s.values, s.intervals = {}, {}
  run:log("best epoch %d of %d by %s: %.4f", s.best.epoch, s.epoch, s.best.metric, s.best.value)
  local thresholds = score_split(job, run, s, job.test, job.val_name, "val")
  ablations(job, run, s, job.test, job.val_name, "val")
  if job.config.flags.final and job.test_name then
    local test = splits.test(job)
    score_split(job, run, s, test, job.test_name, "test", thresholds)
    ablations(job, run, s, test, job.test_name, "test")
  end
  if job.config.probe_samples > 0 then
    local layers = probe.layers(job, job.test)
    s.after = probe.summary(layers)
    report.layers(run, s.best.epoch, s.step, layers, job.config.partners)
    guards.layers(run, s, s.best.epoch, s.step, layers)
  end
end

function final.run(job, run, s)
  if job.config.flags.final and not job.test_name then usage(("--final: data %s has no test split"):format(job.config.data)) end
  s.busy = true  -- the model is no longer that of the last step
  load_best(job, run, s)
  vbl.autocast(job.config.precision, all, job, run, s)
  s.busy = false
  if job.config.flags.final then run:plots() end  -- with the test split's values
  if job.test_name and not job.config.flags.final then run:log("the test split is locked; to score it: --resume %s --final", run.path) end
end

return final

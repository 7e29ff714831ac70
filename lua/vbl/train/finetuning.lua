-- The kind of run that fine-tunes (vbl.train.job says what a kind is): one task, its metric on the validation split after each epoch, early
-- stopping, and at the end the best checkpoint on validation and, unlocked, on the test split (vbl.train.final).
local averages = require "vbl.train.averages"
local baselines = require "vbl.train.baselines"
local checks = require "vbl.train.checks"
local downstream = require "vbl.tasks.downstream"
local final = require "vbl.train.final"
local merged = require "vbl.merged"
local metric_names = require "vbl.metric_names"
local predict = require "vbl.train.predict"
local probe = require "vbl.train.probe"
local rates = require "vbl.train.rates"
local report = require "vbl.train.report"
local same_mode = require "vbl.train.guards.same_mode"
local scoring = require "vbl.tasks.scoring"
local splits = require "vbl.train.splits"
local start = require "vbl.train.start"
local summary = require "vbl.models.summary"
local vbl = require "vbl"

local finetuning = {name = "finetune", finish = final.run}

-- Of the built-in set: runs of every seed are scored on the same scenes, and on others than those that a pretraining run, whose scenes are
-- of its own (small) seed, has learnt from.
local SCENES_SEED = 20251123

-- The data set's options; those of the built-in set hang on the task.
function finetuning.begin(job)
  local config = job.config
  checks.choice("baseline", config.baseline, baselines.names)
  checks.choice("class_weights", config.class_weights, {"auto", "balanced", "none"})
  job.baseline = baselines[config.baseline]
  if config.from ~= "" and not config.flags.weights then job.start, config.from = start.weights(config.from) end
  local row = config.task ~= "auto" and downstream.row(config.task) or config.data == "scenes" and downstream.row "scenes"
  if config.data ~= "scenes" then return config.captions end
  return merged({seed = SCENES_SEED}, row.scenes, config.scenes)
end

-- A split that says nothing of a task cannot choose its best epoch.
local function check_labelled(job, task)
  if task.drawn or task.kind == "retrieval" then return end
  for i = 1, job.test:size() do
    if job.test:label(i) then return end
  end
  error(("data %s: no sample of %s has a label, so no epoch can be chosen by it; val=SPLIT names another split"):format(job.config.data, job.val_name), 0)
end

-- Samples of another split that show an image of train. Some sets are made so; where a set is not, the model has seen what it is asked about.
local function shared_images(job, name, view, trained)
  local count, first = 0, nil
  for i = 1, view:size() do
    if trained[view:image_key(i)] then count, first = count + 1, first or view:image_id(i) end
  end
  if count == 0 then return end
  table.insert(job.remarks, ("%d of the %d samples of %s show an image that train shows too (the first: %s); `vbl data check` tells whether their texts are equal too"):format(
    count, view:size(), name, first))
end

local function find_shared_images(job)
  local trained = {}
  job.remarks = {}
  if job.held then return end  -- held out by image
  for i = 1, job.train:size() do trained[job.train:image_key(i)] = true end
  shared_images(job, job.val_name, job.test, trained)
  if job.test_name then shared_images(job, job.test_name, job.data:split(job.test_name), trained) end
end

-- AUROC of one class alone, and the like: no epoch would be better than another.
local function check_metric(job, found, known)
  local value, loss = found.values[job.metric .. "." .. job.task_name], found.values["loss." .. job.task_name]
  if job.metric == "loss" or known.n == 0 or value == value and value or loss ~= loss then return end
  error(("config: metric: %s is undefined on the labels of %s (%d samples, of one class alone?); metric=accuracy or metric=loss chooses the best epoch by another"):format(
    job.metric, job.val_name, known.n), 0)
end

function finetuning.divide(job)
  local config = job.config
  splits.divide(job)
  job.task_name = config.task == "auto" and downstream.name_for(job.data) or config.task
  local task = downstream.new(job.task_name, job.data, job.train, {class_weights = config.class_weights})
  job.metric = downstream.metric(task, config.metric)
  job.tasks = {task}
  check_labelled(job, task)
  find_shared_images(job)
end

function finetuning.model(job, c)
  local config, task = job.config, job.tasks[1]
  c.heads = c.heads or {}
  if task.outputs then
    local classes = #task.classes > 0 and task.classes or nil
    c.classifier = merged({hidden = 512, fusion = "concat", dropout = 0.1, outputs = task.outputs, classes = classes}, config.head)
  elseif config.baseline == "text" or config.baseline == "image" then
    error(("config: baseline: task %s compares two streams; it has no %s-only baseline"):format(task.name, config.baseline), 0)
  end
  if job.baseline.model then job.baseline.model(c) end
  if job.baseline.from_scratch and c.weights then
    -- Sizes and fusion of the weights, and nothing else.
    for key, value in pairs(require("vbl.models.weights").open(c.weights):config(c)) do c[key] = value end
    c.weights = nil
  end
end

function finetuning.built(job)
  local model, config = job.model, job.config
  if job.baseline.freeze then model:freeze(job.baseline.freeze) end
  model:ablate(config.ablate)
  model:ablate {}
  job.lr_scale = start.layer_scales(model, config.layer_decay)
end

function finetuning.rate(job, preset)
  return rates[job.model.config.weights and "pretrained" or "scratch"][preset]
end

function finetuning.manifest(job)
  local config = job.config
  return {task = job.task_name, baseline = config.baseline, metric = job.metric, from = config.from, splits = job.sizes,
          probe = {split = job.val_name, n = math.min(config.probe_samples, job.test:size())}}
end

-- The largest class of the validation split and its share: what a constant answer gets.
local function majority(job)
  local task, count, n, best = job.tasks[1], {}, 0, nil
  if task.drawn or task.kind ~= "binary" and task.kind ~= "multiclass" then return nil end
  for i = 1, job.test:size() do
    local label = job.test:label(i)
    if label then
      count[label], n = (count[label] or 0) + 1, n + 1
      if not best or count[label] > count[best] then best = label end
    end
  end
  return best and ("the largest class of %s is '%s', %.4f"):format(job.val_name, task.classes[best + 1], count[best] / n)
end

-- ", 2 classes, the positive one 'square'"
local function classes_text(task)
  if #task.classes == 0 then return "" end
  local positive = task.kind == "binary" and #task.classes == 2 and (", the positive one '%s'"):format(task.classes[2]) or ""
  return (", %d classes%s"):format(#task.classes, positive)
end

function finetuning.opening(job)
  local config, task, parts = job.config, job.tasks[1], {}
  for _, name in ipairs {"train", job.val_name, job.test_name} do
    parts[#parts + 1] = ("%s %s"):format(name, summary.comma(job.sizes[name]))
  end
  local locked = job.test_name and (config.flags.final and "" or " (locked: --final opens it)") or " (no test split)"
  return {
    ("task %s: %s%s; %s%s"):format(task.name, task.kind, classes_text(task), table.concat(parts, ", "), locked),
    job.held and ("%s: %g %% of train held out, by image; written to split.tsv"):format(job.val_name, 100 * config.val_fraction) or nil,
    ("best by %s on %s%s; baseline %s; from %s"):format(job.metric, job.val_name, config.patience > 0 and (", patience %d"):format(config.patience) or "",
                                                      config.baseline, job.model.config.weights or "scratch"),
    majority(job),
  }
end

-- {values, intervals} of predictions, named METRIC.TASK.
local function named(task, values, proportions)
  local found = {values = {}, intervals = {}}
  for name, value in pairs(values) do found.values[name .. "." .. task.name] = value end
  for name, pair in pairs(proportions) do found.intervals[name .. "." .. task.name] = {vbl.metrics.wilson(pair[1], pair[2])} end
  return found
end

function finetuning.evaluate(job, s)
  local task = job.tasks[1]
  local p, loss, spread, chance = predict(job, job.test)
  local found = named(task, scoring.values(p))
  found.values["loss." .. task.name], found.errors = loss, {["loss." .. task.name] = spread}
  found.values["chance." .. task.name] = chance
  if s.step == 0 and p.known_rows then check_metric(job, found, p:known_rows()) end
  if s.step > 0 then
    local starts = same_mode.starts(job, job.test:size())
    local _, train_loss, train_spread, train_chance = predict(job, job.train, starts)
    found.train, found.train_errors = {["loss." .. task.name] = train_loss, ["chance." .. task.name] = train_chance}, {["loss." .. task.name] = train_spread}
    found.train_pairs = math.min(#starts * job.config.batch, job.train:size())
  end
  return found, {[task.name] = loss}
end

-- Before training; the end of the run does it again (vbl.train.final).
function finetuning.probes(s) return s.epoch < 0 end

function finetuning.score(job, found)
  local value = found.values[job.metric .. "." .. job.task_name] or 0 / 0
  local score = metric_names.lower(job.metric) and -value or value
  return {metric = job.metric, value = value, score = score == score and score or -math.huge}
end

-- "Epoch 3/9, train loss easy_vqa: 0.8123, val loss easy_vqa: 0.7001, val accuracy: 0.7312 [0.7170, 0.7450], best so far"
local function epoch_line(job, s, epoch, train, found)
  local task, parts = job.tasks[1], {("Epoch %d/%d"):format(epoch, job.config.epochs)}
  local loss = "loss." .. task.name
  if train[loss] then parts[2] = ("train loss %s: %.4f"):format(task.name, train[loss]) end
  parts[#parts + 1] = ("%s loss %s: %.4f"):format(job.val_name, task.name, found.values[loss])
  for _, metric in ipairs(scoring.metrics[task.kind]) do
    local key = metric .. "." .. task.name
    local i, value = found.intervals[key], found.values[key]
    if value then parts[#parts + 1] = ("%s %s: %.4f%s"):format(job.val_name, metric, value, i and (" [%.4f, %.4f]"):format(i[1], i[2]) or "") end
  end
  if s.best and s.best.epoch == epoch then parts[#parts + 1] = "best so far" end
  return table.concat(parts, ", ")
end

function finetuning.report(run, job, s, epoch, found)
  local train = averages.means(s.sums)
  report.epoch(run, epoch_line(job, s, epoch, train, found), epoch, s.step, train, "val", found)
  if found.train then report.same_mode(run, job, epoch, s.step, found) end
  if not found.layers then return end
  report.layers(run, epoch, s.step, found.layers, job.config.partners)
  s.before = probe.summary(found.layers)
end

-- Of the best checkpoint; of a run that did not come so far, the last evaluation's.
function finetuning.values(job, s)
  if s.values then return s.values end
  local values, tail = {}, "." .. job.task_name
  for name, value in pairs(s.test or {}) do
    if name:sub(-#tail) == tail then values["val." .. name:sub(1, -#tail - 1)] = value end
  end
  return values
end

return finetuning

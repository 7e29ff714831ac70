-- The kind of run that pretrains (vbl.train.job says what a kind is): any of mlm, ap and mim at once; each epoch's test losses on one fixed
-- corruption of the held-out pairs, and the layer analysis.
local averages = require "vbl.train.averages"
local evaluate = require "vbl.train.evaluate"
local merged = require "vbl.merged"
local nearest = require "vbl.nearest"
local probe = require "vbl.train.probe"
local rates = require "vbl.train.rates"
local report = require "vbl.train.report"
local same_mode = require "vbl.train.guards.same_mode"
local safe_point = require "vbl.train.safe_point"
local tasks = require "vbl.tasks"

local pretraining = {name = "pretrain", keep_epochs = true}

-- ap.head = "auto" said: on photographs the similarity head is above chance after one epoch from scratch. Into copies, the tables are the user's.
local function choose_head(config)
  local ap = config.tasks.ap
  if type(ap) ~= "table" or ap.head ~= "auto" then return end
  config.tasks = merged(config.tasks, {ap = merged(ap, {head = config.data == "scenes" and "concat" or "similarity"})})
end

local function task_list(config)
  local list = {}
  choose_head(config)
  for _, name in ipairs {"mlm", "ap", "mim"} do
    if config.tasks[name] then list[#list + 1] = tasks[name](config.tasks[name]) end
  end
  for name in pairs(config.tasks) do
    if not tasks.schema[name] or name:find(".", 1, true) then
      error(string.format("config: tasks: unknown task '%s'%s", name, nearest.hint(name, {"mlm", "ap", "mim"})), 0)
    end
  end
  if #list == 0 then error("config: tasks: none is left to train; there are mlm, ap and mim", 0) end
  for _, task in ipairs(list) do
    local n = task.batch or 1
    if type(n) ~= "number" or not math.tointeger(n) or n < 1 or n > config.batch then
      error(string.format("config: tasks.%s.batch: expected a whole number from 1 to batch = %d, got %s (lower it too where batch is lowered)", task.name, config.batch,
                          tostring(n)), 0)
    end
  end
  return list
end

function pretraining.begin(job, parts)
  job.tasks = parts.tasks or task_list(job.config)
  return job.config.data == "scenes" and job.config.scenes or job.config.captions
end

function pretraining.divide(job)
  local held = job.data:held_out()
  if not held then error(string.format("data %s: no split to evaluate on beside train", job.config.data), 0) end
  job.test_split, job.train, job.test = held, job.data:split("train"), job.data:split(held)
  job.data:apart("train", held)
end

local function heads_for(list)
  local heads = {}
  for _, task in ipairs(list) do
    if task.name == "mlm" then heads[#heads + 1] = "mlm" end
    if task.name == "ap" then
      heads[#heads + 1] = task.head == "concat" and "ap" or "ap_similarity"
      if task.contrastive and task.contrastive.learnable then heads[#heads + 1] = "temperature" end
    end
  end
  return heads
end

function pretraining.model(job, model_config) model_config.heads = model_config.heads or heads_for(job.tasks) end

function pretraining.built() end

function pretraining.rate(_, preset) return rates.pretrain[preset] end

function pretraining.manifest(job) return {splits = {train = job.train:size(), [job.test_split] = job.test:size()}} end

function pretraining.evaluate(job, s)
  local config = job.config
  local opts = {batch = config.batch, micro = job.micro, samples = config.test_samples, seed = config.flags.seed, safe_point = safe_point}
  local found, losses = {}, {}
  found.values, found.intervals, found.errors = evaluate.run(job.model, job.tasks, job.test, opts)
  for _, task in ipairs(job.tasks) do losses[task.name] = found.values["loss." .. task.name] end
  if s.step > 0 then
    opts.plain, opts.starts = true, same_mode.starts(job, math.min(config.test_samples, job.test:size()))
    local values, _, errors = evaluate.run(job.model, job.tasks, job.train, opts)
    found.train, found.train_errors = values, errors
    found.train_pairs = math.min(#opts.starts * config.batch, job.train:size())
  end
  return found, losses
end

function pretraining.probes() return true end

function pretraining.report(run, job, s, epoch, found)
  local train = averages.means(s.sums)
  report.epoch(run, report.epoch_line(job, epoch, train, found.values, found.intervals), epoch, s.step, train, "test", found)
  if found.train then report.same_mode(run, job, epoch, s.step, found) end
  if not found.layers then return end
  report.layers(run, epoch, s.step, found.layers, job.config.partners)
  s[epoch == 0 and "before" or "after"] = probe.summary(found.layers)
end

function pretraining.score(job, found)
  local sum = 0
  for _, task in ipairs(job.tasks) do sum = sum + (found.values["loss." .. task.name] or 0) end
  return {metric = "loss", value = sum, score = -sum}
end

function pretraining.finish(job)
  if job.average then job.average:apply() end
end

function pretraining.values(_, s)
  local values = {}
  for name, value in pairs(s.test or {}) do values["test." .. name] = value end
  return values
end

return pretraining

-- Tasks that are where a model is that has learnt nothing.
--   levels.check(job, s, epoch, found) -> {{kind = "chance", text =}, ...}     after an epoch, before its sums are cleared
-- found: of the kind's evaluation, {values =, errors =, train =, train_errors =}. A task is at chance when none of its losses, the epoch's
-- mean over its steps, that of training pairs and that of held-out pairs in eval mode at its end, is below the level by more than Z standard errors.
-- Held-out pairs of a single batch have no standard error, and say nothing.
--   ap: ln 2      mlm: the entropy of the training captions' word pieces (vbl.tasks.unigram)      mim, contrastive: ln of the candidates
--   labels: their entropy, in the training or held-out samples that the loss is of (vbl.tasks.prior)      retrieval: ln of a batch's pairs
--   an experiment's own task: what its statistic chance.NAME says, and nothing without one
local averages = require "vbl.train.averages"
local loss_names = require "vbl.train.loss_names"
local prior = require "vbl.tasks.prior"
local unigram = require "vbl.tasks.unigram"

local levels = {Z = 2.33}  -- one-sided: by luck a model at chance is below in one of a hundred samples

local titles = {ap = "AP", mlm = "MLM", mim = "MIM", contrastive = "the contrastive term"}

-- name -> function(values, job) -> level, what it is; of a task that fine-tunes: downstream_level; of an experiment's own: its statistic chance.NAME
local level_of = {
  ap = function() return math.log(2), "ln 2" end,
  mlm = function(_, job)
    job.unigram = job.unigram or unigram.entropy(job.train)
    return job.unigram, "the entropy of the training captions' word pieces"
  end,
  mim = function(values)
    local n = values["candidates.mim"]
    return n and math.log(n), n and ("ln of %.0f candidates"):format(n)
  end,
  contrastive = function(values)
    local level = values["chance.contrastive"]
    return level, level and ("ln of about %.0f pairs"):format(math.exp(level))
  end,
}

-- ln of the size of a sample's batch, in the mean over the samples of a view.
local function ln_of_batches(size, batch)
  local rest = size % batch
  return ((size - rest) * math.log(batch) + (rest > 0 and rest * math.log(rest) or 0)) / size
end

-- view: of the samples that the loss is of.
local function downstream_level(task, values, job, view)
  if task.kind == "retrieval" then
    local level = values["chance." .. task.name] or ln_of_batches(view:size(), job.config.batch)
    return level, ("ln of about %.0f pairs"):format(math.exp(level))
  end
  job.priors = job.priors or {}
  if job.priors[view] == nil then job.priors[view] = prior.entropy(task, view) or false end
  return job.priors[view] or nil, task.drawn and "ln 2" or "the entropy of the held-out labels"
end

local function level(name, source, job)
  if level_of[name] then return level_of[name](source.values, job) end
  if name == job.task_name then return downstream_level(job.tasks[1], source.values, job, source.view) end
  return source.values["chance." .. name], "the task's own level"
end

-- The losses as text ("0.6935 +- 0.0012 over the epoch's steps, ...") and what the level is; nil where one of the losses is below the level, or none of
-- this is known.
local function at_chance(job, name, sources)
  local parts, what = {}, nil
  for _, source in ipairs(sources) do
    local value, spread = source.values["loss." .. name], source.errors["loss." .. name]
    local chance, meaning
    if value and spread then chance, meaning = level(name, source, job) end
    if not chance and source.needed then return nil end
    if chance then
      if value < chance - levels.Z * spread then return nil end
      parts[#parts + 1] = ("%.4f +- %.4f %s"):format(value, spread, source.title)
      what = ("%s = %.4f"):format(meaning, chance)
    end
  end
  return #parts > 0 and table.concat(parts, ", ") or nil, what
end

function levels.check(job, s, epoch, found)
  local sources = {
    {title = "over the epoch's steps", view = job.train, values = averages.means(s.sums), errors = averages.errors(s.sums)},
    {title = "of training pairs at its end", view = job.train, values = found.train or {}, errors = found.train_errors or {}},
    {title = "of held-out pairs", view = job.test, needed = true, values = found.values, errors = found.errors or {}},
  }
  local alarms = {}
  for _, name in ipairs(loss_names(job)) do
    local losses, what = at_chance(job, name, sources)
    if losses then
      alarms[#alarms + 1] = {kind = "chance", text = ("epoch %d: %s is no better than chance: loss %s; chance is %s"):format(epoch, titles[name] or name, losses, what)}
    end
  end
  return alarms
end

return levels

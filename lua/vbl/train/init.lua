-- vbl.train: pretraining. vbl.train.pretrain(config[, parts]) does the whole job of an experiment: data, model, tasks, steps, evaluation
-- and layer analysis at epoch 0 and after each epoch, log, metrics, plots, checkpoints, resume. config: what vbl.config gave, with the
-- keys of train/options.lua; parts {data=, model=, tasks=} replaces what would be built from it.
local vbl = require "vbl"
local job_of = require "vbl.train.job"
local loop = require "vbl.train.loop"
local plan = require "vbl.train.plan"

local train = {}

-- Returns the run: {folder = path, test = name -> value at the last epoch, model =, data =}; with --plan, nil.
function train.pretrain(config, parts)
  if config.flags.plan then
    print(plan.text(job_of.new(config, parts, true)))
    return nil
  end
  return loop.run(config, parts or {})
end

-- One step on a given batch, for scripts that own their loop: the gradient of all tasks, then the optimizer. Returns name -> value.
function train.step(job, batch, step) return loop.step(job, batch, step) end

train.job = job_of.new

return train

-- vbl.train: pretraining. vbl.train.pretrain(config[, parts]) does the whole job of an experiment: data, model, tasks, steps, evaluation
-- and layer analysis at epoch 0 and after each epoch, log, metrics, plots, checkpoints, resume. config: what vbl.config gave, with the
-- keys of train/options.lua; parts {data=, model=, tasks=} replaces what would be built from it.
local vbl = require "vbl"
local job_of = require "vbl.train.job"
local loop = require "vbl.train.loop"
local plan = require "vbl.train.plan"

local train = {}

-- For vbl.config(defaults, vbl.train.schemas()): every key that the trainer, the model and the tasks know, so that the command line may set
-- also those that a script does not list.
function train.schemas()
  local schemas = {[""] = {}, model = {}, mix = {}, tasks = {}, scenes = {}, captions = {}}
  for key, row in pairs(require "vbl.train.options") do schemas[""][key] = {nil, row[3], type = row[1]} end
  for key, row in pairs(require("vbl.models.vilbert_config").schema) do
    schemas.model[key] = {nil, row[3], type = (type(row[1]) == "table" or row[1] == "path") and "string" or row[1]}
  end
  for key, row in pairs(require("vbl.data").options) do
    if row.of then schemas[row.of][key] = row end
  end
  for _, key in ipairs {"how", "weighting"} do schemas.mix[key] = {nil, "see vbl.train.mix", type = "string"} end
  for name, rows in pairs(require("vbl.tasks").schema) do
    local path = "tasks." .. name
    if not name:find(".", 1, true) then schemas.tasks[name] = {nil, "the task; {} for its defaults, false leaves it out", type = "table", optional = true} end
    schemas[path] = {}
    for key, row in pairs(rows) do schemas[path][key] = {nil, row[2], type = row[1], optional = row.optional} end
  end
  return schemas
end

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

-- A run to look at: vbl.train.open(RUN or one of its checkpoints) -> job, epochs. See train/open.lua.
train.open = require "vbl.train.open"

return train

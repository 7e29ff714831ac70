-- vbl.train: pretraining and fine-tuning. vbl.train.pretrain(config[, parts]) does the whole job of an experiment: data, model, tasks, steps,
-- evaluation and layer analysis at epoch 0 and after each epoch, log, metrics, plots, checkpoints, resume. vbl.train.finetune(config[, parts])
-- does that of a downstream task: from a pretraining run, weights or scratch, best checkpoint, test. config: what vbl.config gave, with the
-- keys of train/options.lua; parts {data=, model=, tasks=} replaces what would be built from it (the task of a fine-tuning follows from its data).
local flags = require "vbl.config.flags"
local job_of = require "vbl.train.job"
local known = require "vbl.known"
local loop = require "vbl.train.loop"
local model_keys = require "vbl.models.vilbert_config"
local nearest = require "vbl.nearest"
local plan = require "vbl.train.plan"
local step_of = require "vbl.train.step"
local usage = require "vbl.usage"
local values = require "vbl.config.values"

local train = {}

-- What a key is that a script does not list, for --help; nil: nothing, or what the meaning says.
local function unset(default)
  if default == nil or type(default) == "table" and #default == 0 then return nil end
  return values.show(default)
end

-- What the trainer sets where a config does not.
local by_trainer = {vocab = "the data's", heads = "those that the tasks need"}

-- "interleaved, stacked or single_stream: ..." of a choice, "... (tiny 128, small 256, base 768)" of a size.
local function model_meaning(key, row)
  if by_trainer[key] then return ("%s (%s)"):format(row[3], by_trainer[key]) end
  if type(row[1]) == "table" and not row[3]:find(row[1][1] .. "[:;, ]") then
    return ("%s or %s: %s"):format(table.concat(row[1], ", ", 1, #row[1] - 1), row[1][#row[1]], row[3])
  end
  local sizes = {}
  for _, name in ipairs {"tiny", "small", "base"} do
    if model_keys.presets[name][key] then sizes[#sizes + 1] = ("%s %d"):format(name, model_keys.presets[name][key]) end
  end
  return #sizes > 0 and ("%s (%s)"):format(row[3], table.concat(sizes, ", ")) or row[3]
end

local function add_task_rows(schemas)
  schemas.mix, schemas.tasks = {}, {}
  schemas.mix.how = {nil, "joint: every task each step; alternating: one task a step, in turn; sampled: one, drawn by the weights", type = "string", unset = unset "joint"}
  schemas.mix.weighting = {nil, "of the losses: fixed: the tasks' weights; uncertainty: learnt (Kendall et al. 2018); gradient: gradients of one norm, then weighted", type = "string",
                           unset = unset "fixed"}
  for name, rows in pairs(require("vbl.tasks").schema) do
    local path = "tasks." .. name
    if not name:find(".", 1, true) then schemas.tasks[name] = {nil, "the task; {} for its defaults, false leaves it out", type = "table", optional = true} end
    schemas[path] = {}
    for key, row in pairs(rows) do schemas[path][key] = {nil, row[2], type = row[1], optional = row.optional} end
  end
end

local head = {hidden = {nil, "hidden width of the classifier (512)", type = "number"}, dropout = {nil, "of the classifier (0.1)", type = "number"},
              fusion = {nil, "of the CLS vectors: concat, sum or product (concat)", type = "string"}}

-- For vbl.config(defaults, vbl.train.schemas(kind)): every key that the trainer, the model and the tasks know, so that the command line may
-- set also those that a script does not list. kind: "pretrain" (the default) or "finetune".
function train.schemas(kind)
  local schemas = {[""] = {}, model = {}, scenes = {}, captions = {}}
  for key, row in pairs(require("vbl.train.options")[kind or "pretrain"]) do schemas[""][key] = {nil, row[3], type = row[1], unset = unset(row[2])} end
  schemas[""].own = nil  -- the script's table says which keys there are
  for key, row in pairs(model_keys.schema) do
    local path, choice = row[1] == "path", type(row[1]) == "table"
    schemas.model[key] = {nil, model_meaning(key, row), type = (choice or path) and "string" or row[1],
                          also = path and "table" or nil,  -- a path each for text and vision
                          unset = not by_trainer[key] and unset(row[2]) or nil}
  end
  for key, row in pairs(require("vbl.data").options) do
    if row.of then schemas[row.of][key] = row end
  end
  schemas.scenes.seed = {nil, "of the scenes (pretraining: the run's; fine-tuning: one for all runs)", type = "number"}
  if kind == "finetune" then schemas.head = head else add_task_rows(schemas) end
  return schemas
end

-- What a caller may put in place of what the config would build, by function.
local parts_of = {pretrain = {"data", "model", "tasks"}, finetune = {"data", "model"}, job = {"data", "model", "tasks", "kind", "frozen"}}

local function run(name, kind, config, parts)
  if type(config) ~= "table" or type(config.flags) ~= "table" then
    local got = type(config) == "table" and "a table without its flags" or type(config)
    usage("train: expected the config that vbl.config(keys, vbl.train.schemas()) returns, got " .. got)
  end
  parts = setmetatable({kind = require(kind)}, {__index = known("parts of vbl.train." .. name, parts, parts_of[name])})
  if not config.flags.plan then return loop.run(config, parts) end
  print(plan.text(job_of.new(config, parts, true)))
  os.exit(0, true)  -- there is no run for the rest of the script to look at
end

-- Returns the run: {folder = path, test = name -> value at the last epoch, values = those of result.json, model =, data =}; with --plan the script ends here.
function train.pretrain(config, parts) return run("pretrain", "vbl.train.pretraining", config, parts) end

-- The same; values are those of the best checkpoint.
function train.finetune(config, parts) return run("finetune", "vbl.train.finetuning", config, parts) end

-- One step on a given batch, for scripts that own their loop: the gradient of all tasks, then the optimizer. Returns name -> value.
function train.step(job, batch, step) return step_of.now(job, batch, step) end

-- What a run is made of, without a run, for scripts that own their loop.
function train.job(config, parts)
  flags.refuse(config.flags.given or {}, "this script takes its own steps; a run of vbl.train.pretrain or finetune knows this flag")
  return job_of.new(config, known("parts of vbl.train.job", parts, parts_of.job))
end

-- Several runs of one script, each made once: see train/study.lua.
train.study = require "vbl.train.study"

-- A run to look at: vbl.train.open(RUN or one of its checkpoints) -> job, epochs. See train/open.lua.
train.open = require "vbl.train.open"

-- The run that Ctrl-C, SIGTERM or an error stopped last, until another begins: vbl.train.last:continue() goes on with it in this process, bit for bit as
-- one that was never stopped; .folder, .job.model and .job.data are there to be looked at. nil: there is none.
return setmetatable(train, {__index = function(_, key)
  if key == "last" then return loop.last end
  local names = {"last"}
  for name in next, train do names[#names + 1] = name end
  error(("vbl.train has no '%s'%s"):format(tostring(key), nearest.hint(tostring(key), names)), 2)
end})

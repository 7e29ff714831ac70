-- A run's state on disk: what a checkpoint holds and how a run is opened again. Everything random is a function of (seed, step), so the
-- state is weights, moments, step counts and the sums of the epoch's averages.
local trimmed = require "vbl.trimmed"
local vbl = require "vbl"
local checkpoint = require "vbl.runs.checkpoint"
local copy_weights = require "vbl.train.copy_weights"
local dist = require "vbl.dist"
local flatten = require "vbl.runs.flatten"
local folder = require "vbl.runs.folder"
local follower = require "vbl.runs.follower"
local initial = require "vbl.train.initial"
local kinds = require "vbl.train.kinds"
local manifest = require "vbl.runs.manifest"
local sorted_keys = require "vbl.sorted_keys"
local start = require "vbl.train.start"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local values = require "vbl.config.values"
local vocabulary = require "vbl.data.vocabulary"

local state = {}

-- What decides what is computed, the config's keys and the data; two runs with equal ones are the same run. Checkpointed layers change no bit.
local function fingerprint(job)
  local f = {seed = job.config.flags.seed, data_hash = job.data:hash()}
  for key in pairs(require("vbl.train.options")[job.kind.name]) do f[key] = job.config[key] or nil end  -- a switch that is off says nothing
  f.checkpointing = nil
  return f
end

-- What the model began with: of its files, which may be replaced under their names.
local function weights_hash(loaded)
  local sums = {}
  for i, file in ipairs(loaded.files) do sums[i] = ("%08x"):format(store.crc32_file(file)) end
  return "crc32:" .. table.concat(sums, ",")
end

local function names_of(tasks)
  local names = {}
  for i, task in ipairs(tasks) do names[i] = task.name end
  return names
end

local function manifest_for(job)
  local parameters = {}
  for _, part in ipairs(require("vbl.models.summary").parts(job.model)) do parameters[part[1]] = part[2] end
  local coattention = {}
  for i, layer in ipairs(require("vbl.analysis.features").layers(job.model.config)) do
    if layer.coattention then coattention[#coattention + 1] = i - 1 end
  end
  local m = {
    kind = job.kind.name,
    coattention_layers = coattention,  -- of the layer analysis, from 0: plots shade them
    task_names = names_of(job.tasks), device = job.config.flags.device, data = job.data.name, data_hash = job.data:hash(), parameters = parameters,
    total_parameters = job.model:num_parameters(), train_pairs = job.train:size(), test_pairs = job.test:size(), steps = job.total_steps,
    threads = system.threads(), ranks = dist.size() > 1 and dist.size() or nil, precision = job.config.precision,
    weights_hash = job.model.loaded and weights_hash(job.model.loaded),
    initial = initial.of(job.model.list),
  }
  for key, value in pairs(job.kind.manifest(job)) do m[key] = value end
  return m
end

-- vocab.txt and tokenizer_config.json: what the ids of the model's text stream mean. A checkpoint without it would be of no use to others.
local function vocabulary_files(tokenizer)
  return {["vocab.txt"] = vocabulary.text(vocabulary.tokens(tokenizer)),
          ["tokenizer_config.json"] = store.json_encode(vocabulary.rules(tokenizer:rules()), {indent = 2})}
end

function state.create(job)
  local run
  local ok, path = pcall(dist.on_first, function()
    run = folder.create {out = job.config.flags.out, name = job.config.flags.name or job.config.name, config = job.config, manifest = manifest_for(job),
                         files = vocabulary_files(job.data.tokenizer)}
    return run.path
  end)
  if not ok then usage(usage.strip(path)) end
  return run or follower(path)
end

local function all_there(weights)
  if type(weights) ~= "table" then return system.exists(weights) end
  for _, path in pairs(weights) do
    if not system.exists(path) then return false end
  end
  return true
end

-- The weights that a run began with may have gone since: its checkpoint has all of the model, and its folder the vocabulary. The config,
-- which says what the run is, stays.
function state.weights_of(run, config)
  local weights, from, last = config.model and config.model.weights, config.from or "", run .. "/checkpoints/last"
  local gone = weights and not all_there(weights) or from ~= "" and not pcall(start.weights, from)
  return gone and system.exists(last) and last or nil
end

-- A run that came to its end and whose checkpoints are gone has nothing to go on from; one that was stopped before its first begins again.
local function check_left(path)
  local file = path .. "/result.json"
  if system.exists(file) and vbl.load(file).status == "finished" and #checkpoint.whole(path .. "/checkpoints") == 0 then
    usage(("--resume %s: the run is finished and its checkpoints were deleted: nothing is left to go on from"):format(path))
  end
end

-- The run of a folder, which the first rank alone writes, and {config =}.
local function opened(path)
  local run, stored
  path = dist.on_first(function()
    run, stored = folder.open(path)
    return run.path
  end)
  if run then return run, stored end
  return follower(path), {config = folder.config(path)}
end

-- A run of this process that was stopped, to go on in it: its model and data are there.
function state.reopen(path)
  local ok, run = pcall(opened, path)
  if not ok then usage(usage.strip(run)) end
  if #checkpoint.whole(path .. "/checkpoints") == 0 then
    run:close()
    usage(("%s: it has no whole checkpoint to go on from"):format(path))
  end
  return run
end

-- Hyper-parameters of the script that the run began without: the script was changed since, or the run is from before they were recorded.
local function unrecorded(own, recorded)
  local lines = {}
  own, recorded = flatten(own or {}), flatten(recorded or {})
  for _, key in ipairs(sorted_keys(own)) do
    if recorded[key] == nil then lines[#lines + 1] = ("own.%s: the run has none on record; it goes on with the script's %s"):format(key, values.show(own[key])) end
  end
  return lines
end

-- --resume RUN: the run and {config = the run's own config}. The run goes on as it began: keys on the command line are an error.
function state.open(config, kind)
  local flags, words = config.flags, {table.unpack(config.flags.words or {})}
  for _, name in ipairs {"seed", "out", "name"} do
    if flags.given and flags.given[name] then words[#words + 1] = "--" .. name end
  end
  if #words > 0 then
    usage(("--resume %s goes on with the run's own config; leave out %s (with others a new run begins from its weights: %s=%s/checkpoints/last)"):format(
      flags.resume, table.concat(words, " "), kind == "finetune" and "from" or "model.weights", trimmed(flags.resume)))
  end
  local began = kinds.name_of(flags.resume)
  if began and began ~= kind then usage(("--resume %s: it is a %s run; this script goes on with a %s run"):format(flags.resume, began, kind)) end
  local ok, run, stored = pcall(opened, flags.resume)
  if not ok then usage("--resume: " .. usage.strip(run)) end
  check_left(run.path)
  stored.unrecorded = unrecorded(config.own, stored.config.own)
  stored.config.flags = flags
  flags.weights = state.weights_of(run.path, stored.config)
  flags.seed, stored.config.seed = stored.config.seed or flags.seed, nil
  return run, stored
end

-- A script hands over tasks of its own beside the config: another one would train others. Their order is that of their dropout masks.
local function check_tasks(run, job)
  local began = manifest(run.path).task_names  -- nil: from before they were recorded
  local had, has = table.concat(began or {}, ", "), table.concat(names_of(job.tasks), ", ")
  if not began or had == has then return end
  usage(("--resume %s: the run trains the tasks %s and this script%s hands over %s: go on with the script that began it"):format(
    run.path, had, arg and arg[0] and (" (%s)"):format(arg[0]) or "", has))
end

-- Sums round as the number of ranks and threads has it.
local function compare_threads(run)
  local began = manifest(run.path)
  local threads, ranks = began.threads, began.ranks or 1
  if ranks ~= dist.size() then
    run:warn("the run began with %d rank%s and goes on with %d: its sums may differ in the last bits", ranks, ranks == 1 and "" or "s", dist.size())
    return
  end
  if threads and threads ~= system.threads() then
    run:warn("the run began with %d threads and goes on with %d: its sums may differ in the last bits; --threads %d goes on bit for bit", threads,
             system.threads(), threads)
  end
end

local function describe(run, kind, step) return string.format("%s/checkpoints/%s (step %d)", run.path, kind, step) end

-- The counters of a run at its start or at its last checkpoint.
function state.restore(run, job, stored)
  local s = {step = 0, epoch = -1, samples = 0, seconds = 0, sums = {}, recent = {}, missing = {}}
  if not stored then return s end
  check_tasks(run, job)
  local ok, found = pcall(run.load_checkpoint, run, "last", fingerprint(job))
  if not ok then usage(usage.strip(found)) end
  compare_threads(run)
  for _, line in ipairs(stored.unrecorded or {}) do run:warn("%s", line) end
  if not found then return s end
  copy_weights(job.model.list, found.training or found.model, run.path .. "/checkpoints/last/model.safetensors")
  if job.average then copy_weights(job.average.list, found.model, run.path .. "/checkpoints/last/model.safetensors") end
  copy_weights(job.mix.list, found.mix or found.model, run.path .. "/checkpoints/last")  -- once they were among the model's
  job.optimizer:load_state {m = found.optimizer.m, v = found.optimizer.v, steps = found.state.optimizer_steps,
                            parameters = found.state.optimizer_parameters}  -- nil: from before they were recorded
  for key, value in pairs(found.state.counters) do s[key] = value end
  s.missing.last = nil  -- it is there: this one
  s.saved = describe(run, "last", s.step)
  return s
end

-- A list of parameters as a file of a checkpoint.
local function part_of(list, metadata)
  local names, tensors = {}, {}
  for i, p in ipairs(list) do names[i], tensors[i] = p.name, p.tensor end
  return {names = names, tensors = tensors, metadata = metadata}
end

-- kind: "last", "best", "epoch-N". A failure (disk full) is logged, the older checkpoint stays and the run goes on; s.missing[kind] says why until
-- one of that kind is written. -> whether it was
function state.save(run, kind, job, s)
  local moments = job.optimizer:state()
  s.missing[kind] = nil
  local counters = {step = s.step, epoch = s.epoch, samples = s.samples, seconds = s.seconds, sums = s.sums, best = s.best, test = s.test,
                    before = s.before, after = s.after, recent = s.recent, measures = s.measures, left_out = s.left_out, untrained = s.untrained,
                    missing = next(s.missing) and s.missing or nil}
  local message = dist.on_first(function()
    local ok, message = run:checkpoint(kind, {
      model = part_of(job.average and job.average.list or job.model.list, job.model:metadata()), training = job.average and part_of(job.model.list),
      mix = #job.mix.list > 0 and part_of(job.mix.list) or nil,
      optimizer = {names = {"m", "v"}, tensors = {moments.m, moments.v}},
      state = {counters = counters, optimizer_steps = moments.steps, optimizer_parameters = moments.parameters, fingerprint = fingerprint(job)},
    })
    return not ok and message or nil
  end)
  s.missing[kind] = message
  if not message then
    s.saved = describe(run, kind, s.step)
  else
    run:warn("checkpoint %s was not written: %s; the last whole one is %s", kind, message, s.saved or "none yet")
  end
  return not message
end

-- "the checkpoint best was not written: ..." of those that are missing at the run's end; nil: all are there.
function state.missing(s)
  local kinds = sorted_keys(s.missing)
  for i, kind in ipairs(kinds) do kinds[i] = ("the checkpoint %s was not written: %s"):format(kind, s.missing[kind]) end
  return kinds[1] and table.concat(kinds, "; ")
end

return state

-- A run's state on disk: what a checkpoint holds and how a run is opened again. Everything random is a function of (seed, step), so the
-- state is weights, moments, step counts and the sums of the epoch's averages.
local vbl = require "vbl"
local folder = require "vbl.runs.folder"
local system = require "vbl.system.c"

local state = {}

-- Keys of the config that decide what is computed; two runs with equal ones are the same run.
local function fingerprint(config)
  local f = {seed = config.flags.seed}
  for key in pairs(require "vbl.train.options") do f[key] = config[key] end
  return f
end

local function manifest(job)
  local parameters = {}
  for _, part in ipairs(require("vbl.models.summary").parts(job.model)) do parameters[part[1]] = part[2] end
  local coattention = {}
  for i, layer in ipairs(require("vbl.train.probe").layers(job.model.config)) do
    if layer.coattention then coattention[#coattention + 1] = i - 1 end
  end
  return {
    coattention_layers = coattention,  -- of the layer analysis, from 0: plots shade them
    device = job.config.flags.device, data = job.data.name, data_hash = job.data:hash(), parameters = parameters,
    total_parameters = job.model:num_parameters(), train_pairs = job.train:size(), test_pairs = job.test:size(), steps = job.total_steps,
    threads = system.threads(),
  }
end

function state.create(job)
  return folder.create {out = job.config.flags.out, name = job.config.flags.name or job.config.name, config = job.config, manifest = manifest(job)}
end

-- --resume RUN: the run and {config = the run's own config}. The run goes on as it began: keys on the command line are an error.
function state.open(config)
  local words = config.flags.words or {}
  if #words > 0 then
    error(string.format("--resume %s goes on with the run's own config; leave out %s", config.flags.resume, table.concat(words, " ")), 0)
  end
  local run, stored = folder.open(config.flags.resume)
  stored.config.flags = config.flags
  config.flags.seed, stored.config.seed = stored.config.seed or config.flags.seed, nil
  return run, stored
end

-- The counters of a run at its start or at its last checkpoint.
function state.restore(run, job, stored)
  local s = {step = 0, epoch = -1, samples = 0, seconds = 0, sums = {}}
  if not stored then return s end
  local checkpoint = run:load_checkpoint("last", fingerprint(job.config))
  if not checkpoint then return s end
  vbl.no_grad(function()
    for _, p in ipairs(job.model.list) do p.tensor:copy_(checkpoint.model[p.name]) end
  end)
  job.optimizer:load_state {m = checkpoint.optimizer.m, v = checkpoint.optimizer.v, steps = checkpoint.state.optimizer_steps}
  for key, value in pairs(checkpoint.state.counters) do s[key] = value end
  s.saved = "last"
  return s
end

-- kind: "last", "best", "epoch-N". A failure (disk full) is logged and the older checkpoint stays: the run goes on.
function state.save(run, kind, job, s)
  local names, tensors = {}, {}
  for i, p in ipairs(job.model.list) do names[i], tensors[i] = p.name, p.tensor end
  local moments = job.optimizer:state()
  local counters = {step = s.step, epoch = s.epoch, samples = s.samples, seconds = s.seconds, sums = s.sums, best = s.best, test = s.test}
  local ok, message = run:checkpoint(kind, {
    model = {names = names, tensors = tensors}, optimizer = {names = {"m", "v"}, tensors = {moments.m, moments.v}},
    state = {counters = counters, optimizer_steps = moments.steps, fingerprint = fingerprint(job.config)},
  })
  if ok then s.saved = run.path .. "/checkpoints/" .. kind else run:warn("checkpoint %s was not written: %s", kind, message) end
end

return state

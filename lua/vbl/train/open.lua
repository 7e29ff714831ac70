-- open(path, opts) -> job, epochs: a finished (or running) run to look at, without its optimizer.
--   path: a run's folder or name (vbl.runs.named), or one of its checkpoints (RUN/checkpoints/best); the weights are that checkpoint's, else those of "last"
--   epochs: {{epoch = 0}, {epoch = 1, path = "RUN/checkpoints/epoch-1"}, ...} of the checkpoints that are there, sorted. Epoch 0 has no file: it is
--           drawn again from the run's seed (or read from the config's own weights), and left out, with a sentence, where that is not what the run began with:
--           the weights' files are gone or others, or a script made the model
--   job.at(epoch row) puts the weights of one of them into job.model
-- The data must be what the run had (its hash is in manifest.json).
local checkpoint = require "vbl.runs.checkpoint"
local copy_weights = require "vbl.train.copy_weights"
local folder = require "vbl.runs.folder"
local job_of = require "vbl.train.job"
local initial = require "vbl.train.initial"
local kinds = require "vbl.train.kinds"
local manifest = require "vbl.runs.manifest"
local named = require "vbl.runs.named"
local state = require "vbl.train.state"
local system = require "vbl.system.c"
local usage = require "vbl.usage"

-- The run's folder and the checkpoint's kind.
local function split(path)
  local ok, found = pcall(named, path)
  if not ok then usage(found) end
  local run, kind = checkpoint.place(found)
  if run then return run, kind end
  usage(("%s: neither a run, by its folder (config.lua in it) or the name that it has in runs/, nor one of its checkpoints (RUN/checkpoints/last)"):format(path))
end

-- Whether the job's model, as it was made, is what the run began with. Runs of before that was recorded are believed where their weights are there.
local function as_it_began(job, run)
  local began = manifest(run).initial
  if began then return initial.same(began, initial.of(job.model.list)) end
  return job.config.flags.weights == nil
end

local function epochs_of(run, with_first)
  local list = {with_first and {epoch = 0} or nil}
  for _, found in ipairs(checkpoint.whole(run .. "/checkpoints")) do
    local epoch = found.kind:match "^epoch%-(%d+)$"
    if epoch then list[#list + 1] = {epoch = tonumber(epoch), path = found.path} end
  end
  table.sort(list, function(a, b) return a.epoch < b.epoch end)
  return list
end

local function check_data(job, run)
  local known = manifest(run).data_hash
  if known and known ~= job.data:hash() then
    usage(("%s: the data set has changed since the run (hash %s, the run had %s): its held-out pairs are not the run's"):format(run, job.data:hash(), known))
  end
end

return function(path, opts)
  local run, kind = split(path)
  local config = folder.config(run)
  config.flags = {seed = config.seed, device = opts and opts.device or "cpu", weights = state.weights_of(run, config)}
  config.seed = nil
  local job = job_of.new(config, {frozen = true, kind = kinds.of(run)})
  check_data(job, run)
  local first, whole = {}, as_it_began(job, run)
  if not whole then io.stderr:write(("vbl: %s: epoch 0 is left out: its seed and weights do not give the model any more that it began with\n"):format(run)) end
  for _, p in ipairs(job.model.list) do first[p.name] = p.tensor:clone():detach() end
  job.run = run
  function job.at(row)
    if not row.path then return copy_weights(job.model.list, first, run) end
    local ok, parts = pcall(checkpoint.read, run .. "/checkpoints", row.path:match "[^/]*$")
    if not ok then usage(usage.strip(parts)) end
    copy_weights(job.model.list, parts.model, row.path)
  end
  kind = kind or "last"
  if system.exists(run .. "/checkpoints/" .. kind) then
    job.at {path = run .. "/checkpoints/" .. kind}
  else
    usage(("%s: there is no checkpoint '%s' in it"):format(run, kind))
  end
  job.checkpoint = kind
  return job, epochs_of(run, whole)
end

-- A sweep's beginning and its going on: the folder with its first entry, the comparison with the file that says what the sweep is, and who
-- does the work, workers on this machine or a Slurm array.
--
-- FOLDER (OUT/NAME): journal/ (vbl.sweep.journal), trials/ (the runs' folders), output/ (what they printed), workers/ (heartbeats, logs).
--
--   start.new(given)      what vbl.sweep{...} does: begins the sweep, or goes on with it where the file is run with --resume FOLDER
--   start.resume(folder, words)      vbl sweep resume: runs the sweep's file again, which has to say the same
local c = require "vbl.store.c"
local merged = require "vbl.merged"
local read_config = require "vbl.config"
local dist = require "vbl.dist"
local journal_of = require "vbl.sweep.journal"
local lease = require "vbl.sweep.lease"
local space = require "vbl.sweep.space"
local spec = require "vbl.sweep.spec"
local status = require "vbl.sweep.status"
local suggest = require "vbl.sweep.suggest"
local system = require "vbl.system.c"
local trial = require "vbl.sweep.trial"
local trimmed = require "vbl.trimmed"
local usage = require "vbl.usage"

local start = {}

-- How this process was asked to go on: {retry=, trials=, jobs=}; set by start.resume.
local resuming = {}

local function absolute(path) return path:find "^/" and path or assert(system.cwd()) .. "/" .. path end

-- The sweep that the folder's journal begins with, or nil.
local function held(folder)
  if not system.exists(folder .. "/journal/000001.json") then return nil end
  return status.read(folder)
end

local function refuse_held(folder, state, definition)
  local key, old, new = spec.difference(state.spec, definition)
  if key then
    error(("sweep: %s holds another sweep: '%s' is %s there and %s here; give this one another name, or folder = \"...\""):format(folder, key, old, new), 0)
  end
  error(("sweep: %s holds this sweep already (%d of %d trials begun); go on with: vbl sweep resume %s"):format(folder, #state.trials, state.budget, folder), 0)
end

local function make(folder, definition, lease_seconds)
  if not system.exists(folder .. "/journal") and #(system.list(folder) or {}) > 0 then
    error(("sweep: %s: is not empty and holds no sweep; give another name, or folder = \"...\""):format(folder), 0)
  end
  for _, part in ipairs {"journal", "workers", "trials", "output"} do c.make_folder(folder .. "/" .. part) end
  local words = {}
  for i = 1, #arg do words[i] = arg[i] end
  local journal = journal_of.open(folder, lease.name())
  local first = {type = "sweep", definition = definition, file = arg[0], words = words, cwd = assert(system.cwd()), lease = lease_seconds}
  if not journal:append(first) then refuse_held(folder, held(folder), definition) end
end

-- Appends an entry that is right whatever else comes before it.
local function add(folder, entry)
  local journal = journal_of.open(folder, lease.name())
  repeat journal:read() until journal:append(entry)
end

-- How many trials from now on: what this resume asks for (a grid bounds it); else what the file says, where that was edited since it was last read; else
-- what was asked for last, which a resume without a word does not take back.
local function budget_of(state, given, said)
  if not resuming.trials then return said ~= state.said and said or state.budget end
  return spec.read(merged(given, {trials = resuming.trials})).trials
end

local function go_on(folder, definition, given)
  local state = status.read(folder)
  local key, old, new = spec.difference(state.spec, definition)
  if key then
    error(("sweep: %s was edited: '%s' is %s in %s and %s in the file; trials of both would not compare. Undo the edit to go on, or begin another sweep (another name)"):format(
      arg[0], key, old, folder, new), 0)
  end
  local budget, said = budget_of(state, given, definition.trials), definition.trials
  if budget ~= state.budget or said ~= state.said then add(folder, {type = "trials", trials = budget, file = said}) end
  if resuming.retry then add(folder, {type = "retry"}) end
end

local function work(folder, definition, how)
  local cwd = status.read(folder).cwd
  if how.slurm then
    local job = require("vbl.sweep.slurm").submit(folder, definition, cwd, how.slurm)
    add(folder, {type = "submit", job = job})
    print(("submitted: Slurm job %s, %d worker%s on %s\nsee: vbl sweep status %s"):format(job, how.slurm.jobs, how.slurm.jobs == 1 and "" or "s", folder, folder))
    return
  end
  local jobs = resuming.jobs or how.jobs or how.devices and #how.devices or math.max(1, system.cpu().cores // definition.threads)
  require("vbl.sweep.crew").run(folder, {jobs = jobs, devices = how.devices})
end

-- What would be tried, as far as it does not depend on results.
local function plan(definition)
  local grid = space.grid(definition.dims, definition.constants, 1e5)
  print(("%s: %s over %d trials of %s, seeds %s"):format(definition.name, definition.method, definition.trials, definition.experiment,
                                                        table.concat(definition.seeds, " ")))
  for _, o in ipairs(definition.objectives) do print(("objective    %s %s"):format(o.direction, o.name)) end
  print(("space        %s"):format(grid and #grid .. " configurations" or "no grid"))
  for _, dim in ipairs(definition.dims) do
    print(("  %s  %s"):format(dim.key, space.text(dim)))
  end
  local known = {}
  for number = 0, math.min(definition.trials, definition.method == "tpe" and definition.startup or 10) - 1 do
    local config = suggest(definition, number, known)
    if not config then break end
    known[number + 1] = {config = config}
    print(("trial %-6d %s"):format(number, table.concat(trial.words(config), " ")))
  end
end

-- The flags of an experiment hold for a sweep's file too: --seed (of what the sweep draws), --threads (of a trial), --device, --out, --plan,
-- --resume FOLDER; keys: jobs, trials.
local function with_flags(given)
  local flags = given.config and given.config.flags
  local all = merged(given)
  all.config = nil
  if not flags then
    local own = read_config({}, {[""] = {jobs = {nil, "workers on this machine", type = "number"}, trials = {nil, "how many configurations", type = "number"}}})
    flags = own.flags
    all.jobs, all.trials = own.jobs or all.jobs, own.trials or all.trials
  end
  if flags.given.seed then all.seed = flags.seed end
  if flags.given.threads then all.threads = flags.threads end
  if flags.given.device then all.devices = {flags.device} end
  return all, flags
end

local function begin(given)
  if type(given) ~= "table" then error("sweep: expected a table {name =, experiment =, space =, ...}, got " .. type(given), 0) end
  local all, flags = with_flags(given)
  local definition, how = spec.read(all)
  if flags.plan then
    require("vbl.sweep.check").experiment(definition)
    return plan(definition)
  end
  local folder = absolute(flags.resume or how.folder or flags.out .. "/" .. definition.name)
  if flags.resume then
    go_on(folder, definition, all)
  else
    local state = held(folder)
    if state then refuse_held(folder, state, definition) end
    require("vbl.sweep.check").experiment(definition)
    make(folder, definition, how.lease)
  end
  work(folder, definition, how)
  return status.open(folder)
end

function start.new(given)
  dist.refuse "a sweep"
  local ok, result = xpcall(begin, usage.explain, given)
  if ok then return result end
  if type(result) == "table" then error(result, 0) end
  usage(usage.strip(result))
end

function start.resume(folder, opts)
  folder = absolute(trimmed(folder))
  local state = status.read(folder)
  if system.cwd() ~= state.cwd then error(("sweep: %s was begun in %s, where its paths start; cd there, then resume it"):format(folder, state.cwd), 0) end
  if not system.exists(state.file) then
    error(("sweep: %s: the sweep's file %s is gone; bring it back, or work on without it: vbl sweep worker %s"):format(folder, state.file, folder), 0)
  end
  resuming = opts
  arg = {[0] = state.file, table.unpack(state.words)}
  table.move({"--resume", folder}, 1, 2, #arg + 1, arg)
  return assert(loadfile(state.file))(table.unpack(arg))
end

return start

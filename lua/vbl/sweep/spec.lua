-- The definition of a sweep, as plain data: what vbl.sweep{...} says, checked and completed. It is the first entry of the sweep's journal,
-- and all that a worker needs.
--
--   spec.read(given) -> definition, how     raises the first mistake, as one sentence; how: {jobs, devices, slurm, lease, folder}, which is
--                                           how it runs here and not what it is
--   spec.difference(old, new) -> "space.lr.high", its old value, its new one, as text; nil where both are the same sweep. The number of
--                                trials may differ: more of them is the same sweep, longer
local difference = require "vbl.difference"
local nearest = require "vbl.nearest"
local objective = require "vbl.sweep.objective"
local prune = require "vbl.sweep.prune"
local space = require "vbl.sweep.space"
local system = require "vbl.system.c"
local values = require "vbl.config.values"

local spec = {}

local GRID = 100000

-- key = {type, meaning}
local keys = {
  name = {"string", "the sweep's name"}, experiment = {"string", "the script of a trial"}, space = {"table", "see vbl.sweep.space"},
  objective = {"any", "what to seek: vbl.sweep.objective"}, method = {"string", "grid, random or tpe"}, seeds = {"table", "seeds of each trial"},
  trials = {"number", "how many configurations"}, pruner = {"any", "see vbl.sweep.prune"}, seed = {"number", "of what the sweep draws"},
  startup = {"number", "tpe: trials drawn at random first"}, threads = {"number", "threads of a trial"},
  jobs = {"number", "workers on this machine"}, devices = {"table", "device of each worker"}, slurm = {"table", "see vbl.sweep.slurm"},
  lease = {"number", "seconds without a heartbeat after which a worker on another host counts as dead"}, folder = {"string", "the sweep's folder"},
}

local function fail(format, ...) error("sweep: " .. format:format(...), 0) end

local function check_keys(given)
  if type(given) ~= "table" then fail("expected a table {name =, experiment =, space =, objective =, method =, ...}, got %s", type(given)) end
  for key, value in pairs(given) do
    local row = keys[key]
    if not row then fail("unknown key '%s'%s", tostring(key), nearest.hint(tostring(key), keys)) end
    if row[1] ~= "any" and type(value) ~= row[1] then fail("%s (%s): expected a %s, got %s", key, row[2], row[1], values.show(value)) end
  end
end

local function whole(given, key, least, fallback)
  local value = given[key]
  if value == nil then return fallback end
  if not math.tointeger(value) or value < least then fail("%s (%s): expected a whole number from %d, got %s", key, keys[key][2], least, values.show(value)) end
  return math.tointeger(value)
end

local function needed(given, key, example)
  if given[key] == nil then fail("%s is missing (%s), such as %s = %s", key, keys[key][2], key, example) end
  return given[key]
end

local methods = {"grid", "random", "tpe"}

local function method_of(given)
  local method = needed(given, "method", '"tpe"')
  for _, name in ipairs(methods) do
    if method == name then return method end
  end
  fail("unknown method '%s'%s (there are %s)", method, nearest.hint(method, methods), table.concat(methods, ", "))
end

local function seeds_of(given)
  local list, seen = {}, {}
  for i, seed in ipairs(given.seeds or {0}) do
    if not math.tointeger(seed) or seed < 0 or seed > 0xffffffff then fail("seeds: expected whole numbers from 0 to 4294967295, got %s", values.show(seed)) end
    if seen[seed] then fail("seeds: %d is there twice", seed) end
    seen[seed], list[i] = true, math.tointeger(seed)
  end
  if #list == 0 then fail "seeds: expected at least one, such as {0, 1, 2}" end
  return list
end

-- The number of trials, and the grid's size where that bounds it.
local function trials_of(given, definition)
  if definition.method ~= "grid" then
    needed(given, "trials", "40")
    return whole(given, "trials", 1)
  end
  local grid, why = space.grid(definition.dims, definition.constants, GRID)
  if not grid then fail("%s", why) end
  return math.min(whole(given, "trials", 1, #grid), #grid)
end

local function name_of(given)
  local name = needed(given, "name", '"fusion"')
  if not name:find "^[%w_][%w_.%-]*$" then fail("name: expected letters, digits and _ . -, got '%s'", name) end
  return name
end

local function experiment_of(given)
  local path = needed(given, "experiment", '"experiments/finetune.lua"')
  local stat, message = system.stat(path)
  if not stat then fail("experiment: %s", message) end
  if stat.type ~= "file" then fail("experiment: %s: expected a Lua file, this is a %s", path, stat.type) end
  return path
end

local function how_of(given)
  for _, device in ipairs(given.devices or {}) do
    if type(device) ~= "string" then fail('devices: expected names such as "cuda:0", got %s', values.show(device)) end
  end
  local how = {jobs = whole(given, "jobs", 1), devices = given.devices, lease = given.lease or 120, folder = given.folder}
  if how.lease < 2 then fail("lease: expected at least 2 seconds, got %g", how.lease) end
  how.slurm = given.slurm and require("vbl.sweep.slurm").read(given.slurm)
  return how
end

function spec.read(given)
  check_keys(given)
  local definition = {name = name_of(given), experiment = experiment_of(given), method = method_of(given), seeds = seeds_of(given)}
  definition.dims, definition.constants = space.read(needed(given, "space", "{lr = sweep.log(1e-5, 1e-3)}"))
  definition.objectives = objective.read(given.objective)
  definition.pruner = prune.check(given.pruner)
  definition.seed, definition.startup = whole(given, "seed", 0, 0), whole(given, "startup", 1, 10)
  definition.threads = whole(given, "threads", 1, 1)
  definition.trials = trials_of(given, definition)
  return definition, how_of(given)
end

-- As the user wrote it: dimensions and constants by their keys, objectives by name.
local function view(definition)
  local v = {space = {}, objective = {}}
  for key, value in pairs(definition) do
    if key ~= "dims" and key ~= "constants" and key ~= "objectives" and key ~= "trials" then v[key] = value end
  end
  for _, dim in ipairs(definition.dims) do v.space[dim.key] = dim end
  for key, value in pairs(definition.constants) do v.space[key] = {constant = value} end
  for _, o in ipairs(definition.objectives) do v.objective[#v.objective + 1] = o.direction .. " " .. o.name end
  return v
end

function spec.difference(old, new) return difference.first(view(old), view(new)) end

return spec

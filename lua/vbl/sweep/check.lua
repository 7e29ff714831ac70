-- Whether the experiment takes the sweep's keys and values, asked before anything is started: `vbl EXPERIMENT key=value ... --plan`, which
-- trains nothing, for a few configurations that have the ends of every range and the choices in turn.
--
--   check.experiment(definition)     raises what the experiment says of the first configuration that it refuses
local process = require "vbl.process"
local space = require "vbl.sweep.space"
local system = require "vbl.system.c"
local trial = require "vbl.sweep.trial"

local check = {}

local MOST = 8  -- configurations

local function slice(dim, first)
  local list = {}
  for i = 0, math.max(dim.least, 1) - 1 do list[i + 1] = first + i end
  return dim.most > 0 and list or {}
end

-- The dimension's value in configuration i.
local function example(dim, i)
  if dim.kind == "choice" then return dim.values[(i - 1) % #dim.values + 1] end
  if dim.kind ~= "subset" then return i % 2 == 1 and dim.low or dim.high end
  local list, value = slice(dim, i % 2 == 1 and dim.low or dim.high - math.max(dim.least, 1) + 1), {}
  for _, stream in ipairs(dim.streams or {}) do value[stream] = list end
  return dim.streams and value or list
end

local function count(dims)
  local n = 2
  for _, dim in ipairs(dims) do n = math.max(n, dim.kind == "choice" and #dim.values or 0) end
  return math.min(n, MOST)
end

-- The values of the parents under which a dimension is active.
local function condition(dims, dim)
  local forced, by_key = {}, {}
  for _, d in ipairs(dims) do by_key[d.key] = d end
  while dim and dim.when do
    forced[dim.when.key] = dim.when.values[1]
    dim = by_key[dim.when.key]
  end
  return forced
end

function check.configs(definition)
  local list, seen = {}, {}
  local function add(i, forced)
    list[#list + 1] = space.draw(definition.dims, definition.constants, function(dim)
      seen[dim.key] = true
      if forced[dim.key] ~= nil then return forced[dim.key] end
      return example(dim, i)
    end)
  end
  for i = 1, count(definition.dims) do add(i, {}) end
  for _, dim in ipairs(definition.dims) do
    if not seen[dim.key] then add(1, condition(definition.dims, dim)) end
  end
  return list
end

function check.experiment(definition)
  for _, config in ipairs(check.configs(definition)) do
    local words = trial.words(config)
    local command = {system.executable(), definition.experiment, table.unpack(words)}
    command[#command + 1] = "--plan"
    local refusal = process.refusal(command)
    if refusal then error(("sweep: %s does not take %s: %s"):format(definition.experiment, table.concat(words, " "), refusal), 0) end
  end
end

return check

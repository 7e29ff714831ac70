-- The space of a sweep: which keys of the experiment's config vary, and how. A dimension is plain data, so that it is written into the
-- sweep's journal as it is.
--
--   sweep.log(low, high[, points])        a positive number, uniform in its logarithm; points: how many a grid takes
--   sweep.linear(low, high[, points])     a number, uniform
--   sweep.integer(low, high[, points])    a whole number, both ends included; sweep.integer_log(low, high[, points]): uniform in its logarithm
--   sweep.choice{a, b, ...}               one of the values (strings, numbers, booleans, lists)
--   sweep.subset{low, high, k = {least, most}[, streams = {"text", "vision"}]}     a strictly rising list of layers; streams: one list each
--   sweep.when(key, value or {values}, dimension)     only where `key` (a choice, or a constant) has this value
-- A plain value in the space is a constant: passed on, not searched.
--
--   space.read(table) -> dims, constants      dims: {{key=, kind=, ...}, ...}, parents before children; raises what is wrong
--   space.active(dim, config) -> boolean      under the values that config has so far
--   space.draw(dims, constants, pick) -> config      pick(dim) -> value, for the active ones in their order
--   space.grid(dims, constants, most) -> list of all configs, in a fixed order, or nil and why not
--   space.text(dim) -> the dimension as it was written
--   space.values(dim) -> the dimension's values on a grid, or nil and what is missing
local merged = require "vbl.merged"
local nearest = require "vbl.nearest"
local sorted_keys = require "vbl.sorted_keys"
local subset = require "vbl.sweep.subset"
local values = require "vbl.config.values"

local space = {}

local Dimension = {__name = "dimension of a sweep"}

local function dimension(kind, fields)
  fields.kind = kind
  return setmetatable(fields, Dimension)
end

local function fail(format, ...) error(format:format(...), 0) end

local function range(kind, low, high, points)
  for _, x in ipairs {low or "nothing", high or "nothing"} do
    if type(x) ~= "number" or x ~= x or math.abs(x) == math.huge then fail("sweep.%s: expected two numbers, got %s", kind, values.show(x)) end
  end
  if low >= high then fail("sweep.%s(%s, %s): the first number has to be below the second", kind, values.show(low), values.show(high)) end
  if kind:find "log" and low <= 0 then fail("sweep.%s(%s, %s): a logarithm wants numbers above 0", kind, values.show(low), values.show(high)) end
  if points ~= nil and (not math.tointeger(points) or points < 2) then
    fail("sweep.%s: points: expected a whole number from 2, got %s", kind, values.show(points))
  end
  return dimension(kind, {low = low, high = high, points = points and math.tointeger(points)})
end

local function whole_range(kind, low, high, points)
  local d = range(kind, low, high, points)
  d.low, d.high = math.tointeger(low), math.tointeger(high)
  if not d.low or not d.high then fail("sweep.%s(%s, %s): expected whole numbers", kind, values.show(low), values.show(high)) end
  return d
end

function space.log(low, high, points) return range("log", low, high, points) end

function space.linear(low, high, points) return range("linear", low, high, points) end

function space.integer(low, high, points) return whole_range("integer", low, high, points) end

function space.integer_log(low, high, points) return whole_range("integer_log", low, high, points) end

function space.choice(list)
  if type(list) ~= "table" or #list == 0 then
    fail("sweep.choice: expected a list of values, got %s", type(list) == "table" and "an empty one" or type(list))
  end
  local seen = {}
  for _, value in ipairs(list) do
    local text = values.show(value)
    if seen[text] then fail("sweep.choice: %s is there twice", text) end
    seen[text] = true
  end
  return dimension("choice", {values = list})
end

function space.subset(opts)
  local low, high = math.tointeger(opts[1]), math.tointeger(opts[2])
  if not low or not high or low > high then fail "sweep.subset: expected {low, high, k = {least, most}}, such as {0, 11, k = {2, 8}}" end
  local k = type(opts.k) == "table" and opts.k or {opts.k, opts.k}
  local least, most = math.tointeger(k[1]), math.tointeger(k[2])
  if not least or not most or least < 0 or least > most or most > high - low + 1 then
    fail("sweep.subset: k: expected sizes {least, most} from 0 to %d, got %s", high - low + 1, values.show(opts.k))
  end
  if opts.streams and (type(opts.streams) ~= "table" or #opts.streams == 0) then fail 'sweep.subset: streams: expected names such as {"text", "vision"}' end
  return dimension("subset", {low = low, high = high, least = least, most = most, streams = opts.streams})
end

function space.when(key, wanted, dim)
  if getmetatable(dim) ~= Dimension or dim.when then fail("sweep.when(%s, ...): expected key, value(s), and one dimension", values.show(key)) end
  dim.when = {key = key, values = type(wanted) == "table" and wanted or {wanted}}
  return dim
end

-- A dimension as it was written: log(1e-05, 0.001), choice {"none", "late"}.
function space.text(dim)
  if dim.when then
    local plain = setmetatable({when = false}, {__index = dim})
    local wanted = #dim.when.values == 1 and dim.when.values[1] or dim.when.values
    return ("when(%s, %s, %s)"):format(values.show(dim.when.key), values.show(wanted), space.text(plain))
  end
  if dim.kind == "choice" then return "choice " .. values.show(dim.values) end
  if dim.kind == "subset" then
    return ("subset {%d, %d, k = {%d, %d}%s}"):format(dim.low, dim.high, dim.least, dim.most, dim.streams and ", streams = " .. values.show(dim.streams) or "")
  end
  return ("%s(%s, %s%s)"):format(dim.kind, values.show(dim.low), values.show(dim.high), dim.points and ", " .. dim.points or "")
end

local function same(a, b) return a == b or type(a) == "table" and type(b) == "table" and values.show(a) == values.show(b) end

local function one_of(value, list)
  for _, item in ipairs(list) do
    if same(value, item) then return true end
  end
  return false
end

local function check_when(dim, dims, constants)
  local parent = dims[dim.when.key]
  local known = parent and parent.kind == "choice" and parent.values or constants[dim.when.key] ~= nil and {constants[dim.when.key]}
  if not known then
    local names = {}
    for key, d in pairs(dims) do names[#names + 1] = d.kind == "choice" and key or nil end
    fail("space['%s']: depends on '%s', which is no choice of this space%s", dim.key, dim.when.key, nearest.hint(dim.when.key, names))
  end
  for _, value in ipairs(dim.when.values) do
    if not one_of(value, known) then fail("space['%s']: '%s' never has the value %s", dim.key, dim.when.key, values.show(value)) end
  end
end

-- Parents before children; within that by name.
local function ordered(dims)
  local list, state = {}, {}
  local function visit(key)
    if state[key] == "open" then fail("space['%s']: depends on itself", key) end
    if state[key] then return end
    state[key] = "open"
    local parent = dims[key].when and dims[key].when.key
    if parent and dims[parent] then visit(parent) end
    state[key] = "done"
    list[#list + 1] = dims[key]
  end
  for _, key in ipairs(sorted_keys(dims)) do visit(key) end
  return list
end

function space.read(given)
  if type(given) ~= "table" then fail("sweep: space: expected a table of keys, got %s", type(given)) end
  local dims, constants = {}, {}
  for key, item in pairs(given) do
    if type(key) ~= "string" then fail("sweep: space: expected config keys such as lr or ['model.depth'], got %s", values.show(key)) end
    if getmetatable(item) == Dimension then
      dims[key] = merged(item, {key = key})
    else
      constants[key] = item
    end
  end
  if not next(dims) then fail "sweep: space is empty: nothing to search; give at least one dimension, such as lr = sweep.log(1e-5, 1e-3)" end
  for _, dim in pairs(dims) do
    if dim.when then check_when(dim, dims, constants) end
  end
  return ordered(dims), constants
end

-- A dimension whose parent is itself absent is absent.
function space.active(dim, config) return not dim.when or config[dim.when.key] ~= nil and one_of(config[dim.when.key], dim.when.values) end

function space.draw(dims, constants, pick)
  local config = merged(constants)
  for _, dim in ipairs(dims) do
    if space.active(dim, config) then config[dim.key] = pick(dim) end
  end
  return config
end

local function spread(dim, n)
  local list, logarithmic = {}, dim.kind:find "log"
  for i = 0, n - 1 do
    local t = i / (n - 1)
    local x = logarithmic and dim.low * (dim.high / dim.low) ^ t or dim.low + (dim.high - dim.low) * t
    if dim.kind:find "integer" then x = math.floor(x + 0.5) end
    if i == 0 then x = dim.low end
    if i == n - 1 then x = dim.high end
    if x ~= list[#list] then list[#list + 1] = x end
  end
  return list
end

-- How many values, without listing them; nil where there is no end.
local function size(dim)
  if dim.kind == "choice" then return #dim.values end
  if dim.kind == "subset" then return subset.count(dim) end
  return dim.points or dim.kind:find "integer" and dim.high - dim.low + 1 or nil
end

function space.values(dim)
  if dim.kind == "choice" then return dim.values end
  if dim.kind == "subset" then return subset.all(dim) end
  if dim.points then return spread(dim, dim.points) end
  if dim.kind:find "integer" then return spread({kind = "integer", low = dim.low, high = dim.high}, dim.high - dim.low + 1) end
  return nil, ("space['%s']: a grid has to know how many points: sweep.%s(%s, %s, 5)"):format(dim.key, dim.kind, values.show(dim.low), values.show(dim.high))
end

function space.grid(dims, constants, most)
  local bound, all, list = 1, {}, {}
  for i, dim in ipairs(dims) do
    local n = size(dim)
    if not n then return nil, select(2, space.values(dim)) end
    bound = bound * n
    if bound > most then
      return nil, ("the space has up to %.3g configurations, more than a grid takes (%d); method = \"random\" or \"tpe\" search it"):format(bound, most)
    end
    all[i] = space.values(dim)
  end
  local function extend(i, config)
    if i > #dims then
      list[#list + 1] = config
    elseif not space.active(dims[i], config) then
      extend(i + 1, config)
    else
      for _, value in ipairs(all[i]) do
        extend(i + 1, merged(config, {[dims[i].key] = value}))
      end
    end
  end
  extend(1, merged(constants))
  return list
end

return space

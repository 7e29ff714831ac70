-- What fuzz_config.c calls with the words of a command line, which nobody has checked: -> nil, or what is wrong with how they were taken.
-- A config comes out whose every value is of a type that its key takes and that is the same after being written and read; or a sentence that
-- begins with the script's name. Never another error, an endless loop, memory without bound (the C side sees to these) or a call of the input's.
package.preload["vbl.system.c"] = function() return {set_threads = function() end, threads = function() return 1 end} end
package.preload["vbl.dist"] = function() return {launched = function() return 1 end, device = function(name) return name end} end
package.preload["vbl"] = function()
  return {set_device = function(name) if name ~= "cpu" then error("device '" .. name .. "': none here", 0) end end}
end
-- The modules, with their lines apart: 512 k + line, for the counters.
local files = 0
table.insert(package.searchers, 2, function(name)
  local path = package.searchpath(name, package.path)
  local file = path and io.open(path)
  if not file then return nil end
  files = files + 1
  local text = ("\n"):rep(512 * files) .. file:read "a"
  file:close()
  return assert(load(text, "@" .. path))
end)

local config = require "vbl.config"
local literal = require "vbl.config.literal"
require "vbl.config.help"

local left = {}  -- what os.exit raises: --help ends a script
os.exit = function() error(left, 0) end
print = function() end

local function defaults()
  return {data = "scenes", epochs = 4, lr = 1e-4, shuffle = true, layers = {1, 3}, names = {"a"}, none = {}, -- the comment of a line
          model = {preset = "tiny", mlp = {hidden = 8}}, tasks = {mlm = {}, mim = {weight = 1}}}
end

local schemas = {
  [""] = {batch = {32, "pairs", type = "number"}, free = {nil, "anything", type = "table", optional = true}},
  model = {dropout = {0.1, "probability"}, weights = {nil, "a file, or one each", type = "string", also = "table"}},
  tasks = {mlm = {nil, "a task", type = "table", optional = true}, ap = {nil, "a task", type = "table", optional = true}},
  ["tasks.ap"] = {head = {nil, "a word", type = "string"}, weight = {nil, "a number", type = "number"}},
}

local kinds = {data = "string", epochs = "number", lr = "number", shuffle = "boolean", layers = "table", names = "table", none = "table", model = "table",
               tasks = "table", batch = "number", flags = "table", operands = "table"}

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return math.type(a) == math.type(b) and (a == b or a ~= a and b ~= b) end
  for key, value in pairs(a) do if not same(value, b[key]) then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end

local function ill_typed(c)
  for key, kind in pairs(kinds) do
    if c[key] ~= nil and type(c[key]) ~= kind then return ("%s is a %s"):format(key, type(c[key])) end
  end
  for _, item in ipairs(c.layers) do if type(item) ~= "number" then return "an item of layers is a " .. type(item) end end
  if c.free ~= nil and c.free ~= false and type(c.free) ~= "table" then return "free is a " .. type(c.free) end
  if type(c.model.preset) ~= "string" or type(c.model.mlp) ~= "table" or type(c.model.mlp.hidden) ~= "number" then return "model is ill typed" end
end

local function look(c)
  local flags = c.flags
  c.flags = nil
  if math.type(flags.seed) ~= "integer" or type(flags.out) ~= "string" then return "flags are ill typed" end
  local wrong = ill_typed(c)
  if wrong then return wrong end
  local ok, text = pcall(config.write, c)
  if not ok then return "it cannot be written: " .. tostring(text) end
  local read, value = pcall(literal.read, text, "written")
  if not read then return ("written as %s, it cannot be read: %s"):format(text, tostring(value)) end
  if not same(c, value) then return "written and read it is another one: " .. text end
end

return function(words, operands)
  arg = {[0] = "fuzz.lua", table.unpack(words)}
  local ok, result = pcall(config, defaults(), schemas, operands and {"RUN"} or nil)
  if ok then return look(result) end
  if result == left then return nil end
  local meta = getmetatable(result)
  if type(result) ~= "table" or not meta or not meta.__tostring then return "an error that is no sentence: " .. tostring(result) end
  if not tostring(result):find "^fuzz%.lua: " then return "a sentence without the script's name: " .. tostring(result) end
end

-- An experiment's config: the script's first table, with the words of the command line merged in.
--
--   local config = vbl.config {
--     epochs = 4,                                     -- passes over the training pairs
--     model = {preset = "tiny", fusion = "stacked"},  -- see vbl.models.vilbert
--   }
--
--   vbl script.lua epochs=8 model.preset=small model.layers='{2, 4}' --seed 3
--
-- vbl.config(defaults[, schemas[, operands]]) -> config
--   A value is parsed by its default's type: number, boolean, string, or table as a Lua constructor (lists are replaced, named
--   fields merged). schemas = {model = {dropout = {0.1, "probability"}, weights = {nil, "a file", type = "string"}}} names keys
--   that the table does not list, so that the command line may; unset ones stay nil; schemas[""] names top-level keys;
--   optional = true in a row: `false` is a value too, and leaves it out; also = "table": a table is taken too.
--   operands = {"RUN"} names the words that the script takes beside keys and flags, all needed: config.operands holds them in order. Such a script
--   (also with {}) makes no run: the flags that only a run knows are refused; out = "where its files go" beside the names takes --out all the same.
--   The comment behind a key is its --help.
--   With --resume RUN, a folder or a name (vbl.runs.named), the keys and the seed are those that the run began with.
--   config.flags = {device, seed, resume, threads, out, plan, name}: see vbl.config.flags; words, the key=value words given; and
--   given, the set of the flags given.
--   A mistake on the command line ends the script with one sentence; the error's tostring is that sentence.
-- vbl.config.write(config) -> Lua source that returns an equal table
local dist = require "vbl.dist"
local flags = require "vbl.config.flags"
local nearest = require "vbl.nearest"
local sorted_keys = require "vbl.sorted_keys"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local values = require "vbl.config.values"

local function fail(message) usage(("%s: %s"):format(arg and arg[0] or "config", message)) end

local function copy(value)
  if type(value) ~= "table" then return value end
  local result = {}
  for key, item in pairs(value) do result[key] = copy(item) end
  return result
end

local function named(t) return type(t) == "table" and next(t) ~= nil and #t == 0 end

-- rows[path] = {default, meaning, types = set, unset = what it is where the script does not list it}: every key the command line may name.
local function collect(rows, prefix, t)
  for key, value in pairs(t) do
    if type(key) == "string" then
      local path = prefix .. key
      rows[path] = {value, types = {[type(value)] = true}}
      if named(value) then collect(rows, path .. ".", value) end
    end
  end
end

local function collect_schemas(rows, schemas)
  for prefix, keys in pairs(schemas) do
    for key, row in pairs(keys) do
      local path = prefix == "" and key or prefix .. "." .. key
      local known = rows[path] or {row[1], types = {}, schema = true}
      known.meaning, known.unset = row[2], row.unset
      known.types[row.type or type(row[1])] = true
      if row.also then known.types[row.also] = true end
      if row.optional then known.types["false"], known.types.boolean = true, nil end
      rows[path] = known
    end
  end
end

-- The first key below a path that has some, such as captions.crop below captions; of those in its default where there is one.
local function key_below(path, row, rows)
  if named(row[1]) then return path .. "." .. sorted_keys(row[1])[1] end
  for _, key in ipairs(sorted_keys(rows)) do
    if key:sub(1, #path + 1) == path .. "." then return key end
  end
end

-- A table that the key would take: its default, else what its meaning shows of one.
local function example(path, row, rows)
  local shown = type(row[1]) == "table" and next(row[1]) and values.show(row[1]) or row.unset or row.meaning and row.meaning:match "%b{}"
  if shown and shown:find "^{[^|]+}$" then return "table such as " .. shown end
  return (shown or key_below(path, row, rows)) and "table" or "table such as {1, 3}"
end

local function expected(path, row, rows)
  local list = {}
  for kind in pairs(row.types) do
    if kind ~= "false" then list[#list + 1] = kind == "table" and example(path, row, rows) or kind end
  end
  table.sort(list)
  if row.types["false"] then list[#list + 1] = "false" end
  return table.concat(list, " or ")
end

local function ill_typed(path, row, got, rows)
  local below = row.types.table and key_below(path, row, rows)
  local more = below and (" (its keys one by one: %s=VALUE)"):format(below) or
                 row[1] ~= nil and type(row[1]) ~= "table" and (" (default %s)"):format(values.show(row[1])) or ""
  fail(("key '%s': expected a %s, got %s%s"):format(path, expected(path, row, rows), got, more))
end

-- The only key whose last name is `word`: captions.max_bad for max_bad.
local function ending_in(word, rows)
  local found
  for path in pairs(rows) do
    if path:match "[^.]+$" == word then
      if found then return end
      found = path
    end
  end
  return found
end

local function unknown(path, rows, value)
  local near = flags.typed(path, value) or ending_in(path, rows) or nearest.find(path, sorted_keys(rows))
  fail(("unknown key '%s'%s"):format(path, near and (", did you mean '%s'?"):format(near) or " (--help lists the keys)"))
end

-- Of a word that is no key=value, --epochs or epochs: what it was meant to be, or where to look.
local function written(word, rows)
  local path = word:match "^%-*([%a_][%w_.]*)"
  return path and rows[path] and (", did you mean %s=VALUE?"):format(path) or " (--help lists the keys)"
end

-- Puts value at a.b.c, making the tables between.
local function assign(config, path, value)
  local t = config
  for part in path:gmatch "([^.]+)%." do
    if type(t[part]) ~= "table" then t[part] = {} end
    t = t[part]
  end
  t[path:match "[^.]+$"] = value
end

local function check_list(path, list, default)
  local kind = type(default) == "table" and default[1] ~= nil and type(default[1])
  for i, item in ipairs(list) do
    if kind and type(item) ~= kind then
      fail(("key '%s': item %d: expected a %s, got %s"):format(path, i, kind, values.show(item)))
    end
  end
end

local merge

local function merge_table(config, rows, path, value)
  local default = rows[path][1]
  if not named(default) then
    check_list(path, value, default)
    return assign(config, path, value)
  end
  for key, item in pairs(value) do
    if type(key) ~= "string" then
      fail(("key '%s': expected named fields such as %s, got %s"):format(path, values.show(default), values.show(value)))
    end
    merge(config, rows, path .. "." .. key, item)
  end
end

function merge(config, rows, path, value)
  local row = rows[path]
  if not row then unknown(path, rows, values.show(value)) end
  if not row.types[type(value)] and not (value == false and row.types["false"]) then ill_typed(path, row, values.show(value), rows) end
  if type(value) == "table" then return merge_table(config, rows, path, value) end
  assign(config, path, value)
end

local function merge_word(config, rows, word)
  local path, text = word:match "^([%a_][%w_.]*)=(.*)$"
  if not path then fail(("expected key=value or a flag, got '%s'%s"):format(word, written(word, rows))) end
  local row = rows[path]
  if not row then unknown(path, rows, text) end
  local value = values.parse(text, row.types)
  if value == nil then ill_typed(path, row, "'" .. text .. "'", rows) end
  merge(config, rows, path, value)
end

-- The words as {flag = value}, and the key=value words left over.
local function split(words, rows)
  local name = (arg and arg[0] or "run"):match "[^/]*$":gsub("%.lua$", "")
  local given, rest = {device = "cpu", seed = 0, out = "runs", plan = false, name = name, given = {}}, {}
  local i = 1
  while i <= #words do
    if words[i]:find "^%-%-" then
      i = flags.parse(words, i, given, fail, written(words[i], rows))
    else
      rest[#rest + 1] = words[i]
      i = i + 1
    end
  end
  return given, rest
end

-- Takes the words that are no key=value out of `rest`, as many as there are names.
local function take_operands(rest, names)
  local taken, keys = {}, {}
  for _, word in ipairs(rest) do
    local list = #taken < #names and not word:find "^[%a_][%w_.]*=" and taken or keys
    list[#list + 1] = word
  end
  if #taken < #names then fail(("expected %s (--help lists the keys)"):format(table.concat(names, " "))) end
  return taken, keys
end

local function overlay(config, stored)
  for key, value in pairs(stored) do
    if named(value) and named(config[key]) then overlay(config[key], value) else config[key] = value end
  end
end

-- What a script makes of its config before it trains (tasks, a model) is then what the run had. A folder that is no run's is refused by who opens it.
local function restore(config, given)
  local known, path = pcall(require "vbl.runs.named", given.resume)
  if not known then fail("--resume: " .. path) end
  given.resume = path
  if not system.exists(given.resume .. "/config.lua") then return end
  local ok, stored = pcall(require "vbl.config.stored", given.resume)
  if not ok then fail("--resume: " .. usage.strip(stored)) end
  given.seed, stored.seed = stored.seed or given.seed, nil
  overlay(config, stored)
end

local function new(_, defaults, schemas, operands)
  if type(defaults) ~= "table" then error(("config: expected a table of keys, got %s"):format(type(defaults)), 2) end
  if defaults.flags ~= nil then error("config: 'flags' holds the flags and cannot be a key", 2) end
  local rows = {}
  collect(rows, "", defaults)
  collect_schemas(rows, schemas or {})
  local given, rest = split(arg or {}, rows)
  if dist.launched() > 1 then
    if operands then dist.refuse "a script that looks at runs" end
    dist.start()
  end
  if given.help then
    local caller = debug.getinfo(2, "Sl")
    require "vbl.config.help"(rows, caller.source:match "^@(.*)", caller.currentline, operands)
    os.exit(0, true)
  end
  local config = copy(defaults)
  if operands then
    flags.refuse(given.given, "this script makes no run, it looks at what is there (--help lists its flags)", operands)
    config.operands, rest = take_operands(rest, operands)
  end
  if given.resume then restore(config, given) end
  for _, word in ipairs(rest) do merge_word(config, rows, word) end
  flags.apply(given, fail)
  given.words = rest
  config.flags = given
  return config
end

return setmetatable({
  write = function(config) return "return " .. values.write(config) .. "\n" end,
}, {__call = new})

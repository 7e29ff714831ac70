-- The flags that every experiment has. Each row: name, the value's kind (nil: a switch), meaning. trains: the flag is only for scripts that make a run.
-- writes: for these, and for a script that makes none but says beside its operands what the flag means to it (vbl.config).
-- flags.typed(name, value) -> the flag as it is typed, "--seed 3"; nil where there is none of that name
-- flags.parse(words, i, into, fail, otherwise) -> next i    reads words[i], a flag, into the table; fail(message) raises; otherwise: what is
--                                                       said of an unknown flag that is near to none
-- flags.refuse(given, why[, operands])         an error where one that only a run knows was given; given: name -> true; operands: of a script that makes none
-- flags.shown(operands) -> {{name, kind, meaning}, ...}, those that a script takes
-- flags.apply(into, fail)                        threads at once; a device that this machine lacks is an error, but for --plan
local dist = require "vbl.dist"
local nearest = require "vbl.nearest"
local system = require "vbl.system.c"
local usage = require "vbl.usage"

local flags = {}

flags.rows = {
  {"device", "cpu|cuda[:n]", "where tensors live (cpu)"},
  {"seed", "N", "of everything that is drawn (0)"},
  {"resume", "RUN", "continue a run, bit for bit", trains = true},
  {"threads", "N", "threads of the kernels (every core)"},
  {"out", "DIR", "where run folders go (runs)", writes = true},
  {"name", "NAME", "the run's name (the script's)", writes = true},
  {"final", nil, "fine-tuning: score the test split too, which is locked else", trains = true},
  {"plan", nil, "parameters, FLOPs, memory, steps; trains nothing", trains = true},
  {"help", nil, "this text"},
}

local function row_of(name)
  for _, row in ipairs(flags.rows) do
    if row[1] == name then return row end
  end
end

-- Whether only a run knows the flag.
local function of_runs(row, operands) return row.trains or operands and row.writes and not operands[row[1]] end

function flags.refuse(given, why, operands)
  for _, row in ipairs(flags.rows) do
    if of_runs(row, operands) and given[row[1]] then usage(("--%s: %s"):format(row[1], why)) end
  end
end

function flags.shown(operands)
  local list = {}
  for _, row in ipairs(flags.rows) do
    if not operands or not of_runs(row, operands) then list[#list + 1] = {"--" .. row[1], row[2] or "", operands and operands[row[1]] or row[3]} end
  end
  return list
end

function flags.typed(name, value)
  local row = row_of(name)
  return row and ("--%s%s"):format(name, row[2] and value ~= "" and " " .. value or "") or nil
end

local function names()
  local list = {}
  for i, row in ipairs(flags.rows) do list[i] = "--" .. row[1] end
  return list
end

local function integer(name, text, least, most, fail)
  local n = math.tointeger(tonumber(text))
  if not n or n < least or n > most then
    fail(("--%s: expected a whole number from %d to %d, got '%s'"):format(name, least, most, text))
  end
  return n
end

-- It is a part of a folder's name (vbl.runs.folder), and is not to be another one there.
local function check_name(name, fail)
  local plain = name:gsub("[^%w%-_.]+", "-")
  if plain ~= name then fail(("--name: expected letters, digits, '-', '_' and '.', got '%s' (%s would do)"):format(name, plain)) end
end

function flags.parse(words, i, into, fail, otherwise)
  local name, value = words[i]:match "^%-%-([^=]*)=?(.*)$"
  local has_value = words[i]:find("=", 1, true) ~= nil
  local row = name and row_of(name)
  if not row then
    local hint = nearest.hint((words[i]:gsub("=.*", "")), names())
    fail(("unknown flag '%s'%s"):format(words[i], hint ~= "" and hint or otherwise))
  end
  into.given[name] = true
  if not row[2] then
    if has_value then fail(("--%s takes no value, got '%s'"):format(name, value)) end
    into[name] = true
    return i + 1
  end
  if not has_value then
    i = i + 1
    value = words[i]
    if value == nil then fail(("--%s: expected %s after it"):format(name, row[2])) end
  end
  if value == "" then fail(("--%s: expected %s, got an empty word"):format(name, row[2])) end
  if name == "seed" then value = integer(name, value, 0, 0xffffffff, fail) end
  if name == "threads" then value = integer(name, value, 1, 1024, fail) end
  if name == "name" then check_name(value, fail) end
  into[name] = value
  return i + 1
end

local function set_device(device, plan, fail)
  if device ~= "cpu" and device ~= "cuda" and not device:find "^cuda:%d+$" then
    fail(("--device: expected cpu, cuda or cuda:N, got '%s'"):format(device))
  end
  local ok, message = pcall(require("vbl").set_device, dist.device(device))
  if not ok and not plan then fail(("--device %s: %s"):format(device, (usage.strip(message):gsub("^device '[^']*': ", "")))) end
end

function flags.apply(into, fail)
  set_device(into.device, into.plan, fail)
  if into.threads then system.set_threads(into.threads) end
  into.threads = system.threads()
end

return flags

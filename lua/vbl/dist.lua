-- vbl.dist: one run on several processes. `mpirun -n 4 vbl SCRIPT` or srun starts them; they are ranks, numbered from 0, and each computes a share of every
-- batch: its samples' losses and gradients, which are added up before the update. vbl.train does all of that; here is what a loop of one's own needs.
--
-- Every rank runs the same script and comes to the same numbers, so all take the same way: what is called here is called by all, in the same order. Files are
-- written and lines printed by rank 0; the others' print goes nowhere. A rank's failure ends all of them, with its words.
--   dist.rank(), dist.size()             0 and 1 where no launcher started several
--   dist.share(n) -> lo, hi              this rank's part of n samples, from 1; hi < lo: none. Parts differ by one sample at most, the first ranks' are the larger
--   dist.largest(n) -> n                 samples of the largest part
--   dist.sum(x) -> x                     a number's or a list of numbers' sum over the ranks
--   dist.most(x), dist.least(x) -> x     the largest, the smallest of the ranks' numbers
--   dist.any(value) -> boolean           whether it is true on some rank
--   dist.gather(t) -> t, first           the ranks' rows in the ranks' order, without history, and which of them is this rank's first. t: nil of a rank without
--                                        rows; of all: nil
--   dist.each(text) -> {text, ...}       each rank's
--   dist.sum_gradients(parameters)       the gradients of {{tensor=}, ...} become their sums
--   dist.first() -> boolean              whether this is rank 0
--   dist.on_first(fn) -> value           rank 0 calls fn, and all get what it returns (nothing, a boolean, number or string), or its error
--   dist.alone(fn, ...) -> ...           fn, during which this rank is one by itself
--   dist.refuse(what)                    an error where there are several
--   dist.planned(fn, ...) -> ...         fn as on rank 0, whose share is the largest, with nothing exchanged: to count what a rank's steps take
local c = require "vbl.dist.c"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local vbl = require "vbl.tensor.c"

local dist = {}

local planning, told = false, false

function dist.size() return c.size() end
function dist.rank() return planning and 0 or c.rank() end
function dist.first() return c.rank() == 0 end

-- Ranks that may run on the same cores have an equal share of them.
local function divide_cores()
  local _, cores = pcall(function()
    local file <close> = assert(io.open "/proc/self/status")
    return file:read "a":match "Cpus_allowed:%s*(%S+)"
  end)
  local mine, same = ("%s %s"):format(system.uname(), cores), 0
  for _, text in ipairs(c.gather_strings(mine)) do
    if text == mine then same = same + 1 end
  end
  system.set_threads(math.max(1, system.threads() // same))
end

local started = false

-- From here on the ranks are those of one run: they divide the cores, and what this one prints goes nowhere, if it is not the first.
function dist.start()
  if c.launched() == 1 or started then return end
  started = true
  local ok, message = pcall(c.start)
  if not ok then usage(usage.strip(message)) end
  divide_cores()
  if c.rank() > 0 then c.quiet() end
end

-- An error where a launcher started several processes; what: of which there is to be one.
function dist.refuse(what)
  dist.start()
  if c.launched() > 1 then usage(("%d processes were started as one run, and %s is of one process: start it without mpirun or srun"):format(c.launched(), what)) end
end

-- "cuda" is the GPU of a rank's number among those of its machine; where the launcher shows each rank one of its own (Slurm's --gpus-per-task), that one.
function dist.device(name)
  if c.size() == 1 or name ~= "cuda" then return name end
  local shown, own = os.getenv "CUDA_VISIBLE_DEVICES", c.here()
  return ("cuda:%d"):format(shown and not shown:find "," and 0 or own)
end

-- Ranks of this machine, which share its memory.
function dist.here() return select(2, c.here()) end

-- How many processes a launcher says that it started as one run.
function dist.launched() return (c.launched()) end

local function exchanges() return c.size() > 1 and not planning end

function dist.share(n)
  local size, rank = dist.size(), dist.rank()
  return (n * rank + size - 1) // size + 1, (n * (rank + 1) + size - 1) // size
end

function dist.largest(n) return (n + dist.size() - 1) // dist.size() end

function dist.sum(x)
  if not exchanges() then return x end
  return type(x) == "table" and c.sum(x) or c.sum({x})[1]
end

function dist.most(x) return exchanges() and c.max({x})[1] or x end

function dist.least(x) return -dist.most(-x) end

function dist.any(value)
  if not exchanges() then return value and true or false end
  return c.max({value and 1 or 0})[1] > 0
end

function dist.each(text)
  if exchanges() then return c.gather_strings(text) end
  local list = {}
  for i = 1, dist.size() do list[i] = text end
  return list
end

local function described(t) return t and t:dtype() .. " " .. table.concat(t:shape(), " ") or "" end

-- No rows, of the type and width that the text describes.
local function none_of(text)
  local dtype, sizes = text:match "%S+", {}
  for size in text:gmatch " (%d+)" do sizes[#sizes + 1] = math.tointeger(tonumber(size)) end
  sizes[1] = 0
  return vbl.zeros(sizes, {dtype = dtype})
end

function dist.gather(t)
  if c.size() == 1 then return t and t:detach(), 1 end
  local first, some = 1, nil
  for rank, text in ipairs(dist.each(described(t))) do
    if rank - 1 < dist.rank() then first = first + (math.tointeger(tonumber(text:match " (%d+)")) or 0) end
    if text ~= "" then some = text end
  end
  if not some then return nil, 1 end
  t = t and t:detach() or none_of(some)
  if exchanges() then return c.gather_rows(t), first end
  local parts = {}
  for i = 1, dist.size() do parts[i] = t end
  return vbl.cat(parts, 1), first
end

function dist.sum_gradients(parameters)
  if not exchanges() then return end
  local leaves = {}
  for i, p in ipairs(parameters) do leaves[i] = p.tensor end
  c.sum_gradients(leaves)
  if not told and c.by_host() then io.stderr:write(c.rank() == 0 and ("vbl: the ranks' gradients go through the hosts' memory, which is slow: %s\n"):format(c.by_host()) or "") end
  told = told or c.by_host() ~= nil
end

-- What came of fn as bytes, and back: strings and numbers are what they were to the last bit.
local function packed(ok, value)
  local kind = ok and (math.type(value) or type(value)) or "error"
  if kind == "integer" then return "i" .. string.pack("j", value) end
  if kind == "float" then return "d" .. string.pack("d", value) end
  if kind == "string" then return "s" .. value end
  if kind == "boolean" or kind == "nil" then return kind:sub(1, 1) .. tostring(value) end
  return "e" .. (ok and "dist.on_first: expected nothing, a boolean, a number or a string, got a " .. kind or usage.strip(value))
end

local unpacked = {
  i = function(bytes) return (string.unpack("j", bytes)) end, d = function(bytes) return (string.unpack("d", bytes)) end,
  s = function(bytes) return bytes end, b = function(bytes) return bytes == "true" end, n = function() end,
}

function dist.on_first(fn)
  if not exchanges() then return fn() end
  local ok, value
  if c.rank() == 0 then ok, value = pcall(fn) end
  local kind, bytes = c.broadcast(packed(ok, value)):match "^(.)(.*)$"
  if kind == "e" then error(c.rank() == 0 and not ok and value or bytes, 0) end
  return unpacked[kind](bytes)
end

-- As if the signal that another rank got had come to this one too.
function dist.interrupt(signal) c.interrupt(signal) end

local function within(set, fn, ...)
  set(true)
  local _ <close> = setmetatable({}, {__close = function() set(false) end})
  return fn(...)
end

function dist.alone(fn, ...)
  if not exchanges() then return fn(...) end
  return within(c.alone, fn, ...)
end

function dist.planned(fn, ...)
  if planning or c.size() == 1 then return fn(...) end
  return within(function(on) planning = on end, fn, ...)
end

return dist

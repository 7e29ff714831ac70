-- Does a process that trains for hours grow or slow down? The main job at tiny size (pretraining, evaluation, layer analysis, figures, checkpoints),
-- again and again in one process, each time into a new folder that is removed afterwards. After each run one line is added to a table: several
-- pieces may go into one file, each its own process. With nothing left to run, or hours=0, only the verdict is given.
--   vbl tests/bench/long_run.lua long.csv hours=2 --threads 2
-- Of each piece, without its first tenth (the allocator's and the caches' filling): resident memory, live bytes, descriptors, threads and Lua's heap
-- at the begin and the end, resident memory after each quarter, and the slope of processor time a run in percent an hour, with two standard errors.
-- Time is the process's own, so other work on the machine shows little in it.
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local vbl = require "vbl"

local path = table.remove(arg, 1)
if not path or path:find "=" then error("usage: vbl tests/bench/long_run.lua TABLE [hours=1] [--threads N]", 0) end

local config = vbl.config({
  hours = 1,                                                                  -- of this piece
  data = "scenes", scenes = {train = 640, test = 128},
  model = {preset = "tiny", layers = 2, patch = 16, dropout = 0.1, init = "fan_in", fusion = "stacked"},
  tasks = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {batch = 16}},
  epochs = 2, batch = 32, test_samples = 128, probe_samples = 64, checkpoint_every = 10,
}, vbl.train.schemas())
local hours = config.hours
config.hours = nil

local columns = {"piece", "hours", "runs", "cpu_seconds", "wall_seconds", "rss_mb", "live_bytes", "lua_kb", "descriptors", "threads"}

local function threads() return tonumber(store.read_file("/proc/self/status"):match "Threads:%s*(%d+)") end

local function measure(piece, began, runs, cpu, wall)
  collectgarbage()
  return {piece, ("%.4f"):format((system.monotonic() - began) / 3600), runs, ("%.3f"):format(cpu), ("%.3f"):format(wall),
          ("%.2f"):format(system.rss_bytes() / 2 ^ 20), vbl.memory().live, ("%.1f"):format(collectgarbage "count"),
          #system.list "/proc/self/fd", threads()}
end

local function piece()
  local name, began, runs = os.date "!%Y-%m-%dT%H:%M", system.monotonic(), 0
  local first = not system.exists(path)
  local file = store.append(path)
  if first then file:write(table.concat(columns, ",") .. "\n") end
  while system.monotonic() - began < hours * 3600 and not system.interrupted() do
    local cpu, wall = os.clock(), system.monotonic()
    config.flags.seed = runs % 7  -- other data and weights, the same sizes
    local run = vbl.train.pretrain(config)
    store.remove(run.folder)
    run, runs = nil, runs + 1
    file:write(table.concat(measure(name, began, runs, os.clock() - cpu, system.monotonic() - wall), ",") .. "\n")
  end
end

-- y = a + b x by least squares -> b, its standard error, a
local function line(x, y)
  local n, sx, sy, sxx, sxy, rest = #x, 0, 0, 0, 0, 0
  for i = 1, n do sx, sy = sx + x[i], sy + y[i] end
  for i = 1, n do sxx, sxy = sxx + (x[i] - sx / n) ^ 2, sxy + (x[i] - sx / n) * (y[i] - sy / n) end
  local b = sxy / sxx
  local a = (sy - b * sx) / n
  for i = 1, n do rest = rest + (y[i] - a - b * x[i]) ^ 2 end
  return b, math.sqrt(rest / (n - 2) / sxx), a
end

local function column(rows, name)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row[name] end
  return list
end

local function ends(rows, name)
  local list = column(rows, name)
  return list[1], list[#list]
end

local function verdict(name, rows)
  local kept = table.move(rows, math.max(2, #rows // 10 + 1), #rows, 1, {})
  if #kept < 10 then return print(("piece %s: %d runs, too few to judge"):format(name, #rows)) end
  local x = column(kept, "hours")
  print(("piece %s: %d runs in %.2f hours"):format(name, #rows, rows[#rows].hours))
  for _, what in ipairs {"rss_mb", "live_bytes", "lua_kb", "descriptors", "threads"} do print(("  %-12s %12s -> %s"):format(what, ends(kept, what))) end
  local rss = column(kept, "rss_mb")
  print(("  resident memory after each quarter: %.2f, %.2f, %.2f, %.2f MB"):format(rss[#rss // 4], rss[#rss // 2], rss[#rss * 3 // 4], rss[#rss]))
  local drift, drift_error, start = line(x, column(kept, "cpu_seconds"))
  print(("  processor time a run %.2f s, %+.2f %% an hour (2 s.e. %.2f)"):format(start, 100 * drift / start, 200 * drift_error / start))
end

if hours > 0 then piece() end
local pieces, order = {}, {}
for i, fields in ipairs(vbl.load(path)) do
  local row = {}
  for k, name in ipairs(columns) do row[name] = tonumber(fields[k]) or fields[k] end
  if i > 1 and not pieces[row.piece] then pieces[row.piece], order[#order + 1] = {}, row.piece end
  if i > 1 then table.insert(pieces[row.piece], row) end
end
for _, name in ipairs(order) do verdict(name, pieces[name]) end

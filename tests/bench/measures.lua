-- The measures, side by side with packages (platonic-rep, ckatorch, torchmetrics, scikit-learn, scipy, dcor) and with PyTorch programs
-- written for this comparison, where those are installed, on the same arrays [n, 768] f32. Prints what it does, and at the end Markdown.
--   tests/bench/run measures                n = 1024, 4096, the layer table
--   tests/bench/run measures 10000          n of your own
--   tests/bench/run measures table          the layer x layer table alone: 12 layers of two streams, n = 1536
--   tests/bench/run measures memory [n]     vbl alone: linear CKA and mutual kNN of n = 200,000 rows, with the peak memory
--   PLATONIC_REP=DIR tests/bench/run ...    DIR: the folder of platonic-rep's metrics.py, which then runs as it is
-- Both sides run as processes of their own, at 1 thread and at all (THREADS=N: at N alone), in alternating rounds; a side's time is its
-- fastest setting's median over the rounds (ROUNDS=2).
local vbl = require "vbl"
local system = require "vbl.system.c"
local store = require "vbl.store.c"

local DIM, LAYERS, TABLE_ROWS, ROUNDS = 768, 12, 1536, math.tointeger(tonumber(os.getenv "ROUNDS" or "2"))
local THREADS = math.tointeger(tonumber(os.getenv "THREADS"))
local python = os.getenv "PYTHON" or "python3"
local folder = (os.getenv "TMPDIR" or "/tmp") .. "/vbl-bench-" .. math.random(1 << 40)
local report = require "bench_report"
local line, say, median = report.line, report.say, report.median

-- Two related streams, as features are: 64 shared directions and noise.
local function pair(rows)
  local latent = vbl.randn(rows, 64)
  local function side() return latent:matmul(vbl.randn(64, DIM)) + vbl.randn(rows, DIM) * 4 end
  return side(), side()
end

local function write_pair(rows)
  vbl.scope(function()
    local x, y = pair(rows)
    vbl.save(folder .. "/x.npy", x)
    vbl.save(folder .. "/y.npy", y)
  end)
end

-- Layer l of a stream: a random walk from layer to layer.
local function write_layers()
  vbl.scope(function()
    local x, y = pair(TABLE_ROWS)
    for l = 1, LAYERS do
      vbl.save(("%s/x%d.npy"):format(folder, l), x)
      vbl.save(("%s/y%d.npy"):format(folder, l), y)
      x, y = x + vbl.randn(TABLE_ROWS, DIM) * 2, y + vbl.randn(TABLE_ROWS, DIM) * 2
    end
  end)
end

local function records(words)
  local text, code = system.output(words)
  if code ~= 0 then return nil, ("%s ended with exit status %s\n%s"):format(table.concat(words, " "), tostring(code), text or "") end
  local list = {}
  for row in text:gmatch "{[^\n]*}" do list[#list + 1] = store.json_decode(row) end
  return list
end

local sides = {
  {name = "vbl", words = function(what, threads) return {system.executable(), "tests/bench/measures_own.lua", folder, what, tostring(threads)} end},
  {name = "peer", words = function(what, threads)
    return {"env", "OMP_NUM_THREADS=" .. threads, "OPENBLAS_NUM_THREADS=" .. threads, python, "tests/bench/measures_peer.py", folder, what,
            tostring(threads)}
  end},
}

-- times[measure][variant][threads] = list of ms over the rounds; order: the measures as they came.
local function add(times, order, side, record, threads)
  local by = times[record.measure]
  if not by then
    by = {}
    times[record.measure], order[#order + 1] = by, record.measure
  end
  local variant = side.name == "vbl" and "vbl" or record.variant
  by[variant] = by[variant] or {}
  by[variant][threads] = by[variant][threads] or {}
  table.insert(by[variant][threads], record.ms)
end

local function best(by_threads)
  local ms, at = math.huge, nil
  for threads, list in pairs(by_threads) do
    if median(list) < ms then ms, at = median(list), threads end
  end
  return ms, at
end

-- "sklearn 21.8 (2)" | ratio, of the fastest variant that is or is not one of ours.
local function fastest(variants, ours, own)
  local name, least, at = nil, math.huge, 0
  for variant, by_threads in pairs(variants) do
    local ms, threads = best(by_threads)
    if variant ~= "vbl" and (variant:find "^own " ~= nil) == ours and ms < least then name, least, at = variant, ms, threads end
  end
  return name and ("%s %.1f (%d) | %.2f"):format(name, least, at, least / own) or " | "
end

local function table_of(times, order)
  line "| measure | vbl, ms (threads) | fastest package | times vbl's | fastest written for this | times vbl's | all others' ms |"
  line "|---|---|---|---|---|---|---|"
  for _, name in ipairs(order) do
    local own, threads = best(times[name].vbl or {})
    local all = {}
    for variant, by_threads in pairs(times[name]) do
      if variant ~= "vbl" then all[#all + 1] = ("%s %.1f"):format(variant, (best(by_threads))) end
    end
    table.sort(all)
    line("| %s | %s | %s | %s | %s |", name, threads and ("%.1f (%d)"):format(own, threads) or "", fastest(times[name], false, own),
         fastest(times[name], true, own), table.concat(all, "; "))
  end
end

local function compare(what, title)
  local times, order, cores = {}, {}, system.threads()
  for round = 1, ROUNDS do
    for threads = THREADS or 1, THREADS or cores, math.max(1, cores - 1) do
      for _, side in ipairs(sides) do
        local list, message = records(side.words(what, threads))
        if list then
          for _, record in ipairs(list) do add(times, order, side, record, threads) end
          say("  %s: round %d, %s, %d threads: %d figures", title, round, side.name, threads, #list)
        else
          say("  %s", message)
        end
      end
    end
  end
  line("\n### %s\n", title)
  table_of(times, order)
end

local function memory(rows)
  local list, message = records {system.executable(), "tests/bench/measures_own.lua", folder, "memory:" .. rows, tostring(system.threads())}
  if not list then return say("  %s", message) end
  line("\n### %d rows, vbl alone, %d threads\n", rows, system.threads())
  line "| what | s | peak memory so far, MiB |"
  line "|---|---|---|"
  for _, r in ipairs(list) do line("| %s | %.1f | %d |", r.measure, r.ms / 1e3, r.rss_mib) end
end

assert(system.output {"mkdir", "-p", folder})
vbl.manual_seed(1)
local versions, code = system.output {python, "tests/bench/measures_peer.py", folder, "versions", "1"}
local cpu = system.cpu()
line("## %s: %s (%s), %d threads\n", os.date "%Y-%m-%d", cpu.model, cpu.isa, system.threads())
if code ~= 0 then
  sides[2] = nil
  say("peer: NOT INSTALLED here: vbl's own figures only")
end
line("vbl %s; peer: %s", vbl.version, code == 0 and versions:gsub("%s+$", "") or "not installed here, vbl's own figures only")
local asked = #arg > 0 and arg or {"1024", "4096", "table"}
if asked[1] == "memory" then
  memory(math.tointeger(tonumber(asked[2] or "200000")))
else
  for _, what in ipairs(asked) do
    if what == "table" then
      write_layers()
      compare("table", ("Layer x layer table, %d x %d x 3 blocks, n = %d"):format(LAYERS, LAYERS, TABLE_ROWS))
    else
      local rows = math.tointeger(tonumber(what)) or error(("measures: expected n, table or memory, got '%s'"):format(what), 0)
      write_pair(rows)
      compare("pair", ("n = %d, d = %d"):format(rows, DIM))
    end
  end
end
system.output {"rm", "-r", folder}
print("\n" .. report.text())

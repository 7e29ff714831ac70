-- Packing photographs with captions, beside a PyTorch DataLoader + PIL + Hugging Face's tokenizer that does the same work (pack_peer.py), and
-- reading what was packed.
--   vbl tests/bench/pack.lua TSV VOCABULARY [SIDE [ROUNDS]]      prints Markdown
-- vbl's time is that of the whole command: opening the TSV and checking the files are in it.
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local tsv, vocabulary, side, rounds = arg[1], arg[2], tonumber(arg[3] or 128), tonumber(arg[4] or 3)
if not vocabulary then error("usage: vbl tests/bench/pack.lua TSV VOCABULARY [SIDE [ROUNDS]]", 0) end
local threads = system.threads()
local out = (os.getenv "TMPDIR" or "/tmp") .. "/vbl-bench-pack-" .. system.pid()

local function median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  return (sorted[(#sorted + 1) // 2] + sorted[#sorted // 2 + 1]) / 2
end

local function own()
  store.remove(out .. "/own")
  local started = system.monotonic()
  local text, code = system.output {system.executable(), "data", "pack", "captions:" .. tsv, out .. "/own", "image=" .. side, "vocabulary=" .. vocabulary,
                                    "threads=" .. threads}
  if code ~= 0 then error(text, 0) end
  return system.monotonic() - started
end

local python = require "peer".find()
local function peer()
  store.remove(out .. "/peer")
  local text, code = system.output {"env", "-u", "OPENBLAS_CORETYPE", "-u", "OPENBLAS_L2_SIZE", "python3", "tests/bench/pack_peer.py",
                                    tsv, vocabulary, tostring(side), tostring(threads), out .. "/peer"}
  if code ~= 0 then error(text, 0) end
  return store.json_decode(text:match "{[^\n]*}").seconds
end

-- Batches of 64 of a shuffled epoch, made by threads: image, tokens and lengths in tensors.
local function read(set, batches)
  local train = set:split "train"
  local order, loader <close> = train:order(1, 1), train:loader {threads = threads, ahead = 8}
  local at, submitted, n = 0, 0, 0
  local started = system.monotonic()
  for _ = 1, batches do
    while submitted < math.min(batches, 8) or loader.handle:waiting() < 8 and submitted < batches do
      local index = {}
      for i = 1, 64 do index[i] = order[(at + i - 1) % #order + 1] end
      at, submitted = at + 64, submitted + 1
      loader:submit(index, 1)
    end
    vbl.scope(function() n = n + loader:next().n end)
  end
  return n / (system.monotonic() - started)
end

local mine, theirs = {}, {}
for round = 1, rounds do
  mine[round] = own()
  if python then theirs[round] = peer() end
end
local set = vbl.data.open("packed:" .. out .. "/own", {seed = 1})
local n = set.set:counts().samples
print "| packing | samples/s, median | rounds, s |\n|---|---|---|"
local function row(name, list)
  local words = {}
  for i, s in ipairs(list) do words[i] = ("%.2f"):format(s) end
  print(("| %s | %.0f | %s |"):format(name, n / median(list), table.concat(words, ", ")))
end
row(("vbl data pack, %d threads"):format(threads), mine)
if python then
  row(("DataLoader + PIL + BertTokenizerFast, %d workers"):format(threads), theirs)
  print(("\nratio %.2f"):format(median(theirs) / median(mine)))
end
read(set, 200)
local rates = {}
for i = 1, 5 do rates[i] = read(set, 600) end
local bytes = 3 * side * side
local a, b = vbl.zeros(2 ^ 26), vbl.zeros(2 ^ 26)
local started = system.monotonic()
for _ = 1, 4 do b:copy_(a) end
local bandwidth = 4 * 2 * 4 * 2 ^ 26 / (system.monotonic() - started)
print(("\nreading, batches of 64 of a shuffled epoch into tensors, %d threads: %.0f samples/s (median of 5), %.1f GB/s of pixels; copying between tensors beyond the cache: %.1f GB/s read and written"):format(
  threads, median(rates), median(rates) * bytes / 1e9, bandwidth / 1e9))
store.remove(out)

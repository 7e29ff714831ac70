-- The benchmarks, side by side with PyTorch where that is installed. Prints what it does, and at the end Markdown.
--   tests/bench/run          about five minutes on two cores
--   tests/bench/run quick    one step each: to see that everything runs, no figures to keep
local vbl = require "vbl"
local system = require "vbl.system.c"
local store = require "vbl.store.c"
local peer = require "peer"

local quick = arg[1] == "quick"
local rounds, steps = quick and 1 or 3, quick and 1 or 8
local report = require "bench_report"
local line, say, median = report.line, report.say, report.median

-- A script of this folder in a process of its own -> its JSON record.
local function own(script, ...)
  local text, code = system.output {system.executable(), "tests/bench/" .. script, ...}
  if code ~= 0 then error(("%s ended with exit status %s\n%s"):format(script, tostring(code), text or ""), 0) end
  return store.json_decode(text:match "{[^\n]*}")
end

local function load_average()
  local f = io.open "/proc/loadavg"
  if not f then return 0 end
  local load = f:read "n"
  f:close()
  return load
end

-- Every variant once; the fastest is the peer.
local function choose_peer()
  local best
  for _, variant in ipairs(peer.variants(system.threads())) do
    local record, message = peer.run("step", variant, quick and 1 or 6, 2)
    if record then
      say("  %-22s %-10s %8.1f ms", record.variant, variant.settings, record.ms)
      line("| %s, %s | %.1f | %.1f | %d |", record.variant, variant.settings, record.ms, record.ms_min, record.rss_mib)
      if not best or record.ms < best.ms then best = {ms = record.ms, variant = variant} end
    else
      say("  %s", message)
      line("| %s, %s | failed | | |", variant.name, variant.settings)
    end
  end
  return best and best.variant
end

-- Alternating rounds of the sides {name, run = function -> record}; the table. Returns the sides' medians and peaks.
local function compare(sides, count)
  local ms, rss = {}, {}
  for round = 1, count do
    for i, side in ipairs(sides) do
      local record, message = side.run()
      if not record then error(message, 0) end
      ms[i], rss[i] = ms[i] or {}, math.max(rss[i] or 0, record.rss_mib)
      ms[i][round] = record.ms
      say("  round %d  %-40s %8.1f ms %6d MiB", round, side.name, record.ms, record.rss_mib)
    end
  end
  line "| | median ms | rounds | peak memory, MiB |"
  line "|---|---|---|---|"
  for i, side in ipairs(sides) do
    local list = {}
    for j, value in ipairs(ms[i]) do list[j] = ("%.1f"):format(value) end
    ms[i] = median(ms[i])
    line("| %s | %.1f | %s | %d |", side.name, ms[i], table.concat(list, ", "), rss[i])
  end
  return ms, rss
end

local function peer_side(bench, variant, n, unmeasured)
  return {name = ("PyTorch %s, %s"):format(variant.name, variant.settings), run = function() return peer.run(bench, variant, n, unmeasured) end}
end

local threads = tostring(system.threads())
local precisions = {"f32", "bf16"}

local function step_section(variant)
  line "\n### Training step, two towers (256 wide, 4 + 4 layers, B = 32, 64 + 50 tokens, AdamW)\n"
  local sides = {}
  for i, precision in ipairs(precisions) do
    sides[i] = {name = "vbl " .. precision, run = function() return own("step.lua", tostring(steps), threads, precision) end}
  end
  if variant then sides[3] = peer_side("step", variant, steps, 2) end
  local ms, rss = compare(sides, rounds)
  if not variant then return end
  line("\nAgainst the fastest PyTorch: vbl f32 is %.2f times as fast, bf16 %.2f times; peak memory %.2f and %.2f of its.", ms[3] / ms[1], ms[3] / ms[2],
       rss[1] / rss[3], rss[2] / rss[3])
end

local function small_section(compared)
  line "\n### Preset small, MLM + AP + MIM (32 captions of 7 to 25 tokens)\n"
  local n, sides = quick and "1" or "2", {}
  for i, precision in ipairs(precisions) do
    sides[i] = {name = ("vbl %s, packed"):format(precision), run = function() return own("small.lua", n, threads, precision) end}
    sides[2 + i] = {name = ("vbl %s, padded to 197"):format(precision), run = function() return own("small.lua", "1", threads, precision, "197") end}
  end
  for _, variant in ipairs(compared and peer.eager(system.threads()) or {}) do sides[#sides + 1] = peer_side("small", variant, 1, 1) end
  local ms = compare(sides, 1)
  line("\nPacked is %.2f times (f32) and %.2f times (bf16) as fast as padded to 197.", ms[3] / ms[1], ms[4] / ms[2])
end

local function start_section()
  local times, words = {}, {system.executable(), "-e", "print(1)"}
  for i = 1, 20 do
    local started = system.monotonic()
    assert(system.output(words) == "1\n")
    times[i] = (system.monotonic() - started) * 1e3
  end
  line "\n### Start-up\n"
  line("`vbl -e 'print(1)'`: median of 20 runs %.1f ms, fastest %.1f ms.", median(times), math.min(table.unpack(times)))
end

local function tensors_section()
  local r = own "tensors.lua"
  local flat = r.live_after == r.live_before and r.rss_after - r.rss_before < 2 ^ 20
  line "\n### A million tensors in scopes\n"
  line("%.2f us each; bytes in tensors %d before, %d after; resident %.1f MiB before, %.1f MiB after: %s.", r.us, r.live_before, r.live_after,
       r.rss_before / 2 ^ 20, r.rss_after / 2 ^ 20, flat and "flat" or "NOT FLAT")
end

local function floor_section(precision)
  local f = require "floor"(quick and 1 or 10, precision)
  line("\n### Where the step's time goes, %s\n", precision)
  line("One product of 2048 x 2048 x 2048: %.0f GFLOP/s; c = a + b: %.1f GB/s from memory, %.1f GB/s at 4 MiB an array.\n", f.peak, f.stream, f.cache)
  line "| part | ms | share | floor, ms | above the floor, ms | counted |"
  line "|---|---|---|---|---|---|"
  for _, r in ipairs(f.rows) do
    line("| %s | %.1f | %.1f %% | %.1f | %.1f | %s |", r.part, r.ms, 100 * r.ms / f.ms, r.floor, r.ms - r.floor, r.how)
  end
  line("| step | %.1f | | %.1f | %.1f | time / floor %.2f |", f.ms, f.floor, f.ms - f.floor, f.ms / f.floor)
end

-- Photographs with captions are nobody's to ship: the environment names them.
local function pack_section()
  local tsv, vocabulary = os.getenv "VBL_CAPTIONS", os.getenv "VBL_VOCABULARY"
  if not tsv or not vocabulary then return say "packing: not run; VBL_CAPTIONS=captions.tsv VBL_VOCABULARY=vocab.txt name what to pack" end
  local text, code = system.output {system.executable(), "tests/bench/pack.lua", tsv, vocabulary, "128", tostring(rounds)}
  if code ~= 0 then error(("pack.lua ended with exit status %s\n%s"):format(tostring(code), text), 0) end
  line "\n### Packing photographs at 128 pixels, and reading them\n"
  line("%s", text)
end

local load, cpu = load_average(), system.cpu()
say("vbl %s, %s, %s, %d threads; load %.1f%s", vbl.version, cpu.model, cpu.isa, system.threads(), load,
    load > 0.5 and ": THE MACHINE IS BUSY, the figures are no good" or "")
line("## %s: %s (%s), %d threads, load %.1f before\n", os.date "%Y-%m-%d", cpu.model, cpu.isa, system.threads(), load)
local found, why = peer.find()
local variant
local started = system.monotonic()
if found then
  say("peer: %s; its variants:", found)
  line("vbl %s, %s; peer: %s. Tuned: `%s`.\n", vbl.version, system.uname(), found, peer.tuned)
  line "| peer's step, one process each | median ms | fastest ms | peak memory, MiB |"
  line "|---|---|---|---|"
  variant = choose_peer()
else
  say("peer: PyTorch is NOT INSTALLED here (%s): vbl's own figures only", why)
  line("vbl %s, %s; the peer (python3 with torch, transformers and timm) is not installed here: vbl's own figures only.", vbl.version, system.uname())
end
say "step:"
step_section(variant)
say "small:"
small_section(found)
say "start-up, tensors in scopes, where the step's time goes"
start_section()
tensors_section()
for _, precision in ipairs(precisions) do floor_section(precision) end
pack_section()
line("\nThe whole took %.0f s.", system.monotonic() - started)
print("\n" .. report.text())

-- vbl data pack SOURCE OUT [key=value ...]: decodes, fits and tokenises once, into memory-mapped shards.
local about = require "vbl.data.about"
local packed = require "vbl.data.packed"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local vbl = require "vbl"

-- A line that is written over on a terminal, four times a second.
local function progress_line()
  local started, shown, first = system.monotonic(), 0, nil
  return function(done, all, kept)
    local now = system.monotonic()
    if not system.isatty "stderr" or now - shown < 0.25 and done < all then return end
    first, shown = first or done, now
    local rate = (done - first) / math.max(now - started, 1e-3)
    io.stderr:write(("\r%d of %d samples%s, %.0f/s, %.0f s to go   "):format(done, all, kept > 0 and (" (%d were there)"):format(kept) or "", rate,
                                                                            rate > 0 and (all - done) / rate or 0))
    if done >= all then io.stderr:write "\n" end
  end
end

return {
  options = true,
  usage = "SOURCE OUT [shard=N] [threads=N]",
  help = "decoded images and token ids, memory-mapped",
  run = function(words, options)
    if #words ~= 2 then usage "data pack: expected SOURCE and OUT (vbl data help)" end
    local own = {shard = options.shard, threads = options.threads}
    for key, value in pairs(own) do
      if not math.tointeger(value) or value < 1 then usage(("data pack: %s: expected a whole number of at least 1, got %s"):format(key, tostring(value))) end
      options[key] = nil
    end
    local data = vbl.data.open(words[1], options)
    local started = system.monotonic()
    local ok, m, kept = pcall(packed.pack, data, words[2], {shard = own.shard, threads = own.threads, options = options, progress = progress_line()})
    if not ok and system.interrupted() then usage "interrupted; the shards that are whole stay, the same command goes on" end
    if not ok then usage(usage.strip(m)) end
    local seconds = system.monotonic() - started
    local count = about.count
    print(("packed %s into %s: %s, %s, %d images that do not decode, %s"):format(m.source, words[2], count(m.samples, "sample"), count(m.captions, "caption"),
                                                                                 #m.skipped, count(m.shards, "shard")))
    for i, s in ipairs(m.skipped) do
      if i > 10 then print(("  ... and %d more: manifest.json lists them"):format(#m.skipped - 10)) break end
      print(("  %s: %s"):format(s.id, s.why))
    end
    if kept == m.samples then return print "it was packed already" end
    print(("%d in %.1f s: %.0f/s%s"):format(m.samples - kept, seconds, (m.samples - kept) / seconds, kept > 0 and (" (%d were there)"):format(kept) or ""))
  end,
}

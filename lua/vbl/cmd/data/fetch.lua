-- vbl data fetch cc3m|cc12m TSV OUT [key=value ...]: downloads the images of a TSV of captions and URLs.
--   form=webdataset|files  resize=keep_ratio|center_crop|border|squash|no  image=256  shard=10000
--   parallel=64 per_host=4 threads=2  retries=2 redirects=5  connect=10 total=60 stall=10 backoff=1 (seconds)  max_bytes=20971520  ca=FILE
local c = require "vbl.data.c"
local system = require "vbl.system.c"
local usage = require "vbl.usage"

local function show(p, started, last)
  if not system.isatty "stderr" then return last end
  local seconds = system.monotonic() - started
  io.stderr:write(("\r%d of %d URLs settled, %d images, %d at once, %.1f MB/s   %s"):format(p.done, p.rows, p.good, p.active, p.bytes / 1e6 / math.max(seconds, 0.1),
                                                                                          last and "\n" or ""))
end

-- Counts of the statuses in OUT/status.tsv, the most frequent first.
local function summary(path)
  local counts, names, all = {}, {}, 0
  local first = true
  for line in io.lines(path) do
    local status = line:match "^[^\t]*\t[^\t]*\t[^\t]*\t([^\t]*)"
    if not first then
      if not counts[status] then names[#names + 1] = status end
      counts[status], all = (counts[status] or 0) + 1, all + 1
    end
    first = false
  end
  table.sort(names, function(a, b) return counts[a] > counts[b] or counts[a] == counts[b] and a < b end)
  local parts = {}
  for i, name in ipairs(names) do parts[i] = ("%d %s"):format(counts[name], name) end
  return ("%d rows: %s"):format(all, table.concat(parts, ", "))
end

local function download_all(columns, tsv, out, options)
  local download <close> = c.fetch(columns, tsv, out, options)
  local started, finished, p = system.monotonic(), false, nil
  while not finished do
    finished, p = download:step(0.25)
    show(p, started, finished)
  end
end

return {
  options = true,
  usage = "cc3m|cc12m TSV OUT",
  help = "images by URL, into WebDataset shards",
  run = function(words, options)
    local columns, tsv, out = words[1], words[2], words[3]
    if #words ~= 3 or columns ~= "cc3m" and columns ~= "cc12m" then
      usage "data fetch: expected cc3m (caption, tab, URL) or cc12m (URL, tab, caption), the TSV and the folder OUT (vbl data help)"
    end
    local ok, message = pcall(download_all, columns, tsv, out, options)
    if not ok and system.interrupted() then usage "interrupted; what is settled stays, the same command goes on" end
    if not ok then usage(usage.strip(message)) end
    print(("%s: %s"):format(out, summary(out .. "/status.tsv")))
    print(("every URL's line: %s/status.tsv; %s"):format(out, options.form == "files" and "the data set: captions:" .. out .. "/captions.tsv"
                                                            or "the data set: webdataset:" .. out))
  end,
}

-- Packed data sets: what `vbl data pack` writes and vbl.data.open("packed:FOLDER") reads (or the path of the manifest.json in it).
-- docs/packing.md describes the folder: manifest.json, vocab.txt, tokenizer_config.json, shard-00000.vbl ...
local c = require "vbl.data.c"
local merged = require "vbl.merged"
local nearest = require "vbl.nearest"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local vocabulary = require "vbl.data.vocabulary"

local packed = {name = "packed"}

local FORMAT, VERSION = "vbl packed data set", 1
local order = {"format", "version", "source", "hash", "identity", "image", "max_tokens", "samples", "captions", "shard", "shards", "labels",
               "classes", "splits", "options", "max_bad", "bad_records", "absent", "bad_images", "truncated", "skipped", "notes"}

-- Samples a shard: sixteen shards or more, so that threads share them evenly, of at most 256 MiB, and of at least 64 samples. It depends on
-- the set alone, so that threads change no byte.
local function shard_samples(samples, image)
  local most = math.max(1, 2 ^ 28 // (3 * image * image))
  return math.tointeger(math.min(most, math.max(64, (samples + 15) // 16)))
end

-- Everything but what packing finds out.
local function plan(data, given)
  local n, kind, classes = data.set:counts(), data:labels()
  local m = {format = FORMAT, version = VERSION, source = data.name, hash = data:hash(), image = data.image, max_tokens = n.max_tokens,
             samples = n.samples, captions = n.captions, labels = kind or "none", classes = classes or store.json_decode "[]", splits = data:splits(),
             bad_records = n.bad_records, absent = n.absent, bad_images = n.bad_images, truncated = n.truncated, notes = data.set:notes(),
             max_bad = data.set:allowed_bad(), options = merged(given)}
  return m
end

-- What decides about the bytes of the shards.
local function identity_of(m, texts)
  local o = m.options
  local text = table.concat({m.version, m.hash, m.image, o.crop or "center", o.crop_pct or 1, o.interpolation or "bicubic", m.max_tokens, m.shard,
                             m.samples, texts}, "\n")
  return store.sha256(text):sub(1, 16)
end

local function read_manifest(folder)
  local path = folder .. "/manifest.json"
  if not system.exists(path) then
    local begun = system.exists(folder .. "/vocab.txt")
    error(("%s: %s"):format(folder, begun and "packing was not finished: give the same `vbl data pack` command again"
                                      or "no packed data set there (no manifest.json)"), 0)
  end
  local ok, m = pcall(store.json_decode, store.read_file(path))
  if not ok then error(("%s: %s"):format(path, m), 0) end
  if type(m) ~= "table" or m.format ~= FORMAT then error(("%s: not the manifest of a packed data set"):format(path), 0) end
  if m.version ~= VERSION then
    error(("%s: version %s of the format; this program reads version %d: pack the source again"):format(path, tostring(m.version), VERSION), 0)
  end
  return m
end

local function check_folder(folder, manifest)
  if system.exists(folder .. "/manifest.json") then
    local old = read_manifest(folder)
    if old.identity == manifest.identity then return true end
    error(("%s holds another packed data set (%s, %d samples at %d pixels), or one of other options; choose another folder or remove it"):format(
      folder, old.source, old.samples, old.image), 0)
  end
  for _, name in ipairs(system.list(folder) or {}) do
    if name ~= "vocab.txt" and name ~= "tokenizer_config.json" and not name:find "^shard%-%d+%.vbl" and not name:find "%.tmp%-%d+$" then
      error(("%s is not empty and holds no packed data set (%s); choose another folder"):format(folder, name), 0)
    end
  end
  return false
end

local function check_space(folder, m)
  local free, needed = system.disk_free(folder), m.samples * m.image * m.image * 3
  local there = 0
  for _, name in ipairs(system.list(folder) or {}) do
    if name:find "^shard%-%d+%.vbl$" then there = there + system.stat(folder .. "/" .. name).size end
  end
  if free and free + there < needed then
    error(("%s: packing needs %.0f MB, %.0f MB are free there"):format(folder, (needed - there) / 1e6, free / 1e6), 0)
  end
end

local function open_set(folder, m) return c.packed(folder, m.identity, m) end

-- Packs an opened data set into the folder. opts: threads, shard (samples a shard), options (those it was opened with, for the manifest),
-- progress = function(done, all, kept). A folder of an interrupted run is continued; a finished one of the same set is left as it is.
-- -> manifest, samples that were packed already
function packed.pack(data, folder, opts)
  opts = opts or {}
  local m = plan(data, opts.options or {})
  local tokens = vocabulary.text(vocabulary.tokens(data.tokenizer))
  local rules = store.json_encode(vocabulary.rules(data.tokenizer:rules()), {indent = 1}) .. "\n"
  m.shard = opts.shard or shard_samples(m.samples, m.image)
  m.shards = (m.samples + m.shard - 1) // m.shard
  m.identity = identity_of(m, tokens .. rules)
  store.make_folder(folder)
  if check_folder(folder, m) then return read_manifest(folder), m.samples end
  check_space(folder, m)
  store.write_atomic(folder .. "/tokenizer_config.json", rules)
  store.write_atomic(folder .. "/vocab.txt", tokens)
  local packer <close> = c.pack(data.set, folder, m.identity, m.shard, opts.threads or system.threads())
  local finished, done, kept
  repeat
    finished, done, kept = packer:wait(0.05)
    if opts.progress then opts.progress(done, m.samples, kept) end
  until finished
  m.skipped = open_set(folder, m):undecodable()
  if #m.skipped == 0 then m.skipped = store.json_decode "[]" end
  store.write_atomic(folder .. "/manifest.json", store.json_encode(m, {indent = 1, order = order}) .. "\n")
  return m, kept
end

-- The folder of a name that vbl.data.open is given; nil where it is no packed set's.
function packed.folder(name)
  local folder = name:match "^packed:(.+)$" or name:match "^(.+)/manifest%.json$" or name == "manifest.json" and "."
  if folder then return (folder:gsub("/manifest%.json$", "")) end
  if system.exists(name .. "/manifest.json") and system.exists(name .. "/vocab.txt") then return name end
end

local free = {patch = true, seed = true, mean = true, std = true, max_bad = true}  -- not packed: may be anything

-- -> set, manifest. given: options, of which those that were packed must be equal.
function packed.open(folder, given)
  local m = read_manifest(folder)
  local fixed = merged({image = m.image, max_tokens = m.max_tokens, crop = "center", crop_pct = 1, interpolation = "bicubic"}, m.options)
  for key, value in pairs(given) do
    if not free[key] and fixed[key] ~= value then
      if fixed[key] == nil and not ({vocabulary = 1, tokenizer = 1, vocabulary_limit = 1, split = 1, test_fraction = 1})[key] then
        error(("vbl.data.open: a packed data set has no option '%s'%s"):format(key, nearest.hint(key, setmetatable(fixed, {__index = free}))), 0)
      end
      local as_it_is = key == "image" and (" (an experiment takes it as it is with model.image=%d)"):format(m.image) or ""
      error(("%s was packed with %s = %s; %s = %s needs packing again%s"):format(folder, key, tostring(fixed[key] == nil and "its default" or fixed[key]),
                                                                                key, tostring(value), as_it_is), 0)
    end
  end
  local ok, set = pcall(open_set, folder, m)
  if not ok then error((tostring(set):gsub("^.-: (.*shard%-)", "%1")), 0) end
  return set, m
end

return packed

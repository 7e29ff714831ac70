-- What a photograph costs before a model sees it, in milliseconds of one core: decoding and fitting it, and augmenting the fitted image, beside PIL and
-- torchvision where python3 has them (images_peer.py). In turns; the median of the rounds.
--   vbl tests/bench/images.lua TSV [SIDE [ROUNDS]]      TSV: at least 128 photographs (image path, tab, caption)
local augment = require "vbl.data.augment"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local tsv, side, rounds = arg[1], tonumber(arg[2] or 224), tonumber(arg[3] or 5)
if not tsv then error("usage: vbl tests/bench/images.lua TSV [SIDE [ROUNDS]]", 0) end
system.set_threads(1)

local COUNT = 128
local train = vbl.data.open("captions:" .. tsv, {image = side}):split "train"
if train:size() < COUNT then error(("%s: %d photographs to train on; at least %d are needed"):format(tsv, train:size(), COUNT), 0) end
local strengths = {weak = augment.options("ap", "", {strength = "weak"}), strong = augment.options("ap", "", {strength = "strong"})}

local function timed(fn)
  local started = os.clock()
  local result = fn()
  return (os.clock() - started) * 1e3 / COUNT, result
end

local function own(round)
  local times, batch = {}, nil
  times.decode, batch = timed(function() return train:range(1, COUNT) end)
  for name, options in pairs(strengths) do
    times[name] = timed(function() augment.images(batch.images, options, batch, {seed = round, step = round, epoch = round}, "ap") end)
  end
  return times
end

local python = require "peer".find()
local function peer()
  local text, code = system.output {"python3", "tests/bench/images_peer.py", tsv, tostring(side), tostring(COUNT)}
  if code ~= 0 then error(text, 0) end
  return store.json_decode(text:match "{[^\n]*}")
end

local function median(list)
  table.sort(list)
  return (list[(#list + 1) // 2] + list[#list // 2 + 1]) / 2
end

local all = {}
for round = 1, rounds do
  for who, times in pairs {vbl = own(round), torchvision = python and peer() or nil} do
    for name, ms in pairs(times) do
      all[name] = all[name] or {vbl = {}, torchvision = {}}
      table.insert(all[name][who], ms)
    end
  end
end
print(("%d photographs to %d x %d, ms of a core each, median of %d:"):format(COUNT, side, side, rounds))
for _, row in ipairs {{"decode", "decoded and fitted"}, {"weak", "augmented, weak"}, {"strong", "augmented, strong (SimCLR's)"}} do
  local of = all[row[1]]
  local a, b = median(of.vbl), python and median(of.torchvision)
  print(("%-30s %7.2f%s"):format(row[2], a, b and ("   torchvision %7.2f   %.1f times"):format(b, b / a) or ""))
end

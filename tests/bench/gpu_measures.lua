-- vbl's side of gpu_measures.py: one process that holds the features on a device and answers lines of stdin.
--   vbl tests/bench/gpu_measures.lua CONFIG.json     {features=, device=, k=}: a .safetensors of x [n, d], text0 .. and vision0 .. [n, d]
--   knn PATH     the k nearest rows of each row of x, from 0, to PATH (.npy), "-" for nowhere     -> {"ms"}
--   table PATH   the maps text - vision, text - text, vision - vision of four measures to PATH (.safetensors), "-" for nowhere
--                -> {"ms", "cka", "mknn", "procrustes", "svcca": ms of each, "prepare"}
-- Nothing is kept from one line to the next but the features.
local vbl = require "vbl"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local config = store.json_decode(store.read_file(arg[1]))
local features = vbl.load(config.features)
for name, t in pairs(features) do features[name] = t:to(config.device) end

local function ms_since(started) return (system.monotonic() - started) * 1e3 end

local answers = {}

function answers.knn(path)
  local started = system.monotonic()
  local p <close> = vbl.measure.prepare(features.x, "x")
  local lists = vbl.measure.neighbours(p, {k = config.k})
  local ms = ms_since(started)
  if path ~= "-" then vbl.save(path, lists - 1) end
  return {ms = ms}
end

local function prepared(stream)
  local list = {}
  while features[stream .. #list] do list[#list + 1] = vbl.measure.prepare(features[stream .. #list], stream .. #list) end
  return list
end

function answers.table(path)
  local started, found, times = system.monotonic(), {}, {}
  local text, vision = prepared "text", prepared "vision"
  times.prepare = ms_since(started)
  for _, name in ipairs {"cka", "mknn", "procrustes", "svcca"} do
    local from, opts = system.monotonic(), name == "mknn" and {k = config.k} or nil
    found[name .. ".text-vision"] = vbl.measure.matrix(text, vision, name, opts)
    found[name .. ".text-text"] = vbl.measure.matrix(text, text, name, opts)
    found[name .. ".vision-vision"] = vbl.measure.matrix(vision, vision, name, opts)
    times[name] = ms_since(from)
  end
  times.ms = ms_since(started)
  times.place = tostring(text[1])
  for _, list in ipairs {text, vision} do
    for _, p in ipairs(list) do p:release() end
  end
  if path ~= "-" then vbl.save(path, found) end
  return times
end

io.stdout:setvbuf "line"
print(store.json_encode {ready = true})
for line in io.lines() do
  local name, argument = line:match "^(%S+) (.*)$"
  print(store.json_encode(answers[name](argument)))
end

-- vbl runs ls [DIR] [KEY=VALUE ...] [--csv]: the runs of a folder, one a line.
local index = require "vbl.runs.index"
local flatten = require "vbl.runs.flatten"
local listing = require "vbl.runs.listing"
local nearest = require "vbl.nearest"
local query = require "vbl.runs.query"
local sorted_keys = require "vbl.sorted_keys"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local vbl = require "vbl"

local function color() return system.isatty "stdout" and not os.getenv "NO_COLOR" and os.getenv "TERM" ~= "dumb" end

-- Runs of which only metrics.jsonl knows how far they are.
local function without_values(records)
  local list = {}
  for _, record in ipairs(records) do
    if not next(record.values) and record.status ~= "damaged" then list[#list + 1] = record end
  end
  return list
end

-- "; none has config.modle, did you mean 'config.model'?" of the keys that no run has.
local function unknown_keys(where, records)
  local keys, parts = {}, {}
  for _, record in ipairs(records) do
    for _, part in ipairs {"config", "manifest", "values"} do
      for key in pairs(flatten(record[part] or {}, part .. ".")) do keys[key] = true end
    end
  end
  for _, key in ipairs(sorted_keys(where)) do
    local found = false
    for _, record in ipairs(records) do found = found or query.get(record, key) ~= nil end
    if not found and key:find(".", 1, true) then parts[#parts + 1] = ("; none has %s%s"):format(key, nearest.hint(key, keys)) end
  end
  return table.concat(parts)
end

return {
  options = true,
  usage = "[DIR] [KEY=VALUE ...] [--csv]",
  help = "the runs, one a line",
  run = function(words, where, flags)
    if #words > 1 then usage "runs ls: expected at most one DIR (vbl runs help)" end
    local out = words[1] or flags.out or "runs"
    if not system.exists(out) then
      usage(("runs ls: there is no folder %s here; runs are made by experiments: vbl experiments/pretrain_all.lua"):format(out))
    end
    local records = vbl.runs.list {out = out, where = where}
    local none = #records == 0 and (next(where) and ("no run in %s is so%s"):format(out, unknown_keys(where, vbl.runs.list {out = out})) or ("no runs in %s"):format(out))
    if none then (flags.csv and io.stderr or io.stdout):write(none, "\n") end
    if flags.csv then io.write(vbl.runs.csv.runs(records)) end
    if none or flags.csv then return none and next(where) and 1 or 0 end
    local newest = index.last(out, without_values(records))
    io.write(listing(records, newest, {width = system.isatty "stdout" and (system.width "stdout" or 80) or nil, color = color()}))
  end,
}

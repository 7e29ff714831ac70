-- vbl runs ls [DIR] [KEY=VALUE ...] [--csv]: the runs of a folder, one a line.
local index = require "vbl.runs.index"
local listing = require "vbl.runs.listing"
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

return {
  usage = "[DIR] [KEY=VALUE ...] [--csv]",
  help = "the runs, one a line",
  run = function(words, where, flags)
    if #words > 1 then usage "runs ls: expected at most one DIR (vbl runs help)" end
    local out = words[1] or flags.out or "runs"
    if not system.exists(out) then usage(("runs ls: there is no folder %s here; runs are made by experiments: vbl experiments/pretrain_all.lua"):format(out)) end
    local records = vbl.runs.list {out = out, where = where}
    if flags.csv then return io.write(vbl.runs.csv.runs(records)) and nil end
    if #records == 0 then
      print(next(where) and ("no run in %s is so"):format(out) or ("no runs in %s"):format(out))
      return next(where) and 1 or 0
    end
    local newest = index.last(out, without_values(records))
    io.write(listing(records, newest, {width = system.isatty "stdout" and (system.width "stdout" or 80) or nil, color = color()}))
  end,
}

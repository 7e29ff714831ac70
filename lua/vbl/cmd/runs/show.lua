-- vbl runs show RUN [--csv]: what a run is and how it went; --csv: its metrics.
local record = require "vbl.runs.record"
local sheet = require "vbl.runs.sheet"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local vbl = require "vbl"

return {
  usage = "RUN [--csv]",
  help = "one run; --csv: all its metrics",
  run = function(words, _, flags)
    if #words ~= 1 then usage "runs show: expected one RUN (vbl runs help)" end
    local found = record.read(vbl.runs.find(words[1], flags.out))
    if flags.csv then return io.write(vbl.runs.csv.metrics(found)) and nil end
    io.write(sheet(found, {width = system.width "stdout" or 80}))
  end,
}

-- The trainer's own clock: seconds in which a run took steps, over all its resumptions; hours in which nothing ran are none of it.
--   clock.seconds(run) -> number or nil     run: path, log. The later of what its log says as it ends and what its last checkpoint counts: a run
--     that was killed has the one without the other, and one that was resumed says its end again
--   clock.closing(log) -> the newest closing line's "450.0 samples/s; peak memory 240 MB", its seconds; nil without one
local c = require "vbl.store.c"

local clock = {}

-- "1:02:03" and "2:03" in seconds.
local function parsed(text)
  local seconds = 0
  for part in text:gmatch "%d+" do seconds = seconds * 60 + tonumber(part) end
  return seconds
end

function clock.closing(log)
  local rate, seconds
  for time, rest in log:gmatch "samples in ([%d:]+) of training: ([%d.]+ samples/s; peak memory [^\n(]+)" do rate, seconds = rest, parsed(time) end
  return rate, seconds
end

-- The file may be a stranger's: whatever is not there, or is no number, is not known.
local function of_checkpoint(path)
  local ok, seconds = pcall(function() return c.json_decode(c.read_file(path .. "/checkpoints/last/state.json")).state.counters.seconds end)
  return ok and type(seconds) == "number" and seconds >= 0 and seconds < math.huge and seconds or nil
end

function clock.seconds(run)
  local _, said = clock.closing(run.log)
  local counted = of_checkpoint(run.path)
  return said and counted and math.max(said, counted) or said or counted
end

return clock

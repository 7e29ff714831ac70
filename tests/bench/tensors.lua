-- A million tensors made in scopes: bytes in tensors and resident memory before and after, one JSON line.
local vbl = require "vbl"
local system = require "vbl.system.c"

local function thousand()
  for _ = 1, 1000 do vbl.zeros(64) end
end
for _ = 1, 100 do vbl.scope(thousand) end
collectgarbage()
local live, rss, started = vbl.memory().live, system.rss_bytes(), system.monotonic()
for _ = 1, 1000 do vbl.scope(thousand) end
local seconds = system.monotonic() - started
collectgarbage()
print(('{"tensors": 1000000, "us": %.3f, "live_before": %d, "live_after": %d, "rss_before": %d, "rss_after": %d}'):format(
  seconds, live, vbl.memory().live, rss, system.rss_bytes()))

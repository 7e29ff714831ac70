-- How long ago: age("2025-09-03 21:03:36"[, now]) -> seconds or nil; age.text(seconds) -> "8 s", "5 min", "3 h", "12 d", "4 mo", "2 y"
local age = {}

local steps = {{60, "s", 1}, {3600, "min", 60}, {48 * 3600, "h", 3600}, {60 * 86400, "d", 86400}, {730 * 86400, "mo", 30.44 * 86400}, {math.huge, "y", 365.25 * 86400}}

function age.text(seconds)
  if not seconds then return "" end
  for _, step in ipairs(steps) do
    if seconds < step[1] then return ("%d %s"):format(math.max(0, seconds // step[3]), step[2]) end
  end
end

return setmetatable(age, {__call = function(_, created, now)
  local year, month, day, hour, min, sec = tostring(created):match "^(%d+)-(%d+)-(%d+) (%d+):(%d+):(%d+)$"
  if year then return (now or os.time()) - os.time {year = year, month = month, day = day, hour = hour, min = min, sec = sec} end
end})

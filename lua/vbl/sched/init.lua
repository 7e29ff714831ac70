-- vbl.sched: learning-rate schedules. Each returns a function step -> multiplier of the peak rate, where step counts optimizer
-- steps from 1. There is one counter: the trainer's.
local sched = {}

-- Linear warm-up over `warmup` steps, then a cosine from 1 down to `min_fraction` at step `total`
-- (Loshchilov & Hutter 2017, without restarts). Steps past `total` stay at min_fraction. A single step is at the peak.
function sched.warmup_cosine(total, warmup, min_fraction)
  if total < 1 or warmup < 0 or warmup >= total and total > 1 then
    error(string.format("warmup_cosine: expected 0 <= warmup < total, got warmup %s, total %s", warmup, total), 2)
  end
  min_fraction = min_fraction or 0
  return function(step)
    if step <= math.max(warmup, total == 1 and 1 or 0) then return step / math.max(warmup, 1) end
    local progress = math.min((step - warmup) / math.max(total - warmup, 1), 1)
    return min_fraction + (1 - min_fraction) * 0.5 * (1 + math.cos(math.pi * progress))
  end
end

-- 1 at every step.
function sched.constant() return function() return 1 end end

-- The schedule as lines of text, `width` columns by `height` rows, for --plan.
function sched.draw(schedule, total, width, height)
  local grid = {}
  for r = 1, height do
    grid[r] = {}
    for c = 1, width do grid[r][c] = " " end
  end
  for c = 1, width do
    local step = math.max(1, math.floor((c - 0.5) / width * total + 0.5))
    local r = height - math.min(height - 1, math.floor(schedule(step) * (height - 1) + 0.5))
    grid[r][c] = "*"
  end
  local lines = {}
  for r = 1, height do
    local label = r == 1 and "1.0" or r == height and "0.0" or "   "
    lines[r] = "  " .. label .. " |" .. table.concat(grid[r])
  end
  lines[#lines + 1] = "      +" .. string.rep("-", width) .. "  step 1 to " .. total
  return lines
end

return sched

-- Which runs are stopped early, from what they and the others reported so far. A report is (at, point): after epoch `at` (from 1), the
-- objectives' values, all to be minimised. A trial's value at `at` is the mean over those of its runs that reported there.
--
-- median (Golovin et al., "Google Vizier", KDD 2017, section 3.2.2, with the values at one epoch in place of running means): a run
--   stops after an epoch from `warmup` on when its best value so far is worse than the median of the other trials' values at that epoch,
--   of which there have to be `startup`. Several objectives: when that holds for each of them.
-- halving (asynchronous successive halving; Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, in the form
--   that stops instead of pausing): rungs lie at epochs min, min*eta, min*eta^2, ...; at a rung a run goes on when it is among the best
--   1/eta of the trials that have reached it until now (at least the best one does). Several objectives: best by front and crowding
--   distance (vbl.sweep.pareto).
--
--   prune.check(pruner) -> the pruner with its defaults; raises for one that is none
--   prune.decide(pruner, run, others) -> why it stops, or nil
--     run {{at=, point=}, ...}, rising, the last one new; others: one such list a trial
local merged = require "vbl.merged"
local nearest = require "vbl.nearest"
local pareto = require "vbl.sweep.pareto"
local statistics = require "vbl.statistics"

local prune = {}

local kinds = {
  median = {startup = 4, warmup = 1},  -- other trials that have a value there; the first epoch after which a run may stop
  halving = {min = 1, eta = 3},        -- epochs of the first rung; one in eta goes on
}

local function fail(format, ...) error(format:format(...), 0) end

function prune.check(given)
  if given == nil then return nil end
  if type(given) == "string" then given = {given} end
  local kind = type(given) == "table" and given[1]
  local defaults = kinds[kind]
  if not defaults then fail("sweep: pruner: expected \"median\" or \"halving\", got %s%s", tostring(kind), nearest.hint(tostring(kind), kinds)) end
  local pruner = merged(defaults, {kind = kind})
  for key, value in pairs(given) do
    if key ~= 1 then
      if defaults[key] == nil then fail("sweep: pruner: %s has no option '%s'%s", kind, tostring(key), nearest.hint(tostring(key), defaults)) end
      local least = key == "eta" and 2 or 1
      if not math.tointeger(value) or value < least then fail("sweep: pruner: %s: expected a whole number from %d, got %s", key, least, tostring(value)) end
      pruner[key] = math.tointeger(value)
    end
  end
  return pruner
end

-- The first report at or after `at`.
local function reached(reports, at)
  for _, r in ipairs(reports) do
    if r.at >= at then return r end
  end
end

local decide = {}

function decide.median(pruner, run, others)
  local last, values = run[#run], {}
  if last.at < pruner.warmup then return nil end
  for _, reports in ipairs(others) do
    for _, r in ipairs(reports) do
      if r.at == last.at then values[#values + 1] = r.point end
    end
  end
  if #values < pruner.startup then return nil end
  for m = 1, #last.point do
    local best, list = math.huge, {}
    for _, r in ipairs(run) do
      if r.at >= pruner.warmup then best = math.min(best, r.point[m]) end
    end
    for i, point in ipairs(values) do list[i] = point[m] end
    if best <= statistics.median(list) then return nil end
  end
  return ("after epoch %g worse than the median of %d trials"):format(last.at, #values)
end

function decide.halving(pruner, run, others)
  local last, before = run[#run], run[#run - 1]
  local rung = pruner.min
  while rung * pruner.eta <= last.at do rung = rung * pruner.eta end
  if last.at < rung or before and before.at >= rung then return nil end  -- no rung between the last report and this one
  local points = {last.point}
  for _, reports in ipairs(others) do
    local r = reached(reports, rung)
    if r then points[#points + 1] = r.point end
  end
  local keep = math.max(1, #points // pruner.eta)
  for place, i in ipairs(pareto.ranked(points)) do
    if i == 1 and place > keep then return ("at epoch %g place %d of %d, of which %d go on"):format(last.at, place, #points, keep) end
  end
end

function prune.decide(pruner, run, others) return decide[pruner.kind](pruner, run, others) end

return prune

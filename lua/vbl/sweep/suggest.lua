-- The configuration of a trial: a function of the sweep's seed, the trial's number and what is known when it is asked for.
--
-- grid: the trial's number counts through the grid. random: every dimension by itself, from its prior.
-- tpe: the tree-structured Parzen estimator (Bergstra, Bardenet, Bengio, Kégl, NIPS 2011), dimensions independent, as there. Trials are random
-- until `startup` of them are finished or pruned, and one is finished. Then the known trials are split: the best share gamma = 0.15 is "good",
-- the rest "bad". Of each active dimension, parents first, 24 values are drawn from the good ones' distribution l, and the one with the largest
-- l/g is taken, g being the distribution of the bad ones. A dimension counts only the trials in which it is active.
-- Pruned trials are bad, and so are running ones, so that workers beside each other look in different places; failed ones say nothing.
-- Several objectives: "best" is by front and crowding distance (vbl.sweep.pareto); that is NSGA-II's order in place of MOTPE's hypervolume.
--
--   suggest(spec, number, known) -> config, or nil when every configuration has been tried
--     known: {{config=, point = numbers to minimise or nil (bad)}, ...}, failed ones with failed = true,
--     pruned ones with pruned = true
local pareto = require "vbl.sweep.pareto"
local parzen = require "vbl.sweep.parzen"
local random = require "vbl.sweep.random"
local space = require "vbl.sweep.space"
local store = require "vbl.store.c"
local subset = require "vbl.sweep.subset"

local GAMMA, CANDIDATES, REDRAWS, GRID = 0.15, 24, 100, 100000

-- One observation spread evenly, and those seen.
local function categories(dim, seen)
  local weights, index = {}, {}
  for i, value in ipairs(dim.values) do weights[i], index[store.json_encode {value}] = 1 / #dim.values, i end
  for _, value in ipairs(seen) do
    local i = index[store.json_encode {value}]
    weights[i] = weights[i] + 1
  end
  return {
    draw = function(rng) return dim.values[rng:weighted(weights)] end,
    log_density = function(value) return math.log(weights[index[store.json_encode {value}]] / (#seen + 1)) end,
  }
end

local function fitted(dim, seen)
  if dim.kind == "choice" then return categories(dim, seen) end
  return (dim.kind == "subset" and subset or parzen).fitted(dim, seen)
end

local function prior(dim)
  if dim.kind == "choice" then return categories(dim, {}) end
  return (dim.kind == "subset" and subset or parzen).uniform(dim)
end

local function seen_of(dim, trials)
  local list = {}
  for _, t in ipairs(trials) do
    if t.config[dim.key] ~= nil then list[#list + 1] = t.config[dim.key] end
  end
  return list
end

local function split(known)
  local points, scored, good, bad, pruned = {}, {}, {}, {}, 0
  for _, t in ipairs(known) do
    if t.point then
      points[#points + 1], scored[#scored + 1] = t.point, t
    elseif not t.failed then
      bad[#bad + 1] = t
      pruned = pruned + (t.pruned and 1 or 0)
    end
  end
  local keep = math.ceil(GAMMA * #scored)
  for place, i in ipairs(pareto.ranked(points)) do
    local list = place <= keep and good or bad
    list[#list + 1] = scored[i]
  end
  return good, bad, #scored > 0 and #scored + pruned or 0
end

local function best_candidate(dim, good, bad, rng)
  local l, g = fitted(dim, seen_of(dim, good)), fitted(dim, seen_of(dim, bad))
  local best, best_ratio
  for _ = 1, CANDIDATES do
    local value = l.draw(rng)
    local ratio = l.log_density(value) - g.log_density(value)
    if not best_ratio or ratio > best_ratio then best, best_ratio = value, ratio end
  end
  return best
end

-- The grid of a space that has one, kept: it is asked for at every trial.
local grids = setmetatable({}, {__mode = "k"})

local function grid_of(spec)
  if grids[spec] == nil then grids[spec] = space.grid(spec.dims, spec.constants, GRID) or false end
  return grids[spec] or nil
end

local methods = {}

function methods.random(spec, rng)
  return space.draw(spec.dims, spec.constants, function(dim) return prior(dim).draw(rng) end)
end

function methods.tpe(spec, rng, known)
  local good, bad, ended = split(known)
  if ended < spec.startup then return methods.random(spec, rng) end
  return space.draw(spec.dims, spec.constants, function(dim) return best_candidate(dim, good, bad, rng) end)
end

-- A configuration is run once: with the same seeds it would give the same score. Where the method comes back to known ones only, the
-- prior is drawn from, and then the first of the grid that is new is taken.
local function fresh(spec, rng, known)
  local tried, config = {}, nil
  for _, t in ipairs(known) do tried[store.json_encode(t.config)] = true end
  for _, method in ipairs {spec.method, "random"} do
    for _ = 1, REDRAWS do
      config = methods[method](spec, rng, known)
      if not tried[store.json_encode(config)] then return config end
    end
  end
  for _, other in ipairs(grid_of(spec) or {}) do
    if not tried[store.json_encode(other)] then return other end
  end
end

return function(spec, number, known)
  if spec.method == "grid" then return grid_of(spec)[number + 1] end
  return fresh(spec, random.new(spec.seed, number), known)
end

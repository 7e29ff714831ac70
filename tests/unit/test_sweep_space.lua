-- The parts of a sweep that need no process: spaces, what is suggested, order among trials, what is pruned.
local check = require "check"
local objective = require "vbl.sweep.objective"
local pareto = require "vbl.sweep.pareto"
local parzen = require "vbl.sweep.parzen"
local prune = require "vbl.sweep.prune"
local random = require "vbl.sweep.random"
local space = require "vbl.sweep.space"
local store = require "vbl.store.c"
local subset = require "vbl.sweep.subset"
local suggest = require "vbl.sweep.suggest"
local sweep = vbl.sweep

local function binomial(n, k) return k == 0 and 1 or binomial(n - 1, k - 1) * n // k end

local function spec_of(given, fields)
  local dims, constants = space.read(given)
  local spec = {dims = dims, constants = constants, seed = 1, startup = 10, method = "random"}
  for key, value in pairs(fields or {}) do spec[key] = value end
  return spec
end

check.group("random: the published SplitMix64 numbers, ranges, moments", function()
  -- Steele's generator with state 1234567 gives these (the reference implementation's example).
  local rng = setmetatable({state = 1234567}, getmetatable(random.new(0, 0)))
  for _, want in ipairs {6457827717110365317, 3203168211198807973, 0x883ebce5a3f27c77} do
    check.equal(rng:uniform(), (want >> 11) * 2.0 ^ -53)
  end
  rng = random.new(3, 5)
  local sum, square, low, high = 0, 0, 9, 0
  for _ = 1, 20000 do
    local x, i = rng:normal(), rng:integer(2, 7)
    sum, square, low, high = sum + x, square + x * x, math.min(low, i), math.max(high, i)
  end
  check.near(sum / 20000, 0, 5 / math.sqrt(20000))  -- five deviations of a mean
  check.near(square / 20000, 1, 5 * math.sqrt(2 / 20000))
  check.ok(low == 2 and high == 7)
  check.equal(random.new(3, 5):uniform(), random.new(3, 5):uniform())
  check.ok(random.new(3, 5):uniform() ~= random.new(3, 6):uniform() and random.new(3, 5):uniform() ~= random.new(4, 5):uniform())
end)

check.group("subset: as many as the binomials say, each once, rising", function()
  local dim = {kind = "subset", low = 0, high = 11, least = 2, most = 8}
  local count, seen = 0, {}
  for k = 2, 8 do count = count + binomial(12, k) end
  for _, list in ipairs(subset.all(dim)) do
    for i = 2, #list do check.ok(list[i - 1] < list[i], "not rising") end
    seen[table.concat(list, " ")] = true
  end
  local different = 0
  for _ in pairs(seen) do different = different + 1 end
  check.equal(different, count)
  check.equal(subset.count(dim), count)
  local two = {kind = "subset", low = 0, high = 3, least = 1, most = 3, streams = {"text", "vision"}}
  check.equal(#subset.all(two), 16 + 36 + 16)
  check.equal(subset.count(two), 68)
  for _, value in ipairs(subset.all(two)) do check.equal(#value.text, #value.vision) end
end)

check.group("subset: the fitted distribution sums to 1, and draws follow it", function()
  local dim = {kind = "subset", low = 2, high = 6, least = 1, most = 3, streams = {"text", "vision"}}
  local d, sum, p = subset.fitted(dim, {{text = {4, 6}, vision = {2, 3}}, {text = {6}, vision = {2}}}), 0, {}
  for _, value in ipairs(subset.all(dim)) do
    local key = store.json_encode(value)
    p[key] = math.exp(d.log_density(value))
    sum = sum + p[key]
  end
  check.near(sum, 1, 1e-12)
  local rng, n, counts = random.new(1, 1), 20000, {}
  for _ = 1, n do
    local key = store.json_encode(d.draw(rng))
    counts[key] = (counts[key] or 0) + 1
  end
  local chi2, cells = 0, 0
  for key, q in pairs(p) do
    chi2, cells = chi2 + ((counts[key] or 0) - n * q) ^ 2 / (n * q), cells + 1
  end
  check.near(chi2, cells - 1, 5 * math.sqrt(2 * (cells - 1)))  -- chi squared: mean and five deviations
end)

check.group("Parzen: the normal distribution's values, densities that integrate to 1", function()
  for _, row in ipairs {{0, 0.5}, {1, 0.841344746068543}, {-2, 0.0227501319481792}, {3.5, 0.999767370920964}} do check.near(parzen.cdf(row[1]), row[2], 1.2e-7) end
  for _, dim in ipairs {{kind = "integer", low = 1, high = 20}, {kind = "integer_log", low = 1, high = 64}} do
    local d, sum = parzen.fitted(dim, {3, 3, 5, 12}), 0
    for x = dim.low, dim.high do sum = sum + math.exp(d.log_density(x)) end
    check.near(sum, 1, 1e-5)
  end
  local d, sum, n = parzen.fitted({kind = "log", low = 1e-5, high = 1e-1}, {1e-4, 3e-4, 1e-2}), 0, 4000
  local a, b = math.log(1e-5), math.log(1e-1)
  for i = 0, n - 1 do sum = sum + math.exp(d.log_density(math.exp(a + (b - a) * (i + 0.5) / n))) * (b - a) / n end
  check.near(sum, 1, 1e-5)  -- midpoint rule, smooth integrand
end)

check.group("grid: every configuration once, conditions kept", function()
  local spec = spec_of({lr = sweep.log(1e-4, 1e-2, 3), depth = sweep.when("fusion", "stacked", sweep.integer(2, 4)), fusion = sweep.choice {"stacked", "interleaved"},
                        where = sweep.when("fusion", {"interleaved"}, sweep.choice {"early", "late"}), task = "easy"}, {method = "grid"})
  local seen, number = {}, 0
  while true do
    local config = suggest(spec, number, {})
    if not config then break end
    number = number + 1
    check.ok((config.depth ~= nil) == (config.fusion == "stacked") and (config.where ~= nil) == (config.fusion == "interleaved"))
    check.equal(config.task, "easy")
    local key = store.json_encode(config)
    check.ok(not seen[key])
    seen[key] = true
  end
  check.equal(number, 3 * (3 + 2))
  check.near(space.values(sweep.log(1e-4, 1e-2, 3))[2], 1e-3, 1e-18)
  check.equal(#space.grid(space.read {a = sweep.integer(1, 3)}, {}, 100), 3)
  local none, why = space.grid(space.read {a = sweep.linear(0, 1)}, {}, 100)
  check.ok(none == nil and why:find "how many points")
  none, why = space.grid(space.read {a = sweep.subset {0, 11, k = {2, 8}, streams = {"text", "vision"}}}, {}, 1e5)
  check.ok(none == nil and why:find "random")
end)

check.group("spaces that are none say why", function()
  check.error(function() space.read {} end, "space is empty")
  check.error(function() space.read {lr = 1} end, "space is empty")
  check.error(function() sweep.log(0, 1) end, "logarithm")
  check.error(function() sweep.linear(2, 1) end, "below")
  check.error(function() sweep.integer(1, 2.5) end, "whole")
  check.error(function() sweep.choice {} end, "empty")
  check.equal(space.text(sweep.log(1e-5, 1e-3)), "log(1e-05, 0.001)")
  check.equal(space.text(sweep.integer(1, 4, 2)), "integer(1, 4, 2)")
  check.equal(space.text(sweep.choice {"none", 2, {1, 3}}), 'choice {"none", 2, {1, 3}}')
  check.equal(space.text(sweep.subset {0, 11, k = {2, 8}, streams = {"text", "vision"}}), 'subset {0, 11, k = {2, 8}, streams = {"text", "vision"}}')
  check.equal(space.text(sweep.when("model.fusion", "stacked", sweep.linear(0, 1))), 'when("model.fusion", "stacked", linear(0, 1))')
  check.error(function() sweep.choice {"a", "a"} end, "twice")
  check.error(function() sweep.subset {0, 3, k = {2, 8}} end, "from 0 to 4")
  check.error(function() space.read {d = sweep.when("fusoin", "x", sweep.integer(1, 2)), fusion = sweep.choice {"x"}} end, "did you mean 'fusion'")
  check.error(function() space.read {d = sweep.when("fusion", "y", sweep.integer(1, 2)), fusion = sweep.choice {"x"}} end, "never has the value")
  check.error(function() space.read {a = sweep.when("b", 1, sweep.choice {1}), b = sweep.when("a", 1, sweep.choice {1})} end, "itself")
end)

check.group("suggestions: a function of seed, number and what is known", function()
  local spec = spec_of({x = sweep.linear(0, 1), k = sweep.choice {"a", "b"}, s = sweep.subset {0, 5, k = 2}}, {method = "tpe", startup = 3})
  local known = {}
  for i = 0, 19 do
    local config = suggest(spec, i, known)
    check.equal(store.json_encode(suggest(spec, i, known)), store.json_encode(config))
    check.ok(config.x >= 0 and config.x <= 1 and #config.s == 2)
    known[i + 1] = {config = config, point = {config.x}}
  end
  local other = spec_of({x = sweep.linear(0, 1), k = sweep.choice {"a", "b"}, s = sweep.subset {0, 5, k = 2}}, {method = "tpe", startup = 3, seed = 2})
  check.ok(store.json_encode(suggest(other, 0, {})) ~= store.json_encode(suggest(spec, 0, {})))
end)

check.group("a failed trial's reports prune no other, and are none of those that a median needs", function()
  local state = require("vbl.sweep.state").new()
  state:apply {type = "sweep", definition = {seeds = {0, 1}, objectives = objective.read "val.loss", trials = 3}}
  for number = 0, 2 do
    state:apply {type = "trial", trial = number, config = {x = number}}
    for seed = 0, 1 do
      state:apply {type = "start", trial = number, seed = seed, attempt = 1}
      state:apply {type = "report", trial = number, seed = seed, attempt = 1, at = 1, values = {["val.loss"] = number + seed}}
    end
  end
  check.equal(#state:others(2), 2)
  state:apply {type = "end", trial = 0, seed = 1, attempt = 1, status = "failed"}
  local others = state:others(2)
  check.equal(#others, 1)
  check.equal(others[1][1].point[1], 1.5)
  state:apply {type = "end", trial = 1, seed = 0, attempt = 1, status = "pruned"}
  check.equal(#state:others(2), 1)
end)

check.group("tpe begins once startup trials are finished or pruned, one of them finished", function()
  local spec = spec_of({x = sweep.linear(0, 1)}, {method = "tpe", startup = 10})
  local random = spec_of({x = sweep.linear(0, 1)}, {method = "random"})
  local function known_of(finished, pruned, running)
    local list = {}
    for i = 1, finished do list[#list + 1] = {config = {x = i / 100}, point = {i}} end
    for i = 1, pruned do list[#list + 1] = {config = {x = 0.5 + i / 100}, pruned = true} end
    for i = 1, running do list[#list + 1] = {config = {x = 0.9 + i / 1000}} end
    return list
  end
  local function is_random(...)
    local known = known_of(...)
    return store.json_encode(suggest(spec, #known, known)) == store.json_encode(suggest(random, #known, known))
  end
  check.ok(is_random(9, 0, 5) and is_random(3, 6, 20) and is_random(0, 30, 0))
  check.ok(not is_random(3, 7, 0) and not is_random(1, 40, 0) and not is_random(10, 0, 0))
end)

check.group("a finite space is gone through once, whatever the method", function()
  for _, method in ipairs {"random", "tpe"} do
    local spec, known, seen = spec_of({a = sweep.integer(1, 4), b = sweep.choice {true, false}}, {method = method, startup = 2}), {}, {}
    for i = 0, 7 do
      local config = suggest(spec, i, known)
      local key = store.json_encode(config)
      check.ok(not seen[key], "twice: " .. key)
      seen[key], known[i + 1] = true, {config = config, point = {config.a}}
    end
    check.equal(suggest(spec, 8, known), nil)
  end
end)

-- Branin's function, minimum 0.397887.
local function branin(c)
  local x, y = c.x, c.y
  return (y - 5.1 / (4 * math.pi ^ 2) * x ^ 2 + 5 / math.pi * x - 6) ^ 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10
end

-- Distance to one placement of each stream.
local function placement(c)
  local sum = 0
  for _, layer in ipairs(c.at.text) do sum = sum + (layer >= 8 and -1 or 0.5) end
  for _, layer in ipairs(c.at.vision) do sum = sum + (layer >= 6 and layer <= 9 and -1 or 0.5) end
  return sum + 8
end

-- Mean over seeds of the best of 40.
local function search(given, fn, method)
  local sum, seeds = 0, 10
  for seed = 1, seeds do
    local spec, known, best = spec_of(given, {method = method, seed = seed}), {}, math.huge
    for i = 0, 39 do
      local config = suggest(spec, i, known)
      local value = fn(config)
      best, known[i + 1] = math.min(best, value), {config = config, point = {value}}
    end
    sum = sum + best
  end
  return sum / seeds
end

check.group("tpe finds better than random search, in the mean of ten seeds", function()
  for _, row in ipairs {{{x = sweep.linear(-5, 10), y = sweep.linear(0, 15)}, branin},
                        {{at = sweep.subset {0, 11, k = {2, 8}, streams = {"text", "vision"}}}, placement}} do
    local by_tpe, by_random = search(row[1], row[2], "tpe"), search(row[1], row[2], "random")
    check.ok(by_tpe < by_random, ("tpe %g, random %g"):format(by_tpe, by_random))
  end
end)

check.group("tpe with two objectives: more of what it tries lies near the front than of random search", function()
  -- f = (x^2 + y, (x - 1)^2 + y): the front is y = 0, x in [0, 1].
  local means = {}
  for _, method in ipairs {"random", "tpe"} do
    local sum = 0
    for seed = 1, 10 do
      local spec, known = spec_of({x = sweep.linear(-3, 3), y = sweep.linear(0, 3)}, {method = method, seed = seed}), {}
      for i = 0, 39 do
        local c = suggest(spec, i, known)
        known[i + 1] = {config = c, point = {c.x ^ 2 + c.y, (c.x - 1) ^ 2 + c.y}}
        sum = sum + c.y + math.max(0, -c.x, c.x - 1)
      end
    end
    means[method] = sum / 400
  end
  check.ok(means.tpe < means.random, ("tpe %g, random %g"):format(means.tpe, means.random))
end)

check.group("Pareto: fronts, crowding, one objective by value", function()
  local points = {{1, 5}, {2, 3}, {4, 1}, {3, 3}, {5, 5}, {2, 3}}
  check.equal(table.concat(pareto.front(points), " "), "1 2 3 6")
  local ranked = pareto.ranked(points)
  check.equal(table.concat({ranked[5], ranked[6]}, " "), "4 5")
  check.ok((ranked[1] == 1 and ranked[2] == 3) or (ranked[1] == 3 and ranked[2] == 1), "the ends of a front come first")
  check.equal(table.concat(pareto.ranked {{3}, {1}, {2}, {1}}, " "), "2 4 3 1")
  check.equal(#pareto.ranked {}, 0)
end)

local function reports(...)
  local list = {}
  for i, value in ipairs {...} do list[i] = {at = i, point = type(value) == "table" and value or {value}} end
  return list
end

check.group("median: the best so far against the others' values at that epoch", function()
  local pruner = prune.check {"median", startup = 3, warmup = 2}
  local others = {reports(1, 0.5, 0.4), reports(1, 0.6, 0.5), reports(1, 0.7, 0.6), reports(1)}
  check.equal(prune.decide(pruner, reports(5), others), nil)                -- warming up
  check.ok(prune.decide(pruner, reports(1, 0.61), others):find "epoch 2")   -- the median is 0.6
  check.equal(prune.decide(pruner, reports(1, 0.6), others), nil)
  check.equal(prune.decide(pruner, reports(1, 0.45, 0.9), others), nil)     -- its best is below 0.5
  check.equal(prune.decide(pruner, reports(9, 9), {others[1], others[2], others[4]}), nil)  -- two others only
  local two = {reports({1, 1}, {0.5, 0.5}), reports({1, 1}, {0.6, 0.6}), reports({1, 1}, {0.7, 0.7})}
  check.equal(prune.decide(pruner, reports({1, 1}, {0.9, 0.6}), two), nil)  -- worse in one objective only
  check.ok(prune.decide(pruner, reports({1, 1}, {0.9, 0.7}), two))
end)

check.group("halving: at a rung one in eta goes on", function()
  local pruner = prune.check {"halving", min = 1, eta = 3}
  check.equal(prune.decide(pruner, reports(5), {}), nil)                                    -- the first one
  check.ok(prune.decide(pruner, reports(5), {reports(4)}):find "place 2 of 2, of which 1")
  local others = {reports(1), reports(2), reports(3), reports(4), reports(5)}
  check.equal(prune.decide(pruner, reports(1.5), others), nil)                              -- second of six: two go on
  check.ok(prune.decide(pruner, reports(2.5), others))
  check.equal(prune.decide(pruner, reports(9, 9), others), nil)                             -- epoch 2 is no rung
  check.ok(prune.decide(pruner, reports(1, 1, 9), {reports(1, 1, 1), reports(1)}))          -- epoch 3 is, and one other is there
  local front = {reports {1, 5}, reports {5, 1}, reports {6, 6}, reports {7, 7}, reports {8, 8}}
  check.equal(prune.decide(pruner, reports {0, 9}, front), nil)                             -- an end of the front
  check.ok(prune.decide(pruner, reports {9, 9}, front))
  check.error(function() prune.check "medain" end, "did you mean 'median'")
  check.error(function() prune.check {"halving", eta = 1} end, "eta")
  check.error(function() prune.check {"halving", warmup = 1} end, "no option 'warmup'")
end)

check.group("objectives: direction, task behind the metric, values", function()
  local list = objective.read {"val.accuracy", "min manifest.total_parameters", "test.loss.mlm"}
  check.equal(list[1].direction .. list[2].direction .. list[3].direction, "maxminmin")
  check.equal(objective.of_row(list, {split = "val", name = "accuracy.hateful_memes"}, "hateful_memes"), "val.accuracy")
  check.equal(objective.of_row(list, {split = "train", name = "accuracy.hateful_memes"}, "hateful_memes"), nil)
  check.equal(objective.of_row(list, {split = "test", name = "loss.mlm"}), "test.loss.mlm")
  check.equal(objective.point(list, {["val.accuracy"] = 0.5, ["manifest.total_parameters"] = 7, ["test.loss.mlm"] = 2})[1], -0.5)
  check.equal(table.concat({objective.text(1801750.0), objective.text(1801750.5, 5), objective.text(20.506, 2), objective.text(1234.5, 2), objective.text(0.123456, 5),
                            objective.text(1.5e-7, 2), objective.text(0.0, 2)}, " "), "1801750 1801750 21 1234 0.12346 1.5e-07 0")
  check.error(function() objective.read "val.speed" end, "say which way", "max val.speed")
  check.error(function() objective.read "up val.speed" end, "expected max or min")
  check.error(function() objective.read "accuracy" end, "SPLIT.METRIC")
  check.error(function() objective.read "vall.accuracy" end, "did you mean 'val'")
  check.error(function() objective.read {"val.loss", "min val.loss"} end, "twice")
  check.error(function() objective.read(nil) end, "missing")
end)

check.done()

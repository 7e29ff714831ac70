-- vbl.measure.selftest([{quiet=}]) -> table: five questions to every measure, with known answers. vbl.measure.passed(name) -> did it pass (asked once
-- a process), and what it got wrong.
--   known        its value on a fixed 24-row matrix pair, computed independently in f64, to 1e-9
--   identical    X with itself gives the best value (for cycle_knn, hsic and measures of one matrix: what is stated below)
--   rotated      X with a rotated copy gives the same value, or, for measures that read coordinates, another one
--   independent  unrelated X and Y: within 5 standard deviations of its own null, whose mean is the stated chance level where that is exact
--   degenerate   a matrix of zeros (for cloud distances: one of another width) gives its status and no number
local vbl = require "vbl.tensor.c"
local c = require "vbl.measure.c"
local calibrate = require "vbl.measure.calibrate"
local fixture = require "vbl.measure.fixture"
local sorted_keys = require "vbl.sorted_keys"

local N, D, DRAWS = 48, 8, 40

-- Numbers of its own, so that the caller's generator is left alone.
local function normal_rows(n, d, seed)
  local state, rows = seed * 2654435761 + 1, {}
  local function uniform()
    state = state * 6364136223846793005 + 1442695040888963407
    return ((state >> 11) + 0.5) * 2.0 ^ -53
  end
  for i = 1, n do
    rows[i] = {}
    for j = 1, d do rows[i][j] = math.sqrt(-2 * math.log(uniform())) * math.cos(2 * math.pi * uniform()) end
  end
  return rows
end

local function tensor(rows) return vbl.tensor(rows, {dtype = "f64"}) end

-- Rows times I - 2 h h' / h'h, for two fixed h: a rotation.
local function rotated(rows)
  local out = {}
  for i, row in ipairs(rows) do
    out[i] = {table.unpack(row)}
    for q = 1, 2 do
      local dot, hh = 0, 0
      for j = 1, #row do
        local h = math.cos(q * j + 0.3)
        dot, hh = dot + h * out[i][j], hh + h * h
      end
      for j = 1, #row do out[i][j] = out[i][j] - 2 * dot / hh * math.cos(q * j + 0.3) end
    end
  end
  return out
end

-- {name, known value, options of the known value, options of the other questions}, and
--   identical     the value for X = Y; "any": there is no law
--   coordinates   a rotation changes the value
--   degenerate    the status on degenerate data; "any": one of them; "zero": the value 0
--   space         X and Y have to be in one space (the fixture's Y is cut to 6 columns)
--   same          how near two equal values have to be (1e-9)
local k5 = {k = 5}
local measures = {
  {"cosine", 0.556719500374, identical = 1, coordinates = true, degenerate = "ZERO_ROW", space = true},
  {"modality_gap", 0.184386341355, identical = 0, coordinates = true, degenerate = "ZERO_ROW", space = true},
  {"alignment", 0.886560999253, identical = 0, coordinates = true, degenerate = "ZERO_ROW", space = true},
  {"retrieval", 0.208333333333, identical = 1, coordinates = true, degenerate = "ZERO_ROW", space = true},
  {"wasserstein", 1.548334530789, identical = 0, coordinates = true, degenerate = "NOT_COMPARABLE", space = true},
  {"sinkhorn", 2.105478832963, {eps = 0.5}, {eps = 8}, identical = 0, coordinates = true, degenerate = "NOT_COMPARABLE", space = true, same = 1e-6},
  {"sliced_wasserstein", 0.276631190904, {directions = vbl.eye(6)}, {projections = 64}, identical = 0, coordinates = true, degenerate = "NOT_COMPARABLE", space = true},
  {"hsic", 1.061993988353, identical = "any", degenerate = "zero"},
  {"cka", 0.366202280616, identical = 1, degenerate = "ZERO_VARIANCE"},
  {"cka_minibatch", 0.115215827326, {batch = 8}, {batch = 16}, identical = 1, degenerate = "ZERO_VARIANCE"},
  {"cknna", 0.404589534601, k5, identical = 1, degenerate = "ALL_TIED"},
  {"dcor", 0.769885378639, identical = 1, degenerate = "ZERO_VARIANCE"},
  {"mknn", 0.375, k5, identical = 1, degenerate = "ALL_TIED"},
  {"mknn_thesis", 0.480839155754, k5, identical = 1, degenerate = "ALL_TIED"},
  {"knn_jaccard", 0.246197089947, k5, identical = 1, degenerate = "ALL_TIED"},
  {"rank_sim", 0.294550905884, k5, identical = 1, degenerate = "ALL_TIED"},
  {"joint_rank_jaccard", 0.080067987128, k5, identical = 1, degenerate = "ALL_TIED"},
  {"cycle_knn", 1, k5, identical = "any", degenerate = "ALL_TIED"},
  {"lcs_knn", 1.583333333333, k5, identical = 10, degenerate = "ALL_TIED"},
  {"edit_knn", 0.1, k5, identical = 1, degenerate = "ALL_TIED"},
  {"second_order_cosine", 0.768041136214, k5, identical = 1, degenerate = "ALL_TIED"},
  {"cca", 0.680431742695, identical = 1, degenerate = "ZERO_VARIANCE"},
  {"svcca", 0.798709025059, identical = 1, degenerate = "ZERO_VARIANCE"},
  {"pwcca", 0.756689748721, identical = 1, degenerate = "ZERO_VARIANCE"},
  {"procrustes", 0.647929642720, identical = 1, degenerate = "ZERO_VARIANCE"},
  {"aligned_cosine", 0.638617618437, identical = 1, degenerate = "ZERO_VARIANCE"},
  {"linear_r2", 0.534461077071, identical = 1, degenerate = "ZERO_VARIANCE"},
  {"ridge_r2_cv", 0.200020350684, {folds = 4, lambda = 1, assignment = fixture.folds}, {lambda = 1e-9}, identical = 1, degenerate = "ZERO_VARIANCE", same = 1e-6},
  {"rsa", 0.291709307801, identical = 1, coordinates = true, degenerate = "ALL_TIED"},
  {"gw_identity", 1.474651896803, {normalise = false}, identical = 0, degenerate = "ZERO_VARIANCE"},
  {"uniformity", -2.321424481542, identical = "any", degenerate = "ZERO_ROW"},
  {"effective_rank", 4.963924938566, identical = "any", degenerate = "ZERO_VARIANCE"},
  {"participation_ratio", 3.695036960606, identical = "any", degenerate = "ZERO_VARIANCE"},
  {"stable_rank", 2.832533478520, identical = "any", degenerate = "ZERO_VARIANCE"},
  {"pca_dims", 4, identical = "any", degenerate = "ZERO_VARIANCE"},
  {"twonn", 0.925849459561, identical = "any", degenerate = "NOTHING_VALID"},
}

-- Rows for what plug-ins registered (vbl.h says what they state): rotation and the degenerate status are asked as far as stated.
local function with_plugins()
  local list, plugins = {table.unpack(measures)}, c.plugins()
  for _, name in ipairs(sorted_keys(plugins)) do
    local def = plugins[name]
    list[#list + 1] = {name, def.known, identical = def.best or "any", coordinates = not def.rotates, degenerate = "any", space = def.space}
  end
  return list
end

local function near(got, want, tolerance)
  if math.abs(got - want) <= tolerance then return true end
  return false, ("%.10g, expected %.10g"):format(got, want)
end

local function compare(name, x, y, opts, matrices)
  if matrices == 1 then return c[name](y, opts) end
  return c[name](x, y, opts)
end

local questions = {}

function questions.known(m, t)
  if not m[2] then return nil end
  local y = m.space and t.fixture_y6 or t.fixture_y
  return near(compare(m[1], t.fixture_x, m.matrices == 1 and t.fixture_x or y, m[3], m.matrices), m[2], 1e-9)
end

function questions.identical(m, t)
  local value = compare(m[1], t.x, t.x, m.opts, m.matrices)
  if m.identical == "any" then return value == value, "undefined" end
  return near(value, m.identical, m.same or 1e-9)
end

function questions.rotated(m, t)
  local before, after = compare(m[1], t.x, t.x, m.opts, m.matrices), compare(m[1], t.x, t.turned, m.opts, m.matrices)
  if not m.coordinates then return near(after, before, (m.same or 1e-9) * math.max(1, math.abs(before))) end
  return math.abs(after - before) > 1e-3, "a rotation of one side leaves it unchanged"
end

function questions.independent(m, t)
  local value, record = compare(m[1], t.x, t.other, m.opts, m.matrices)
  if m.matrices == 1 then return value == value, "undefined" end
  local mean, sd = calibrate.moments((c.null(m[1], t.x, t.other, m.opts, {draws = DRAWS})))
  if not (math.abs(value - mean) <= 5 * sd + 1e-9) then return false, ("%.4g, null %.4g +- %.2g"):format(value, mean, sd) end
  local exact = record.chance and record.chance_source:find "^exact"
  if exact and not (math.abs(record.chance - mean) <= 5 * sd / math.sqrt(DRAWS) + 1e-9) then
    return false, ("chance %.4g, null %.4g +- %.2g"):format(record.chance, mean, sd)
  end
  return true
end

function questions.degenerate(m, t)
  local value, record = compare(m[1], t.x, m.degenerate == "NOT_COMPARABLE" and t.narrow or t.zeros, m.opts, m.matrices)
  if m.degenerate == "zero" then return value == 0, ("%g, expected 0"):format(value) end
  if value == value then return false, ("the number %g, expected %s"):format(value, m.degenerate) end
  return record.status == m.degenerate or m.degenerate == "any", ("%s, expected %s"):format(record.status, m.degenerate)
end

-- Measures that do not take plain matrices: their questions as functions that return true, or false and what was found.
local function token_measures(add)
  local _, _, t, v = fixture.inputs()
  local tp = c.max_sim(t, v)
  local _, record
  add("max_sim", "known", near(tp, 0.647960628459, 1e-9))
  add("max_sim", "identical", near(c.max_sim(t, t), 1, 1e-12))
  _, _, record = c.max_sim(t, v:narrow(3, 1, 3))
  add("max_sim", "degenerate", record.status == "NOT_COMPARABLE", record.status)
  local p = tensor {{{{0.5, 0.25, 0.25, 0}, {0.25, 0.25, 0.25, 0.25}}}}
  add("attention_entropy", "known", near(c.attention_entropy(p), (1.0397207708399 / math.log(4) + 1) / 2, 1e-12))
  _, record = c.attention_entropy(tensor {{{{1}}}})
  add("attention_entropy", "degenerate", record.status ~= "OK", record.status)
end

local function probe(add, t)
  local labels, one, mixed, rows = {}, {}, {}, t.x_rows
  for i, row in ipairs(rows) do
    labels[i], one[i], mixed[i] = row[1] > 0 and 1 or 0, 0, t.other_rows[i][2] > 0 and 1 or 0
  end
  local separable = {}
  for i = 1, #rows do separable[i] = {10 * labels[i] + 0.1 * rows[i][1], rows[i][2]} end
  add("linear_probe", "identical", near(c.linear_probe(tensor(separable), labels), 1, 1e-12))
  local accuracy = c.linear_probe(t.x, mixed)
  add("linear_probe", "independent", accuracy < 0.95, ("accuracy %g of labels that have nothing to do with X"):format(accuracy))
  local _, record = c.linear_probe(t.x, one)
  add("linear_probe", "degenerate", record.status == "ONE_CLASS", record.status)
end

local order = {"known", "identical", "rotated", "independent", "degenerate"}

local Result = {}
Result.__index = Result

function Result:__tostring()
  local lines = {("%-20s %-9s %-9s %-9s %-11s %s"):format("measure", table.unpack(order))}
  for _, row in ipairs(self.rows) do
    local cells = {}
    for i, q in ipairs(order) do cells[i] = row[q] == nil and "-" or row[q] == true and "ok" or "FAIL" end
    lines[#lines + 1] = ("%-20s %-9s %-9s %-9s %-11s %s"):format(row.measure, table.unpack(cells))
    for _, q in ipairs(order) do
      if type(row[q]) == "string" then lines[#lines + 1] = ("  %s: %s"):format(q, row[q]) end
    end
  end
  lines[#lines + 1] = ("%d measures, %d failed, %.2f s"):format(#self.rows, self.failed, self.seconds)
  return table.concat(lines, "\n")
end

-- true, or false and the reason. Unknown names raise.
function Result:passed(name)
  for _, row in ipairs(self.rows) do
    if row.measure == name then return row.reason == nil, row.reason end
  end
  error(("selftest: no measure is named '%s'"):format(tostring(name)), 2)
end

local function adder(rows)
  local by_name = {}
  return function(name, question, ok, found)
    local row = by_name[name]
    if not row then
      row = {measure = name}
      by_name[name], rows[#rows + 1] = row, row
    end
    row[question] = ok and true or tostring(found)
    if not ok then row.reason = ("%s: %s"):format(question, tostring(found)) end
  end
end

-- only: the one measure that is asked; nil: all.
local function run(only)
  local x, other = normal_rows(N, D, 1), normal_rows(N, D, 2)
  local fx, fy = fixture.inputs()
  local t = {fixture_x = fx, fixture_y = fy, fixture_y6 = fy:narrow(2, 1, 6), x_rows = x, other_rows = other}
  for name, m in pairs {x = tensor(x), turned = tensor(rotated(x)), other = tensor(other), narrow = tensor(normal_rows(N, D - 1, 3)), zeros = vbl.zeros(N, D)} do
    t[name] = c.prepare(m, name)
  end
  local result = setmetatable({rows = {}, failed = 0}, Result)
  local add = adder(result.rows)
  for _, m in ipairs(with_plugins()) do
    m.opts = m[4] or {}
    m.matrices = c.traits(m[1], t.x, m.opts).matrices
    for _, question in ipairs((only or m[1]) == m[1] and order or {}) do
      local called, ok, found = pcall(questions[question], m, t)
      if not called and tostring(ok):find("interrupted", 1, true) then error(ok, 0) end
      if not called or ok ~= nil then add(m[1], question, called and ok, called and found or ok) end
    end
  end
  if not only or only == "max_sim" or only == "attention_entropy" then token_measures(add) end
  if not only or only == "linear_probe" then probe(add, {x = tensor(x), x_rows = x, other_rows = other}) end
  for _, name in ipairs {"x", "turned", "other", "narrow", "zeros"} do t[name]:release() end
  for _, row in ipairs(result.rows) do result.failed = result.failed + (row.reason and 1 or 0) end
  return result
end

local selftest = {}
local alone = {}  -- measure -> the result that has its row

-- Prints the table unless quiet; the object has rows, failed, seconds and :passed(name).
function selftest.run(opts)
  local system = require "vbl.system.c"
  local began = system.monotonic()
  local result = run()
  result.seconds = system.monotonic() - began
  for _, row in ipairs(result.rows) do alone[row.measure] = result end
  if not (opts and opts.quiet) then print(result) end
  return result
end

-- Asks this measure only, so that who shows a few does not wait for all.
function selftest.passed(name)
  alone[name] = alone[name] or run(name)
  return alone[name]:passed(name)
end

return selftest

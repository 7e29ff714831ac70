-- Tables from stored predictions: against scikit-learn, SciPy and statsmodels (tests/golden/tables.json), under the null, and what is refused.
local check = require "check"
local by_config = require "vbl.report.by_config"
local c = require "vbl.store.c"
local resample = require "vbl.report.resample"
local scores = require "vbl.report.scores"
local student = require "vbl.report.student"
local task_names = require "vbl.report.task_names"
local vbl = require "vbl"
local m = vbl.metrics

local golden = vbl.load "tests/golden/tables.json"
local files = require("run_files").new()

local function values_of(list)
  if list == c.null then return nil end
  return type(list[1]) == "table" and vbl.tensor(list, {dtype = "f64"}) or list
end

check.group("weighted scores", function()
  for _, case in ipairs(golden.weighted) do
    local set = m.weighted(case.kind, values_of(case.a), values_of(case.b), case.classes ~= c.null and case.classes or nil)
    local value = set:value(case.weights)
    if case.value == c.null then check.ok(value ~= value, case.kind) else check.near(value, case.value, 1e-12) end
  end
  local set = m.weighted("mean", {1, 2})
  check.error(function() set:value {1} end, "1 of 2 samples")
  check.error(function() set:value {1, 0.5} end, "element 2 is 0.5")
  check.error(function() m.weighted("f1", {1}, {1}) end, "f1")
  check.error(function() m.weighted("auroc", {1, 0 / 0}, {0, 1}) end, "scores: element 2 is NaN")
  check.error(function() m.bootstrap({set, m.weighted("mean", {1})}, 100, 0) end, "set 2 has 1 samples, the first 2")
  check.error(function() m.bootstrap({}, 100, 0) end, "at least one set")
  check.error(function() m.exchange({m.weighted("mean", {1})}, 100, 0) end, "those of two models")
end)

-- A share p of B draws has the deviation sqrt(p (1 - p) / B).
check.group("exact permutation tests", function()
  local B = 20000
  for _, case in ipairs(golden.exchange) do
    local joined = table.move(case.b, 1, #case.b, #case.a + 1, {table.unpack(case.a)})
    local observed = resample.moments(case.a) - resample.moments(case.b)
    local p = resample.exchange_p(m.exchange({m.weighted("mean", joined)}, B, 3), observed)
    check.near(p, case.p, 5 * math.sqrt(case.p * (1 - case.p) / B) + 1 / B)
  end
end)

-- A 2.5 % quantile of B normal draws has the deviation sqrt(0.025 * 0.975 / B) / 0.0584 of theirs: 0.019 for B = 20,000; two are compared.
check.group("bootstrap intervals", function()
  for _, case in ipairs(golden.bootstrap) do
    local draws = m.bootstrap({m.weighted(case.kind, case.a, values_of(case.b))}, 20000, 5)[1]
    local low, high = resample.interval(draws, 0.05)
    check.near(low, case.low, 5 * 0.027 * case.error)
    check.near(high, case.high, 5 * 0.027 * case.error)
  end
  local draws = {}
  for i = 1, 101 do draws[i] = 101 - i end
  local low, high = resample.interval(draws, 0.05)
  check.near(low, 2.5, 1e-12)
  check.near(high, 97.5, 1e-12)
  for i = 1, 6 do draws[i] = 0 / 0 end
  check.equal(resample.interval(draws, 0.05), nil)
end)

check.group("Holm, moments, p of draws", function()
  for _, case in ipairs(golden.holm) do
    for i, p in ipairs(resample.holm(case.p)) do check.near(p, case.adjusted[i], 1e-12) end
  end
  for _, case in ipairs(golden.moments) do
    local mean, sd = resample.moments(case.values)
    check.near(mean, case.mean, 1e-15)
    check.near(sd, case.sd, 1e-15)
  end
  check.equal(select(2, resample.moments {1}), nil)
  check.near(resample.bootstrap_p {1, 2, 3, -1}, 2 * 2 / 5, 1e-15)
  check.equal(resample.bootstrap_p {0, 0}, 1)
  check.equal(resample.exchange_p({1, -2, 0.5}, 1), 3 / 4)
end)

-- The table in Abramowitz and Stegun has three digits; these are the closed forms of 1 and 2 degrees, and R's qt for others, all of whose digits count.
check.group("Student's t", function()
  for _, p in ipairs {0.6, 0.9, 0.975, 0.99975} do
    local a = 2 * p - 1
    check.near(student.quantile(p, 1) / math.tan(math.pi * a / 2), 1, 1e-9)
    check.near(student.quantile(p, 2) / (a * math.sqrt(2 / (1 - a * a))), 1, 1e-9)
  end
  for df, q in pairs {[3] = 3.182446305, [4] = 2.776445105, [5] = 2.570581836, [9] = 2.262157163, [10] = 2.228138852, [30] = 2.042272456} do
    check.near(student.quantile(0.975, df), q, 1e-9)
    check.near(student.quantile(0.025, df), -q, 1e-9)
    check.near(student.within(q, df), 0.95, 1e-9)
  end
end)

-- Two groups of n runs of one kind, whose seeds alone differ: p < 0.05 comes up in at most 5 % of the pairs, and the 95 % interval of a group has the
-- true mean in it in 95 %. Over 600 pairs a Binomial(600, 0.05) number is above 54 with a chance of 2e-5, and a Binomial(600, 0.95) number below 546
-- or above 591 with 2e-5 and 1e-5 (the t interval is exact: both sides count).
check.group("few runs: the size of the test, the coverage of the interval", function()
  local REPEATS, DRAWS, at = 600, 400, 0
  local function normal()
    at = at + 2
    local u, v = vbl.data.uniform(11, "measure", at), vbl.data.uniform(11, "measure", at + 1)
    return math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v)
  end
  local function group(n, row, seed, deviation)
    local values, runs = {}, {}
    for k = 1, n do
      values[k], runs[k] = deviation * normal(), {}
      for b = 1, DRAWS do runs[k][b] = values[k] end
    end
    return resample.group_draws(runs, row, {draws = DRAWS, seed = seed}, values)
  end
  for _, case in ipairs {{2, 2, 1}, {3, 3, 1}, {5, 5, 1}, {2, 5, 4}} do
    local found, covered = 0, 0
    for seed = 1, REPEATS do
      local a, b, differences = group(case[1], 1, seed, case[3]), group(case[2], 2, seed, 1), {}
      for k, v in ipairs(a) do differences[k] = v - b[k] end
      found = found + (resample.bootstrap_p(differences) < 0.05 and 1 or 0)
      local low, high = resample.interval(a, 0.05)
      covered = covered + (low <= 0 and 0 <= high and 1 or 0)
    end
    check.ok(found <= 54, ("%d and %d runs: %d of %d with p < 0.05"):format(case[1], case[2], found, REPEATS))
    check.ok(covered >= 546 and covered <= 591, ("%d runs: %d of %d intervals have the mean"):format(case[1], covered, REPEATS))
  end
end)

-- ---- tables of fixture runs

local function noise(i, seed) return (math.sin(i * 12.9898 + seed * 78.233) * 43758.5453) % 1 end

-- 200 samples whose scores tell the label the better, the greater `skill`.
local function binary(skill, seed, n)
  local rows = {{task = "hm", split = "test", kind = "binary", classes = {"no", "yes"}, thresholds = {0.6}, checkpoint = {epoch = 1}}}
  for i = 1, n or 200 do rows[i + 1] = {id = "s" .. i, label = i % 2, scores = {noise(i, seed) * 0.7 + (i % 2) * skill}} end
  return rows
end

local function run(name, parts)
  parts.manifest = parts.manifest or {kind = "finetune", task = parts.task or "hm"}
  parts.result = parts.result or {status = "finished", values = parts.values}
  parts.config = {seed = parts.seed or 0, model = {placement = parts.placement}}
  return files:make(name, parts)
end

for seed = 0, 2 do
  run("none" .. seed, {seed = seed, placement = "none", predictions = {test = binary(0.05, seed)}, values = {["test.loss"] = 0.7 - seed / 100}})
  run("late" .. seed, {seed = seed, placement = "late", predictions = {test = binary(0.4, seed)}, values = {["test.loss"] = 0.3}})
end

local function list(where) return vbl.runs.list {out = files.path, where = where} end
local function groups() return vbl.runs.group(list {task = "hm", ["config.model.placement"] = {"none", "late"}}, "config.model.placement") end
local function by_name(a, b) return a.name > b.name end  -- none before late
local function two_groups()
  local g = groups()
  table.sort(g, by_name)
  return g
end

check.group("a table", function()
  local t = vbl.report.table(two_groups(), {metrics = {"auroc", "accuracy", "accuracy_tuned", "loss"}})
  local none, late = t.rows[1].cells, t.rows[2].cells
  local labels, probability, right, tuned = {}, {}, 0, 0
  for i, row in ipairs(binary(0.4, 1)) do
    if i > 1 then
      labels[i - 1], probability[i - 1] = row.label, row.scores[1]
      right = right + ((row.scores[1] > 0.5) == (row.label == 1) and 1 or 0)
      tuned = tuned + ((row.scores[1] > 0.6) == (row.label == 1) and 1 or 0)
    end
  end
  check.near(late[1].values[2], (m.auroc(probability, labels)), 1e-15)
  check.near(late[2].values[2], right / 200, 1e-15)
  check.near(late[3].values[2], tuned / 200, 1e-15)
  check.near(late[1].mean, (late[1].values[1] + late[1].values[2] + late[1].values[3]) / 3, 1e-15)
  check.ok(late[1].low < late[1].mean and late[1].mean < late[1].high and late[1].best and not none[1].best)
  check.ok(late[1].p_holm < 0.05 and none[1].p == nil)  -- three seeds a row: 13 standard errors apart are p = 0.006 by t with 2 degrees
  local adjusted = resample.holm {late[1].p, late[2].p, late[3].p}
  for i = 1, 3 do check.equal(late[i].p_holm, adjusted[i]) end
  check.ok(late[4].best and late[4].mean == 0.3 and late[4].low == nil and late[4].p == nil and t.columns[4].lower)
  local text = tostring(t)
  for _, part in ipairs {"| none |", "**0.3", "(3) [", "\\*\\*", "Holm's correction over 3 tests", "differs from 'none'", "hm, test split", "2000 bootstrap draws of the samples (200)",
                         "Without interval"} do
    check.ok(text:find(part, 1, true), part .. " is not in\n" .. text)
  end
  check.equal(tostring(vbl.report.table(two_groups(), {metrics = {"auroc", "accuracy", "accuracy_tuned", "loss"}})), text)  -- the same every time
  local other = vbl.report.table(two_groups(), {seed = 1})
  check.ok(other.rows[2].cells[1].low ~= late[1].low and math.abs(other.rows[2].cells[1].low - late[1].low) < 0.02)
end)

check.group("stored predictions are ranked by their logits, beside a file without them by the scores of both", function()
  local function rows(with_logits)
    local list = {{task = "sure", split = "test", kind = "binary", classes = {"no", "yes"}, checkpoint = {epoch = 1}}}
    for i = 1, 40 do list[i + 1] = {id = "s" .. i, label = i % 2, scores = 1, logits = with_logits and 20 + i % 2 or nil} end
    return list
  end
  local with, without = {}, {}
  for seed = 1, 2 do
    with[seed] = run("sure-a" .. seed, {seed = seed, task = "sure", predictions = {test = rows(true)}})
    without[seed] = run("sure-b" .. seed, {seed = seed, task = "sure", predictions = {test = rows(false)}})
  end
  local opened = vbl.runs.list {out = files.path, where = {task = "sure"}}
  local p, q
  for _, record in ipairs(opened) do
    if record.path:find "sure%-a1" then p = scores.read(record, "test") elseif record.path:find "sure%-b1" then q = scores.read(record, "test") end
  end
  check.equal((scores.set(p, "auroc"):value()), 1.0)
  check.equal((scores.set(q, "auroc"):value()), 0.5)
  check.equal((scores.joined(p, q, "auroc"):value()), 0.5)
end)

-- Runs of the built-in scenes of their own seeds: the samples' noise is in the spread of the runs, and rows pair by seed.
check.group("runs with samples of their own: t intervals, paired", function()
  local function make(name, seed, skill)
    return files:make(name, {config = {seed = seed, data = "scenes"}, manifest = {kind = "pretrain", task = "own"}, result = {status = "finished"}, predictions = {test = binary(skill, seed, 60)}})
  end
  local a, b = {}, {}
  for seed = 1, 3 do a[seed], b[seed] = make("own-a" .. seed, seed, 0.1), make("own-b" .. seed, seed, 0.15 + seed / 100) end
  local t = vbl.report.table({{name = "a", runs = a}, {name = "b", runs = b}}, {metrics = {"auroc"}})
  local one, other, d = t.rows[1].cells[1], t.rows[2].cells[1], {}
  for k = 1, 3 do d[k] = other.values[k] - one.values[k] end
  local half, mean, sd = 4.302652730 * one.sd / math.sqrt(3), resample.moments(d)
  -- Of 2,000 midpoints the two beside a quantile are 1 / 2,000 apart; the density of t with 2 degrees at its 97.5 % is 0.0108: 0.047 of its 4.3.
  check.near(one.low, one.mean - half, half * 0.047 / 4.3)
  check.near(one.high, one.mean + half, half * 0.047 / 4.3)
  check.near(other.p, 1 - student.within(mean / (sd / math.sqrt(3)), 2), 2 / 2000)
  for k = 1, 3 do
    c.remove(a[k])
    c.remove(b[k])
  end
end)

check.group("an interval ends where its metric does", function()
  local paths = {}
  for seed, skill in ipairs {0.02, 0.5} do
    paths[seed] = files:make("ends" .. seed, {config = {seed = seed}, manifest = {kind = "finetune", task = "ends"}, result = {status = "finished"}, predictions = {test = binary(skill, seed, 60)}})
  end
  local cell = vbl.report.table({{name = "a", runs = paths}}, {metrics = {"auroc"}}).rows[1].cells[1]
  check.ok(cell.mean - 12.7 * cell.sd / math.sqrt(2) < 0 and cell.low == 0 and cell.high == 1, ("%g %g"):format(cell.low, cell.high))
  for _, path in ipairs(paths) do c.remove(path) end
end)

check.group("permutation", function()
  local t = vbl.report.table(two_groups(), {test = "permutation", baseline = "late", interval = false})
  check.ok(t.rows[1].cells[1].p_holm < 0.01 and t.rows[2].cells[1].p == nil)
  check.ok(tostring(t):find "paired permutation" and tostring(t):find "differs from 'late'" and not tostring(t):find "%[")
  check.equal(vbl.report.table(two_groups(), {baseline = false}).comparisons, 0)
end)

-- Two groups that differ by noise alone are rarely told apart: over 60 pairs p < 0.05 comes up a Binomial(60, 0.05) number of times, more
-- than 9 with a chance of 6e-4. (A bootstrap of two runs is no exact test; samples and one run are.)
check.group("under the null", function()
  for _, test in ipairs {"bootstrap", "permutation"} do
    local low = 0
    for k = 1, 60 do
      local a = run("null-a", {predictions = {test = binary(0.2, 100 + k, 60)}})
      local b = run("null-b", {predictions = {test = binary(0.2, 500 + k, 60)}})
      local t = vbl.report.table({{name = "a", runs = {a}}, {name = "b", runs = {b}}}, {metrics = {"auroc"}, test = test, draws = 400})
      low = low + (t.rows[2].cells[1].p < 0.05 and 1 or 0)
    end
    check.ok(low <= 9, test .. ": " .. low)
  end
  local same = run("null-b", {predictions = {test = binary(0.2, 101, 60)}})
  local t = vbl.report.table {{name = "a", runs = {run("null-a", {predictions = {test = binary(0.2, 101, 60)}})}}, {name = "b", runs = {same}}}
  check.equal(t.rows[2].cells[1].p, 1)
  check.ok(t.rows[1].cells[1].best and t.rows[2].cells[1].best)
end)

check.group("a row of unlike runs says so", function()
  local function make(name, seed, lr, epochs)
    files:make(name, {config = {seed = seed, lr = lr, epochs = epochs, log_every = seed, model = {placement = "late"}}, manifest = {kind = "finetune", task = "unlike"},
                      result = {status = "finished"}, predictions = {test = binary(0.4, seed)}})
    return files.path .. "/" .. name
  end
  local a, b, other = make("unlike-a", 1, 1e-3, 3), make("unlike-b", 2, 1e-3, 3), make("unlike-c", 3, 1e-4, 9)
  check.equal(tostring(vbl.report.table {{name = "late", runs = {a, b}}}):find("differ in more", 1, true), nil)
  local text = tostring(vbl.report.table(vbl.runs.group(list {task = "unlike"}, "config.model.placement")))
  check.ok(text:find("Note: the runs of 'late' differ in more than their seeds: epochs, lr.", 1, true), text)
  for _, path in ipairs {a, b, other} do c.remove(path) end
end)

check.group("controls and levels of chance have no better side", function()
  local function make(name, x)
    return files:make(name, {config = {seed = 0}, manifest = {kind = "pretrain"}, result = {status = "finished", values = {["test.loss.mlm"] = x, ["test.loss.mlm_shuffled"] = x, ["test.chance.contrastive"] = x, ["test.candidates.mim"] = x}}})
  end
  local a, b = make("side-a", 2), make("side-b", 3)
  local text = vbl.report.table({{name = "a", runs = {a}}, {name = "b", runs = {b}}}, {metrics = {"loss.mlm", "loss.mlm_shuffled", "chance.contrastive", "candidates.mim"}}):markdown():gsub(" +", " ")
  check.ok(text:find("| | loss.mlm ↓ | loss.mlm_shuffled | chance.contrastive | candidates.mim |", 1, true), text)
  check.ok(text:find("| a | **2.000** (1) | 2.000 (1) | 2.000 (1) | 2.000 (1) |", 1, true) and text:find("| b | 3.000 (1) | 3.000 (1) | 3.000 (1) | 3.000 (1) |", 1, true), text)
  c.remove(a)
  c.remove(b)
end)

-- Written as text and figures, as a study writes it.
check.group("a comparison without measured runs, without measures, without finished runs", function()
  local late = {name = "late", runs = {files.path .. "/late0"}}
  local function saved(groups, measures)
    local made = vbl.report.comparison(groups, {measures = measures, draws = 100})
    made:save(files.path .. "/saved")
    c.remove(files.path .. "/saved.md")
    return made, tostring(made)
  end
  local made, text = saved({late}, {"cka", "mknn"})
  check.equal(made.sheet, nil)
  check.ok(text:find("Note: no run has measured its alignment", 1, true), text)
  made, text = saved({late}, {})
  check.ok(made.sheet == nil and not text:find("measured", 1, true), text)
  run("hopeless", {result = {status = "failed", message = "out of memory"}})
  made, text = saved({{name = "a", runs = {files.path .. "/hopeless"}}}, {"cka"})
  check.ok(#made.figures == 0 and text:find("a: hopeless (failed: out of memory)", 1, true), text)
  c.remove(files.path .. "/hopeless")
end)

check.group("pretraining runs: those that did not finish are listed below the table", function()
  local records = {}
  for i, status in ipairs {"finished", "finished", "failed", "unfinished"} do
    local finished = status == "finished"
    records[i] = vbl.runs.open(files:make("pre-" .. status .. i, {config = {seed = i, lr = finished and i or 1}, manifest = {kind = "pretrain"},
                                          result = status ~= "unfinished" and {status = status, values = finished and {["test.loss.mlm"] = i, ["test.loss.ap"] = i} or nil} or nil}))
  end
  local made = vbl.report.comparison.of(records)
  check.equal(made.why, nil)
  local text = tostring(made)
  for _, part in ipairs {"| loss.ap ↓", "| loss.mlm ↓", "1: pre-failed3 (failed)", "1: pre-unfinished4 (unfinished)"} do check.ok(text:find(part, 1, true), part .. " is not in\n" .. text) end
  for _, record in ipairs(records) do c.remove(record.path) end
end)

check.group("groups by config have names of their own", function()
  local records = {}
  for i = 1, 2 do
    local path = files:make(("2025-09-03-21040%d-pretrain_all"):format(i), {config = {seed = i, lr = i, epochs = i, batch = i, clip = i, warmup = i / 10}, manifest = {kind = "pretrain"}, result = {status = "finished", values = {["test.loss.mlm"] = i}}})
    records[i] = vbl.runs.open(path)
  end
  local made = vbl.report.comparison.of(records)
  check.equal(made.why, nil)
  check.equal(made.groups[1].name .. "; " .. made.groups[2].name, ("pretrain_all %s; pretrain_all %s"):format(records[1].id, records[2].id))
  for _, record in ipairs(records) do c.remove(record.path) end
end)

check.group("runs that do not count", function()
  run("failed", {placement = "late", seed = 7, result = {status = "failed", message = "out of memory"}})
  run("killed", {placement = "late", seed = 8, result = {}})
  run("invalid", {placement = "late", seed = 9, predictions = {test = binary(0.4, 9)}, notes = {tags = {"invalid"}, note = ""}})
  run("unscored", {placement = "none", seed = 6})
  files:write("damaged/config.lua", "return {model = {placement = 'late'}, seed = 4}")
  files:write("damaged/manifest.json", "{")
  local g = two_groups()
  table.insert(g[2].runs, list({status = "damaged"})[1])
  table.insert(g[1].runs, g[1].runs[1])
  local t = vbl.report.table(g)
  check.equal(t.rows[2].cells[1].n, 3)
  check.equal(t.rows[1].cells[1].n, 4)
  check.ok(t.rows[2].cells[1].fewer)
  local text = tostring(t)
  for _, part in ipairs {"- late: failed (failed: out of memory)", "- late: killed (unfinished)", "- late: invalid (invalid)", "- none: unscored (has no predictions of test)",
                         "- late: damaged (damaged: ", "(3!)", "fewer runs", "none counts hm, seed 0 twice: none0 and none0"} do
    check.ok(text:find(part, 1, true), part .. " is not in\n" .. text)
  end
  check.ok(t:latex():find("% not in the table: late: invalid", 1, true))
  check.ok(t:csv():find("late,,,test,,,,,,,,,,invalid,,,,invalid\n", 1, true))
  for _, name in ipairs {"failed", "killed", "invalid", "unscored", "damaged"} do c.remove(files.path .. "/" .. name) end
end)

check.group("only equal samples compare", function()
  local function pair(change)
    local rows = binary(0.4, 0, 20)
    change(rows)
    return function() vbl.report.table {{name = "a", runs = {run("x1", {predictions = {test = binary(0.4, 0, 20)}})}}, {name = "b", runs = {run("x2", {predictions = {test = rows}})}}} end
  end
  check.error(pair(function(rows) rows[5].id = "other" end), "not scored on the same samples", "sample 4 is 's4' in", "and 'other' in")
  check.error(pair(function(rows) rows[21] = nil end), "sample 20 is 's20' in", "'missing'")
  check.error(pair(function(rows) rows[3].label = 1 end), "the label of 's2' is 0 in", "and 1 in")
  check.error(pair(function(rows) rows[1].kind = "multiclass" end), "kind multiclass, but binary")
  check.error(pair(function(rows) rows[1].kind = "other" end), "kind 'other' is none")
  check.error(pair(function(rows) rows[4].scores = {"x"} end), "x2/predictions/test.jsonl:4.scores: expected numbers")
  check.error(pair(function(rows) rows[4].scores = {} end), "x2/predictions/test.jsonl: not predictions of kind binary")
  c.remove(files.path .. "/x1")
  c.remove(files.path .. "/x2")
end)

-- The built-in data of another seed of theirs are other samples; of the same seed they have to be the same.
check.group("samples of the seed", function()
  local function make(name, seed, change)
    local rows = binary(0.3, seed, 40)
    for i = 2, #rows do rows[i].label = (i + seed) % 2 end
    if change then rows[9].label = 1 - rows[9].label end
    files:make(name, {config = {seed = seed, data = "scenes", scenes = {seed = seed}}, manifest = {kind = "finetune", task = "t"}, result = {status = "finished"}, predictions = {test = rows}})
    return files.path .. "/" .. name
  end
  local a, b = {make("a0", 0), make("a1", 1)}, {make("b0", 0), make("b1", 1)}
  local g = {{name = "a", runs = a}, {name = "b", runs = b}}
  local text = tostring(vbl.report.table(g))
  check.ok(text:find("draws of the samples (40 of each seed)", 1, true), text)
  check.equal(vbl.report.table(g).rows[2].cells[1].p, 1)  -- b is a: the same draws for both
  check.equal(vbl.report.table(g, {test = "permutation"}).rows[2].cells[1].p, 1)
  make("b1", 1, true)
  check.error(function() vbl.report.table(g) end, "the label of 's8' is")
end)

-- Fine-tuning scores the runs of every seed on the same scenes: one bootstrap of the samples for all of them.
check.group("built-in data that all seeds share; a task of two data sets", function()
  local function make(name, seed, data)
    return files:make(name, {config = {seed = seed, data = data}, manifest = {kind = "finetune", task = "t", data = data}, result = {status = "finished"},
                             predictions = {test = binary(0.3, seed, data == "/sets/b" and 50 or 40)}})
  end
  local a, b = {make("c0", 0, "scenes"), make("c1", 1, "scenes")}, {make("d0", 0, "scenes"), make("d1", 1, "scenes")}
  local text = tostring(vbl.report.table {{name = "a", runs = a}, {name = "b", runs = b}})
  check.ok(text:find("draws of the samples (40)", 1, true), text)
  a, b = {make("e0", 0, "/sets/a"), make("e1", 0, "/sets/b")}, {make("f0", 0, "/sets/a/"), make("f1", 0, "/sets/b")}
  local t = vbl.report.table({{name = "a", runs = a}, {name = "b", runs = b}}, {metrics = {"auroc"}})
  check.equal(#t.columns, 2)
  check.ok(t:csv():find("t (a),auroc", 1, true) and t:markdown():find("t (b): auroc", 1, true) and t:markdown():find("(t (a) 40, t (b) 50)", 1, true), t:markdown())
  check.equal(t.rows[1].cells[1].n, 1)
end)

-- Sets whose paths end alike are columns of their own; a set that was moved is one, a set that was changed is two.
check.group("data sets are told by their hash and path", function()
  local function make(name, data, hash)
    return vbl.runs.open(files:make(name, {config = {seed = 0, data = data}, manifest = {kind = "finetune", task = "t", data = data, data_hash = hash}, result = {status = "finished"}}))
  end
  local a, b, moved = make("ha", "captions:/setA/captions.tsv", "fnv1a64:0011223344556677"), make("hb", "captions:/setB/captions.tsv", "fnv1a64:8899aabbccddeeff"), nil
  local function names(...)
    local of, list = task_names {{name = "g", runs = {...}}}, {}
    for i, record in ipairs {...} do list[i] = of(record) end
    return table.concat(list, "; ")
  end
  check.equal(names(a, b), "t (captions:/setA/captions.tsv); t (captions:/setB/captions.tsv)")
  moved = make("hm", "captions:/elsewhere/captions.tsv", "fnv1a64:0011223344556677")
  check.equal(names(a, moved), "t; t")
  check.equal(names(a, make("hc", "captions:/setA/captions.tsv", "fnv1a64:ffeeddccbbaa9988")), "t (captions:/setA/captions.tsv 00112233); t (captions:/setA/captions.tsv ffeeddcc)")
  check.equal(names(a, make("hf", "captions:/setA/films.tsv", "fnv1a64:1")), "t (captions.tsv); t (films.tsv)")
  check.equal(names(make("hs", "scenes", "fnv1a64:1"), make("ht", "scenes", "fnv1a64:2")), "t; t")
  local few, many = run("few", {manifest = {kind = "pretrain"}}), run("many", {manifest = {kind = "pretrain"}})
  files:write("few/config.lua", "return {seed = 0, test_samples = 64}")
  files:write("many/config.lua", "return {seed = 1, test_samples = 1024}")
  local grouped = by_config {vbl.runs.open(few), vbl.runs.open(many)}
  check.equal(#grouped .. grouped[1].name .. grouped[2].name, "2641024")
  for _, name in ipairs {"ha", "hb", "hm", "hc", "hf", "hs", "ht", "few", "many"} do c.remove(files.path .. "/" .. name) end
end)

-- Each kind of predictions against vbl.metrics on the whole.
check.group("kinds", function()
  local n, C = 60, 3
  local function predictions(kind, row)
    local rows = {{task = kind, split = "dev", kind = kind, classes = {"a", "b", "c"}, thresholds = kind == "multilabel" and {0.2, 0.5, 0.7} or c.null, checkpoint = {epoch = 1}}}
    for i = 1, n do rows[i + 1] = row(i) end
    rows[n + 2] = kind ~= "retrieval" and {id = "unknown", label = c.null, scores = {0, 0, 0}} or nil
    return rows
  end
  local function three(i) return {noise(i, 1), noise(i, 2), noise(i, 3)} end
  local function value(kind, rows, metric)
    local r = vbl.runs.open(run(kind, {task = kind, predictions = {dev = rows}}))
    local p = scores.read(r, "val")
    check.equal(p.n, n)
    for _, name in ipairs(scores.names(kind)) do check.ok(scores.has(p, name) == (not name:find "tuned" or kind == "multilabel"), name) end
    check.near(scores.joined(p, p, metric):value(), scores.set(p, metric):value(), 1e-12)
    return scores.set(p, metric):value()
  end
  local function best(s) return s[1] >= s[2] and s[1] >= s[3] and 0 or s[2] >= s[3] and 1 or 2 end
  local chosen, truth, said, is, credit, ranks = {}, {}, {}, {}, 0, {}
  for i = 1, n do
    local s = three(i)
    chosen[i], truth[i] = best(s), i % C
    said[i], is[i] = {s[1] > 0.2 and 1 or 0, s[2] > 0.5 and 1 or 0, s[3] > 0.7 and 1 or 0}, {i % 2, i % 3 == 0 and 1 or 0, i % 7 == 0 and 1 or 0}
    credit, ranks[i] = credit + (best(s) == 1 and 0.3 or best(s) == 0 and 1 or 0), 1 + i % 12
  end
  local function labels_of(i)
    local list = {}
    for k = 1, C do
      if is[i][k] == 1 then list[#list + 1] = k - 1 end
    end
    return #list > 0 and list or c.json_decode("[]", {where = "labels"})
  end
  local classes = predictions("multiclass", function(i) return {id = i, label = i % C, scores = three(i)} end)
  check.near(value("multiclass", classes, "accuracy"), m.accuracy(chosen, truth), 1e-12)
  check.near(value("multiclass", classes, "f1_weighted"), select(2, m.f1(chosen, truth, {classes = C})).weighted, 1e-12)
  local top = predictions("multiclass", function(i) return {id = i, label = i % C, scores = {["0"] = three(i)[1], ["1"] = three(i)[2], ["2"] = three(i)[3]}} end)
  check.near(value("multiclass", top, "f1_macro"), (m.f1(chosen, truth, {classes = C})), 1e-12)
  local _, f1 = m.f1(vbl.tensor(said), vbl.tensor(is))
  local sets = predictions("multilabel", function(i) return {id = i, label = labels_of(i), scores = three(i)} end)
  check.near(value("multilabel", sets, "f1_macro_tuned"), f1.macro, 1e-12)
  check.near(value("multilabel", sets, "f1_samples_tuned"), f1.samples, 1e-12)
  check.ok(value("multilabel", sets, "auroc") > 0.2)
  check.near(value("soft", predictions("soft", function(i) return {id = i, label = {["0"] = 1, ["1"] = 0.3}, scores = three(i)} end), "vqa_accuracy"), credit / n, 1e-12)
  local found = predictions("retrieval", function(i) return {id = i, ranks = {t2i = ranks[i], i2t = 2}} end)
  check.near(value("retrieval", found, "r5_t2i"), 25 / 60, 1e-12)
  check.near(value("retrieval", found, "median_rank_t2i"), 6.5, 1e-12)
  check.near(value("retrieval", found, "mrr_i2t"), 0.5, 1e-12)
  -- Ties have halves; of samples that show one image the first has the image's rank.
  local tied = predictions("retrieval", function(i) return {id = i, ranks = {t2i = 1.5, i2t = i % 3 == 1 and i / 2 or nil}} end)
  check.near(value("retrieval", tied, "r1_t2i"), 0, 1e-12)
  check.near(value("retrieval", tied, "r10_i2t"), 7 / 20, 1e-12)
  check.near(value("retrieval", tied, "median_rank_i2t"), 14.75, 1e-12)
  check.ok(tostring(vbl.report.comparison {{name = "a", runs = {files.path .. "/retrieval"}}, {name = "b", runs = {files.path .. "/retrieval"}}}):find("r1_i2t", 1, true))
  run("all_images", {task = "retrieval", predictions = {dev = found}})
  check.error(function() vbl.report.table {{name = "a", runs = {files.path .. "/retrieval"}}, {name = "b", runs = {files.path .. "/all_images"}}} end,
              "sample '2' stands for its image in only one of", "score it anew")
  run("retrieval", {task = "retrieval", predictions = {dev = predictions("retrieval", function(i) return {id = i, ranks = {i2t = 1}} end)}})
  check.error(function() vbl.runs.open(files.path .. "/retrieval"):predictions "dev" end, "dev.jsonl:2: ranks.t2i is missing")
  run("retrieval", {task = "retrieval", predictions = {dev = found}})
  local t = vbl.report.table({{name = "all", runs = list(function(r) return ({multiclass = 1, multilabel = 1, soft = 1, retrieval = 1})[r.task] end)}}, {split = "val"})
  check.equal(#t.columns, 7)
  check.ok(tostring(t):find("multiclass: accuracy", 1, true) and tostring(t):find("(1): one run", 1, true), tostring(t))
end)

check.group("what is refused, and files", function()
  check.error(function() vbl.report.table(two_groups(), {metric = {"auroc"}}) end, "report.table: no option 'metric'", "metrics")
  check.error(function() vbl.report.table(two_groups(), {metrics = {"aurok"}}) end, "no run has the metric 'aurok' on test", "auroc")
  check.error(function() vbl.report.table(two_groups(), {baseline = "lat"}) end, "no group is named 'lat', did you mean 'late'")
  check.error(function() vbl.report.table(two_groups(), {test = "t"}) end, "bootstrap or permutation")
  check.error(function() vbl.report.table(two_groups(), {draws = 10}) end, "at least 100")
  check.error(function() vbl.report.table {{name = "a", runs = {}}, {name = "a", runs = {}}} end, "two groups are named 'a'")
  check.error(function() vbl.report.table {{runs = {}}} end, "group 1")
  check.error(function() vbl.report.table({{name = "a", runs = {run("bare", {manifest = {kind = "pretrain"}, values = {["test.loss.mlm"] = 2}})}}}) end, "name `metrics`")
  check.equal(vbl.report.table({{name = "a", runs = {files.path .. "/bare"}}}, {metrics = {"loss.mlm"}}).rows[1].cells[1].mean, 2)
  check.equal(#vbl.report.table({{name = "empty", runs = {}}}).columns, 0)
  local t = vbl.report.table({{name = "a_b|c & 5 %", runs = {files.path .. "/late0"}}}, {title = "T_1"})
  for _, suffix in ipairs {"md", "tex", "csv"} do t:save(files.path .. "/t." .. suffix) end
  check.ok(c.read_file(files.path .. "/t.md"):find("| a_b\\|c & 5 % |", 1, true))
  local tex = c.read_file(files.path .. "/t.tex")
  check.ok(tex:find("a\\_b|c \\& 5 \\% & 0.", 1, true) and tex:find("\\toprule", 1, true) and tex:find("\\caption{T\\_1. hm, test split; mean $\\pm$", 1, true), tex)
  local odd = vbl.report.table {{name = "two\nlines", runs = {files.path .. "/late0"}}, {name = "[x]", runs = {files.path .. "/late1"}}, {name = "*y", runs = {files.path .. "/late2"}}}
  check.ok(odd:markdown():find("| two lines | ", 1, true) and not odd:markdown():find("two\n", 1, true), odd:markdown())
  check.ok(odd:latex():find("\\\\\n{}[x] & ", 1, true) and odd:latex():find("\\\\\n{}*y & ", 1, true) and odd:latex():find("\ntwo lines & ", 1, true), odd:latex())
  local rows, header = vbl.load(files.path .. "/t.csv", {header = true})
  check.equal(header[5], "mean")
  check.near(tonumber(rows[1].mean), t.rows[1].cells[1].mean, 1e-15)
  check.error(function() t:save "t.xlsx" end, ".md, .tex or .csv")
end)

files:remove()
check.done()

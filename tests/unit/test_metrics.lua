-- vbl.metrics against scikit-learn (tests/golden/metrics.json), known values, and what is refused.
local vbl = require "vbl"
local check = require "check"
local metrics = vbl.metrics

local golden = vbl.load "tests/golden/metrics.json"

-- JSON null: scikit-learn has no value.
local function same(got, want)
  if type(want) ~= "number" then return check.ok(got ~= got, "expected NaN, got " .. tostring(got)) end
  return check.near(got, want, 1e-12)
end

check.group("ranking", function()
  for _, case in ipairs(golden.ranking) do
    same(metrics.auroc(case.scores, case.labels), case.auroc)
    same(metrics.average_precision(case.scores, case.labels), case.average_precision)
    same(metrics.auroc(vbl.tensor(case.scores, {dtype = "f64"}), vbl.tensor(case.labels, {dtype = "u8"})), case.auroc)
  end
  local v, record = metrics.auroc({1, 2}, {1, 1})
  check.ok(v ~= v and record.status == "ONE_CLASS" and record.positives == 2)
end)

check.group("classes", function()
  for _, case in ipairs(golden.classes) do
    local macro, f1 = metrics.f1(case.predicted, case.truth, {classes = case.classes})
    check.equal(macro, f1.macro)
    for name, want in pairs(case.f1) do same(f1[name], want) end
    same(metrics.accuracy(case.predicted, case.truth), case.accuracy)
  end
  local _, f1 = metrics.f1({0, 0}, {0, 2}, {classes = 4})
  check.ok(f1.no_truth == 2 and f1.undefined == 2 and #f1.per_class == 4 and f1.per_class[1].predicted == 2)
end)

check.group("label sets", function()
  for _, case in ipairs(golden.labels) do
    local _, f1 = metrics.f1(vbl.tensor(case.predicted), vbl.tensor(case.truth))
    for name, want in pairs(case.f1) do same(f1[name], want) end
    for _, name in ipairs {"micro", "macro", "samples"} do check.ok(f1[name] == f1[name]) end
    same(metrics.accuracy(vbl.tensor(case.predicted), vbl.tensor(case.truth)), case.accuracy)
  end
end)

-- Every threshold that separates the rows differently is tried by hand.
local function by_hand(scores, labels, goal)
  local best = -1
  for _, t in ipairs {-math.huge, table.unpack(scores)} do
    local hit, said, is, right = 0, 0, 0, 0
    for i, s in ipairs(scores) do
      local p = s > t
      hit, said, is = hit + (p and labels[i] == 1 and 1 or 0), said + (p and 1 or 0), is + labels[i]
      right = right + (p == (labels[i] == 1) and 1 or 0)
    end
    best = math.max(best, goal == "accuracy" and right / #scores or (said + is > 0 and 2 * hit / (said + is) or 0))
  end
  return best
end

check.group("best threshold", function()
  for _, case in ipairs(golden.ranking) do
    for _, goal in ipairs {"f1", "accuracy"} do
      local scores = case.scores
      local t, value = metrics.best_threshold(scores, case.labels, {goal = goal})
      check.near(value, by_hand(scores, case.labels, goal), 1e-15)
      local said, truth = {}, case.labels
      for i, s in ipairs(scores) do said[i] = s > t and 1 or 0 end
      local again = goal == "accuracy" and metrics.accuracy(said, truth) or select(2, metrics.f1(said, truth, {classes = 2})).per_class[2].f1
      check.near(again, value, 1e-15)
    end
  end
  check.equal(metrics.best_threshold({0.1, 0.2, 0.8, 0.9}, {0, 0, 1, 1}), 0.5)
  check.equal(metrics.best_threshold({0.1, 0.2, 0.3}, {0, 0, 1}), (0.2 / 2 + 0.3 / 2))
end)

check.group("VQA and intervals", function()
  -- 3 of 10 people agree: each of those three sees 2 others (2/3), the seven others see 3 (1).
  check.near(metrics.vqa_accuracy({3}), (3 * 2 / 3 + 7) / 10, 1e-15)
  check.near(metrics.vqa_accuracy({0, 1, 2, 4, 10}), (0 + 0.3 + 0.6 + 1 + 1) / 5, 1e-15)
  local low, high = metrics.wilson(8, 10)  -- Newcombe 1998: 0.4902, 0.9433
  check.near(low, 0.4902, 5e-5)
  check.near(high, 0.9433, 5e-5)
end)

check.group("what is refused", function()
  -- 2^61 counts are as many bytes as none, modulo 2^64.
  check.error(function() metrics.f1({0, 1}, {0, 1}, {classes = 1 << 61}) end, "2305843009213693952 classes, expected at most 1000000")
  check.error(function() require("vbl.metrics.c").weighted("f1_macro", {0, 1}, {0, 1}, 1 << 61) end, "expected at most 1000000")
  check.error(function() metrics.auroc({1, 2, 3}, {0, 1}) end, "3 x 1 against 2 x 1")
  check.error(function() metrics.auroc({1, 0 / 0}, {0, 1}) end, "scores: element 2 is NaN")
  check.error(function() metrics.auroc({1, 2}, {0, 2}) end, "labels: element 2 is 2", "0 or 1")
  check.error(function() metrics.auroc({}, {}) end, "empty")
  check.error(function() metrics.f1({0, 1.5}, {0, 1}) end, "class number")
  check.error(function() metrics.f1(vbl.zeros(2, 2, 2), vbl.zeros(2, 2, 2)) end, "expected [n] or [n, classes], got [2, 2, 2]")
  check.error(function() metrics.vqa_accuracy {11} end, "expected 0 to 10")
  check.error(function() metrics.best_threshold({1}, {1}, {gaol = "f1"}) end, "gaol", "goal")
end)

check.done()

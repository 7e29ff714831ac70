-- What a metric is without having learnt anything: the line that a curve has to leave.
--   chance.levels(run, name) -> {{value, label}, ...}; {} where none is known
--   chance.lines(runs, name) -> the same of all runs that have the metric: what is not the same in all of them has the name of its run
--   chance.last(run, name, split) -> the newest value, or nil
-- Alignment prediction: a fair coin, ln 2 nats (half of the pairs are swapped). InfoNCE over m candidates (the mean of the batches): ln m, of
-- the test's batches; those of training may hold others. MLM: the entropy of the word
-- pieces of the training captions, which a model reaches that knows frequencies alone. AUROC: 0.5. Accuracy: the share of the largest class in
-- each split that the run has both values and predictions of.
local chance = {}

local function last(run, name, split)
  for i = #run.rows, 1, -1 do
    if run.rows[i].name == name and run.rows[i].split == split then return run.rows[i].value end
  end
end

local function majority(run, name)
  local list = {}
  for _, split in ipairs {"val", "test"} do
    local p = run.predicted[split]
    if p and p.majority and last(run, name, split) then list[#list + 1] = {p.majority, ("largest class of %s, %.3f"):format(split, p.majority)} end
  end
  return list
end

local function batches(level) return {{level, ("chance of the test batches, ln %.3g"):format(math.exp(level))}} end

function chance.levels(run, name)
  if name == "loss.ap" then return {{math.log(2), "chance, ln 2"}} end
  if name == "accuracy.ap" or name == "accuracy.ap_one_attribute" then return {{0.5, "chance, 0.5"}} end
  if name:find "^auroc" then return {{0.5, "chance, 0.5"}} end
  if name == "loss.mlm" and run.unigram then return {{run.unigram, "word frequencies alone"}} end
  if name == "loss.mim" then
    local candidates = last(run, "candidates.mim", "test")
    return candidates and candidates > 1 and batches(math.log(candidates)) or {}
  end
  if name == "loss.contrastive" then
    local level = last(run, "chance.contrastive", "test")
    return level and batches(level) or {}
  end
  return name:find "^accuracy%." and majority(run, name) or {}
end

local function has(run, name)
  for _, row in ipairs(run.rows) do
    if row.name == name then return true end
  end
  return false
end

function chance.lines(runs, name)
  local lines, by_key, count = {}, {}, 0
  for _, run in ipairs(runs) do
    local levels = has(run, name) and chance.levels(run, name) or {}
    count = count + (#levels > 0 and 1 or 0)
    for _, level in ipairs(levels) do
      local key = ("%.17g %s"):format(level[1], level[2])
      if not by_key[key] then
        by_key[key] = {level[1], level[2], runs = {}}
        lines[#lines + 1] = by_key[key]
      end
      table.insert(by_key[key].runs, run.short)
    end
  end
  for i, line in ipairs(lines) do lines[i] = {line[1], #line.runs < count and ("%s: %s"):format(table.concat(line.runs, ", "), line[2]) or line[2]} end
  return lines
end

chance.last = last

return chance

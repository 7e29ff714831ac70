-- What a metric is without having learnt anything: the line that a curve has to leave.
--   chance.of(run, name) -> value, label; nil where none is known
-- Alignment prediction: a fair coin, ln 2 nats (half of the pairs are swapped). InfoNCE over m candidates (the mean of the batches): ln m, of
-- the test's batches; those of training may hold others. MLM: the entropy of the word
-- pieces of the training captions, which a model reaches that knows frequencies alone. AUROC: 0.5. Accuracy: the share of the largest class.
local chance = {}

local function last(run, name, split)
  for i = #run.rows, 1, -1 do
    if run.rows[i].name == name and run.rows[i].split == split then return run.rows[i].value end
  end
end

local function majority(run)
  for _, split in ipairs(run:splits()) do
    local p = run.predicted[split]
    if p and p.majority then return p.majority, ("largest class, %.3f"):format(p.majority) end
  end
end

function chance.of(run, name)
  if name == "loss.ap" then return math.log(2), "chance, ln 2" end
  if name == "accuracy.ap" or name == "accuracy.ap_one_attribute" then return 0.5, "chance, 0.5" end
  if name:find "^auroc" then return 0.5, "chance, 0.5" end
  if name == "loss.mlm" and run.unigram then return run.unigram, "word frequencies alone" end
  if name == "loss.mim" then
    local candidates = last(run, "candidates.mim", "test")
    if candidates and candidates > 1 then return math.log(candidates), ("chance of the test batches, ln %.0f"):format(candidates) end
  end
  if name == "loss.contrastive" then
    local level = last(run, "chance.contrastive", "test")
    if level then return level, ("chance of the test batches, ln %.3g"):format(math.exp(level)) end
  end
  if name:find "^accuracy%." then return majority(run) end
end

chance.last = last

return chance

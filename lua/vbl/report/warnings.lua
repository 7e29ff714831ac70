-- What a reader of a run's numbers must know before the numbers.
--   warnings.of(run) -> {{level = "error"|"warning"|"note", text = ...}, ...}, the gravest first
--   warnings.sort(list) -> the list of such, in that order
local chance = require "vbl.report.chance"

local last = chance.last

local warnings, checks = {}, {}

function checks.files(run, add)
  for _, problem in ipairs(run.problems) do add("error", "A file of the run cannot be read: %s", problem) end
end

function checks.status(run, add)
  local message = run.result and run.result.message
  local because = message and message ~= "" and ": " .. message or ""
  if run.status == "failed" then add("error", "This run failed%s. Its last values are those of a run that did not end.", because) end
  if run.status == "interrupted" then add("warning", "This run was interrupted; it can go on with --resume.") end
  if run.status == "unfinished" then add("error", "This run did not end: its writer is gone and left no result. Values are those of the last evaluation.") end
  if run.status == "running" then add("warning", "This run is still running: values will change.") end
  for _, tag in ipairs(run.tags) do
    if tag == "invalid" then add("error", "This run is marked invalid%s.", run.note and run.note ~= "" and ": " .. run.note or "") end
  end
end

-- ---- losses that are where those of a model are that has learnt nothing

local function check_ap(run, add)
  local ap, accuracy = last(run, "loss.ap", "test"), last(run, "accuracy.ap", "test")
  local low, high = last(run, "accuracy.ap.low", "test"), last(run, "accuracy.ap.high", "test")
  if ap and (low and low <= 0.5 and high >= 0.5 or not low and ap > math.log(2) - 0.005) then
    add("warning", "Alignment prediction is at chance: test loss %.4f (ln 2 = 0.6931), accuracy %s.", ap,
        accuracy and low and ("%.4f, interval [%.4f, %.4f] with 0.5 in it"):format(accuracy, low, high) or "not known")
  end
end

local function check_mlm(run, add)
  local first, mlm
  for _, row in ipairs(run.rows) do
    if row.name == "loss.mlm" and row.split == "test" then first, mlm = first or row, row end
  end
  if not mlm then return end
  if run.unigram and mlm.value > 0.98 * run.unigram then
    add("warning", "Masked language modelling is no better than word frequencies: test loss %.3f nats, entropy of the training word pieces %.3f.", mlm.value, run.unigram)
  elseif first.step < mlm.step and mlm.value > 0.98 * first.value then
    add("warning", "Masked language modelling has learnt nothing: test loss %.3f, before training %.3f.", mlm.value, first.value)
  end
  local shuffled = last(run, "loss.mlm_shuffled", "test")
  if mlm.step > 0 and shuffled and shuffled < 1.01 * mlm.value then
    add("note", "Masked language modelling does not use the image: test loss %.3f with the images shuffled, %.3f with their own.", shuffled, mlm.value)
  end
end

local function check_mim(run, add)
  local mim, candidates = last(run, "loss.mim", "test"), last(run, "candidates.mim", "test")
  if mim and candidates and candidates > 1 and mim > 0.98 * math.log(candidates) then
    add("warning", "Masked image modelling is at chance: test loss %.3f, ln %.0f = %.3f.", mim, candidates, math.log(candidates))
  end
end

local function check_contrastive(run, add)
  local contrastive, level = last(run, "loss.contrastive", "test"), last(run, "chance.contrastive", "test")
  if contrastive and level and level > 0 and contrastive > 0.97 * level then
    add("warning", "The contrastive term is at chance: test loss %.3f, ln of its %.3g candidates %.3f.", contrastive, math.exp(level), level)
  end
end

function checks.chance_levels(run, add)
  for _, check in ipairs {check_ap, check_mlm, check_mim, check_contrastive} do check(run, add) end
end

-- ---- everything else

function checks.predictions(run, add)
  for _, split in ipairs(run:splits()) do
    local p = run.predicted[split]
    local accuracy = p and p.majority and p.accuracy
    if accuracy then
      local low, high = require("vbl").metrics.wilson(accuracy * p.n, p.n)
      if low <= p.majority then
        add("warning", "%s accuracy %.3f [%.3f, %.3f] is no better than naming the largest class always: %.3f.", split, accuracy, low, high, p.majority)
      end
    end
  end
end

-- What was chosen on a split says too much of it.
function checks.chosen(run, add)
  local test = false
  for name in pairs(run.values) do test = test or name:find "^test%." ~= nil end
  if run.kind == "finetune" and not test and next(run.values) then
    add("note", "Scores are those of the validation split, on which the best epoch (and thresholds) were chosen: they are too good. The test split is locked until --final.")
  end
end

-- A fine-tuned run is scored on whole splits, and its manifest's pairs are those that it validates on.
local function sizes_of_splits(run, add)
  local scored = false
  for _, split in ipairs(run.kind == "finetune" and run:splits() or {}) do
    local p = run.predicted[split]
    scored = scored or p ~= nil
    if p and p.n < 100 then add("warning", "Evaluated on %d samples of %s: too few for intervals that mean anything.", p.n, split) end
  end
  if scored then return end
  local pairs_of = math.min(run.manifest.test_pairs or math.huge, run.config.test_samples or math.huge)
  if pairs_of < 100 then add("warning", "Evaluated on %d pairs: too few for intervals that mean anything.", pairs_of) end
end

function checks.sizes(run, add)
  local low, high = last(run, "accuracy.ap.low", "test"), last(run, "accuracy.ap.high", "test")
  if low and high - low > 0.1 then
    add("warning", "Too few held-out pairs for a comparison: the accuracy's 95 %% interval is %.2f wide.", high - low)
  end
  sizes_of_splits(run, add)
  local probes = math.min(run.config.probe_samples or math.huge, run.manifest.test_pairs or math.huge)
  if run.measured and probes > 0 and probes < 100 then
    add("warning", "The alignment measures rest on %d pairs; with so few their levels are mostly noise (measures over n: experiments/sensitivity.lua).", probes)
  end
end

function checks.not_finite(run, add)
  local names, order = {}, {}
  for _, row in ipairs(run.rows) do
    if row.value ~= row.value or math.abs(row.value) == math.huge then
      local name = row.name:gsub("^layer%.%d+%.", "layer measure ")
      if not names[name] then
        names[name] = {count = 0, step = row.step}
        order[#order + 1] = name
      end
      names[name].count = names[name].count + 1
    end
  end
  for _, name in ipairs(order) do
    add("warning", "%s is undefined (NaN or infinite) in %d rows, first at step %d; such values are gaps in the charts.", name, names[name].count, names[name].step)
  end
end

function checks.partners(run, add)
  if run.measured and not run.measured.mismatched then
    add("warning", "The alignment was measured on matched pairs only. After co-attention a matched pair's vectors have seen each other; what the streams share of " ..
        "themselves shows with a mismatched partner (partners={\"matched\", \"mismatched\"}).")
  end
  local ap = run.config.tasks and type(run.config.tasks) == "table" and run.config.tasks.ap
  local contrastive = type(ap) == "table" and ap.contrastive
  if type(contrastive) == "table" and contrastive.on == "fused" then
    add("warning", "The contrastive term is on fused vectors: a pair gives itself away, so its accuracy says nothing of alignment.")
  end
end

-- Whether a line of warnings.jsonl is of the best checkpoint, which a fine-tuned run's scores are of.
local function of_best(run, row)
  local best = run.kind == "finetune" and run.result and run.result.best
  return best and row.epoch == best.epoch
end

-- What the run said of its own numbers while it trained. A task at chance is a warning where the scores are of that epoch. Else it is what once
-- was, and a note; of pretraining the last evaluation is told (chance_levels).
function checks.alarms(run, add)
  local shown, count, order = {}, {}, {}
  for _, row in ipairs(run.alarm_rows) do
    local kind = row.kind
    if not shown[kind] then order[#order + 1] = kind end
    if not shown[kind] or kind == "chance" and of_best(run, row) then shown[kind] = row end
    count[kind] = (count[kind] or 0) + 1
  end
  for _, kind in ipairs(order) do
    add(kind == "chance" and not of_best(run, shown[kind]) and "note" or "warning", "While it trained: %s%s.", shown[kind].text,
        count[kind] > 1 and (" (and %d more of the kind in warnings.jsonl)"):format(count[kind] - 1) or "")
  end
end

function checks.log(run, add)
  local records, images = run.log:match "data: (%d+) bad records?, (%d+) bad images?"
  if images and tonumber(images) + tonumber(records) > 0 then
    add("warning", "The data set lost %s record%s and %s image%s that could not be read (they are listed under Data).", records, records == "1" and "" or "s",
        images, images == "1" and "" or "s")
  end
  local count, first, told = 0, nil, {}
  for _, row in ipairs(run.alarm_rows) do told[row.text] = true end
  for line in run.log:gmatch "[^\n]* %- WARNING %- ([^\n]*)" do
    if not told[line] then
      count = count + 1
      first = first or line
    end
  end
  if count > 0 then add("warning", "The log has %d warning%s, the first: %s", count, count == 1 and "" or "s", first) end
end

function checks.checkpoints(run, add)
  if not run.has_checkpoint then add("warning", "The run has no checkpoint any more: its numbers cannot be made again without training.") end
end

local order = {"files", "status", "not_finite", "chance_levels", "alarms", "predictions", "chosen", "sizes", "partners", "log", "checkpoints"}

-- The gravest first, else as they come.
local rank = {error = 1, warning = 2, note = 3}

function warnings.sort(list)
  for place, w in ipairs(list) do w.place = place end
  table.sort(list, function(a, b)
    if rank[a.level] ~= rank[b.level] then return rank[a.level] < rank[b.level] end
    return a.place < b.place
  end)
  return list
end

function warnings.of(run)
  local list = {}
  local function add(level, format, ...) list[#list + 1] = {level = level, text = format:format(...)} end
  for _, name in ipairs(order) do checks[name](run, add) end
  return warnings.sort(list)
end

return warnings

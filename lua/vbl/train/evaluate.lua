-- Test losses: one fixed corruption of the held-out pairs, drawn from the seed, the same at every epoch; the model in eval mode.
local vbl = require "vbl"
local accumulate = require "vbl.train.accumulate"
local checked = require "vbl.tasks.checked"
local dist = require "vbl.dist"
local held_out = require "vbl.train.held_out"
local mismatch = require "vbl.data.mismatch"
local own_images = require "vbl.data.own_images"

local evaluate = {}

-- Where the images of this rank's samples of n are that have moved on by `by`: one range of places or two.
local function places(n, by)
  local lo, hi = dist.share(n)
  lo, hi = lo + by, hi + by
  if lo > n then return {{lo - n, hi - n}} end
  return {{lo, math.min(hi, n)}, {1, hi - n}}
end

-- The images moved up by `by` places, the first ones to the end.
local function moved_up(images, by, n)
  if not own_images.is(images) then return mismatch.up(images, by) end
  local rows, lo, hi = {}, dist.share(n)
  for _, place in ipairs(lo <= hi and places(n, by) or {}) do
    if place[1] <= place[2] then rows[#rows + 1] = images:narrow(1, place[1], place[2] - place[1] + 1) end
  end
  return own_images.new(#rows > 0 and vbl.cat(rows, 1) or images.rows:narrow(1, 1, 0), {{lo, hi}})
end

-- The work with its images moved on, so that every caption meets another one's; nil where the batch shows too few.
local function shuffle_images(split, batch, work)
  local by = mismatch.distance(split, batch.index)
  if not by then return nil end
  local moved = setmetatable({images = moved_up(work.batch.images, by, batch.n)}, {__index = work.batch})
  return setmetatable({batch = moved}, {__index = work})
end

-- Whether a task is evaluated with other images too.
local function is_shuffled(task, plain) return not plain and task.name == "mlm" end

-- Samples first .. first + count - 1. Of several ranks each has its share's images, and those that its captions meet where they are moved on.
local function batch_of(tasks, split, first, count, plain)
  local shares, index, by, moves = {{dist.share(count)}}, {}, nil, false
  for _, task in ipairs(tasks) do moves = moves or is_shuffled(task, plain) end
  if moves and dist.size() > 1 then
    for i = 1, count do index[i] = first + i - 1 end
    by = mismatch.distance(split, index)
    for _, place in ipairs(by and shares[1][1] <= shares[1][2] and places(count, by) or {}) do shares[#shares + 1] = place end
  end
  return own_images.settled(split:range(first, count, own_images.ranges(tasks, shares)), function() return split:range(first, count) end)
end

-- Scenes: half own captions, half captions with one attribute changed: a work of each.
local function one_attribute(split, batch, seed)
  local changed, works = split:hard_negatives(batch, seed), {}
  for label, source in pairs {[0] = changed, batch} do
    local labels = {}
    for i = 1, batch.n do labels[i] = label end
    works[label + 1] = {n = batch.n, labels = labels, repeated = {}, batch = {tokens = source.tokens, lengths = source.lengths, images = batch.images}}
  end
  return works
end

local function add(total, prefix, stats, weight)
  for name, s in pairs(stats) do
    local key = prefix and name .. prefix or name
    -- A share (count 0) is this batch's mean: it counts with the batch's weight.
    local share = s[2] == 0
    total[key] = held_out.add(total[key], share and s[1] * weight or s[1], share and weight or s[2])
  end
end

-- What is evaluated of a batch, as accumulate takes it; put(total, stats) adds up what came of it.
local function works_of(tasks, split, batch, key, plain)
  local entries = {}
  local function also(task, work, put) entries[#entries + 1] = {task = task, work = work, pass = 0, put = put} end
  for _, task in ipairs(tasks) do
    local work = checked.prepare(task, split, batch, key)
    local weight = work.count or work.n
    also(task, work, function(total, stats) add(total, nil, stats, weight) end)
    local shuffled = is_shuffled(task, plain) and shuffle_images(split, batch, work)
    if shuffled then also(task, shuffled, function(total, stats) add(total, "_shuffled", stats, weight) end) end
    for _, of in ipairs(not plain and task.name == "ap" and split.data.name == "scenes" and one_attribute(split, batch, key.seed) or {}) do
      also(task, of, function(total, stats) add(total, nil, {["accuracy.ap_one_attribute"] = stats["accuracy.ap"]}, weight) end)
    end
  end
  return entries
end

-- Batches that are in loss.mlm and not in loss.mlm_shuffled.
local function left_out(total)
  local whole, shuffled = total["loss.mlm"], total["loss.mlm_shuffled"]
  return whole and whole.batches - (shuffled and shuffled.batches or 0) or 0
end

-- split: a view of the data set; -> name -> value (loss.mlm, loss.mlm_shuffled, loss.ap, accuracy.ap, loss.mim, ...; none of what nothing was
-- predicted for, as where no token is masked), left_out.mlm_shuffled = batches that show too few images to shuffle, where there are any;
-- intervals: name -> {low, high, n} for accuracies, errors: name -> standard error of losses. opts: {batch, micro, samples, seed, safe_point =
-- called between batches, starts = {first, ...} of the batches to take in place of the first `samples`, plain = true: the tasks' own losses alone}
function evaluate.run(model, tasks, split, opts)
  local training = model.training
  model:eval()
  local total, n = {}, math.min(opts.samples or split:size(), split:size())
  local ok, message = pcall(function()
    for _, first in ipairs(opts.starts or held_out.starts(n, opts.batch)) do
      if opts.safe_point then opts.safe_point() end
      vbl.scope(function()
        local count = math.min(opts.batch, (opts.starts and split:size() or n) - first + 1)
        local batch = batch_of(tasks, split, first, count, opts.plain)
        local key = {seed = opts.seed, step = held_out.STEP - first, epoch = 0, test = true}
        local entries = works_of(tasks, split, batch, key, opts.plain)
        for i, r in ipairs(accumulate.evaluate(model, entries, opts.micro)) do entries[i].put(total, r.stats) end
      end)
    end
  end)
  model:train(training)
  if not ok then error(message, 0) end
  local values, intervals, errors = {}, {}, {}
  for name, t in pairs(total) do
    if t.count > 0 then values[name] = held_out.mean(t) end
    if name:match "^accuracy" and t.count > 0 then
      intervals[name] = {vbl.metrics.wilson(t.sum, t.count)}
      intervals[name][3] = t.count
    end
    if name:match "^loss" then errors[name] = held_out.error(t) end
  end
  local missing = opts.plain and 0 or left_out(total)
  values["left_out.mlm_shuffled"] = missing > 0 and missing or nil
  return values, intervals, errors
end

return evaluate

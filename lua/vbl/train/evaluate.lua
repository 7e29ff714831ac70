-- Test losses: one fixed corruption of the held-out pairs, drawn from the seed, the same at every epoch; the model in eval mode.
local vbl = require "vbl"
local accumulate = require "vbl.train.accumulate"

local evaluate = {}

-- The draws of a test corruption have a step number that no training step reaches.
local TEST_STEP = 0x7fffffff

-- Images moved on by one sample: every caption meets another pair's image.
local function shuffle_images(work)
  local images = work.batch.images
  local n = work.n
  local moved = setmetatable({images = vbl.cat({images:narrow(1, 2, n - 1), images:narrow(1, 1, 1)}, 1)}, {__index = work.batch})
  return setmetatable({batch = moved}, {__index = work})
end

-- Scenes: half own captions, half captions with one attribute changed. Returns the accuracy's {right, count}.
local function one_attribute(model, task, split, batch, opts)
  local changed = split:hard_negatives(batch, opts.seed)
  local right, count = 0, 0
  for label, source in pairs {[0] = changed, batch} do
    local labels = {}
    for i = 1, batch.n do labels[i] = label end
    local work = {n = batch.n, labels = labels, repeated = {}, batch = {tokens = source.tokens, lengths = source.lengths, images = batch.images}}
    local _, stats = accumulate.evaluate(model, task, work, opts.micro, 0)
    right, count = right + stats["accuracy.ap"][1], count + stats["accuracy.ap"][2]
  end
  return {["accuracy.ap_one_attribute"] = {right, count}}
end

local function add(total, prefix, stats, weight)
  for name, s in pairs(stats) do
    local key = prefix and name .. prefix or name
    local t = total[key] or {0, 0, 0, 0}
    -- A share (count 0) is this batch's mean: it counts with the batch's weight.
    local share = s[2] == 0
    local sum, count = share and s[1] * weight or s[1], share and weight or s[2]
    total[key] = {t[1] + sum, t[2] + count, t[3] + (count > 0 and sum * sum / count or 0), t[4] + 1}
  end
end

-- Standard error of a loss's mean, from the batches' means: those of one size differ by chance alone. nil of a single batch.
local function error_of(t)
  if t[4] < 2 or t[2] == 0 then return nil end
  return math.sqrt(math.max(0, t[3] / t[2] - (t[1] / t[2]) ^ 2) / (t[4] - 1))
end

-- The numbers at which batches begin: one behind the other, or opts.starts, whole batches each.
local function starts_of(opts, n)
  if opts.starts then return opts.starts end
  local list = {}
  for first = 1, n, opts.batch do list[#list + 1] = first end
  return list
end

-- split: a view of the data set; -> name -> value (loss.mlm, loss.mlm_shuffled, loss.ap, accuracy.ap, loss.mim, ...),
-- intervals: name -> {low, high, n} for accuracies, errors: name -> standard error of losses. opts: {batch, micro, samples, seed, safe_point =
-- called between batches, starts = {first, ...} of the batches to take in place of the first `samples`, plain = true: the tasks' own losses alone}
function evaluate.run(model, tasks, split, opts)
  local training = model.training
  model:eval()
  local total, n = {}, math.min(opts.samples or split:size(), split:size())
  local ok, message = pcall(function()
    for _, first in ipairs(starts_of(opts, n)) do
      if opts.safe_point then opts.safe_point() end
      vbl.scope(function()
        local count = math.min(opts.batch, (opts.starts and split:size() or n) - first + 1)
        local batch = split:range(first, count)
        for _, task in ipairs(tasks) do
          local work = task:prepare(split, batch, {seed = opts.seed, step = TEST_STEP - first, epoch = 0, test = true})
          local weight = work.count or work.n
          local _, stats = accumulate.evaluate(model, task, work, opts.micro, 0)
          add(total, nil, stats, weight)
          if not opts.plain and task.name == "mlm" and work.n > 1 then
            _, stats = accumulate.evaluate(model, task, shuffle_images(work), opts.micro, 0)
            add(total, "_shuffled", stats, weight)
          end
          if not opts.plain and task.name == "ap" and split.data.name == "scenes" then add(total, nil, one_attribute(model, task, split, batch, opts), weight) end
        end
      end)
    end
  end)
  model:train(training)
  if not ok then error(message, 0) end
  local values, intervals, errors = {}, {}, {}
  for name, t in pairs(total) do
    values[name] = t[1] / math.max(t[2], 1e-300)
    if name:match("^accuracy") then intervals[name] = {vbl.metrics.wilson(t[1], t[2])} end
    if intervals[name] then intervals[name][3] = t[2] end
    if name:match "^loss" then errors[name] = error_of(t) end
  end
  return values, intervals, errors
end

return evaluate

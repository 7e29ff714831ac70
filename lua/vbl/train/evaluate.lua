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
    local t = total[key] or {0, 0}
    -- A share (count 0) is this batch's mean: it counts with the batch's weight.
    local share = s[2] == 0
    total[key] = {t[1] + (share and s[1] * weight or s[1]), t[2] + (share and weight or s[2])}
  end
end

-- split: a view of the data set; -> name -> value (loss.mlm, loss.mlm_shuffled, loss.ap, accuracy.ap, loss.mim, ...) and
-- intervals: name -> {low, high, n} for accuracies. opts: {batch, micro, samples, seed, safe_point = called
-- between batches}
function evaluate.run(model, tasks, split, opts)
  local training = model.training
  model:eval()
  local total, n = {}, math.min(opts.samples or split:size(), split:size())
  local ok, message = pcall(function()
    for first = 1, n, opts.batch do
      if opts.safe_point then opts.safe_point() end
      vbl.scope(function()
        local count = math.min(opts.batch, n - first + 1)
        local batch = split:range(first, count)
        for _, task in ipairs(tasks) do
          local work = task:prepare(split, batch, {seed = opts.seed, step = TEST_STEP - first, epoch = 0, test = true})
          local weight = work.count or work.n
          local _, stats = accumulate.evaluate(model, task, work, opts.micro, 0)
          add(total, nil, stats, weight)
          if task.name == "mlm" and work.n > 1 then
            _, stats = accumulate.evaluate(model, task, shuffle_images(work), opts.micro, 0)
            add(total, "_shuffled", stats, weight)
          end
          if task.name == "ap" and split.data.name == "scenes" then add(total, nil, one_attribute(model, task, split, batch, opts), weight) end
        end
      end)
    end
  end)
  model:train(training)
  if not ok then error(message, 0) end
  local values, intervals = {}, {}
  for name, t in pairs(total) do
    values[name] = t[1] / math.max(t[2], 1e-300)
    if name:match("^accuracy") then intervals[name] = {vbl.metrics.wilson(t[1], t[2])} end
    if intervals[name] then intervals[name][3] = t[2] end
  end
  return values, intervals
end

return evaluate

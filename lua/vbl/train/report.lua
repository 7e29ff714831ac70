-- What a run says: the opening and closing lines, the line of an epoch, the lines of the layers, the progress line; and the same
-- numbers in metrics.jsonl.
local vbl = require "vbl"
local analysis = require "vbl.analysis"
local dist = require "vbl.dist"
local loss_names = require "vbl.train.loss_names"
local sorted_keys = require "vbl.sorted_keys"
local summary = require "vbl.models.summary"
local features = require "vbl.analysis.features"
local system = require "vbl.system.c"

local report = {}

local titles = {mlm = "MLM", ap = "AP", mim = "MIM", contrastive = "contrastive"}

local function metrics(run, step, epoch, split, values)
  for _, name in ipairs(sorted_keys(values)) do
    run:metric {step = step, epoch = epoch, split = split, name = name, value = values[name]}
  end
end

function report.opening(run, job, s)
  local c = job.config
  for line in job.data:describe():gmatch("[^\n]+") do run:log("%s", line) end
  for line in (job.model.loaded and job.model.loaded.text or ""):gmatch("[^\n]+") do run:log("%s", line) end
  if job.data.reader and dist.first() then
    job.data:write_split(run.path .. "/split.tsv", job.held)
    job.data:write_notes(run.path .. "/data_notes.txt")
  end
  run:log("%s, %s trainable", tostring(job.model), summary.comma(job.model:num_parameters("trainable")))
  for _, line in ipairs(job.kind.opening and job.kind.opening(job) or {}) do run:log("%s", line) end
  for _, line in ipairs(job.remarks or {}) do run:warn("%s", line) end
  run:log("%d steps (%d an epoch), batch %d in micro-batches of %d%s, seed %d, %s, %s%d threads, %s", job.total_steps, job.epoch_steps, c.batch, job.micro,
          job.at_once and ", all tasks together" or "", c.flags.seed, c.precision, dist.size() > 1 and ("%d ranks of "):format(dist.size()) or "", system.threads(), run.path)
  if job.average then run:log("evaluated and kept is a moving average of the weights, ema %g", c.ema) end
  local names = {}
  for i, layer in ipairs(features.layers(job.model.config)) do names[i] = string.format("%s %s|%s", layer.name, layer.text, layer.vision) end
  run:log("layers: %s%s", table.concat(names, ", "), #job.config.partners > 1 and "; one line where the partner changes nothing" or "")
  if s.step > 0 then run:log("resumed at step %d of %d", s.step, job.total_steps) end
end

-- "test loss MLM, images shuffled: 5.6020", and how many batches are not in it; nil where that was not asked.
local function shuffled_text(test)
  local value, missing = test["loss.mlm_shuffled"], test["left_out.mlm_shuffled"]
  if not value and not missing then return nil end
  return ("test loss MLM, images shuffled: %s%s"):format(value and ("%.4f"):format(value) or "none",
                                                       missing and (" (too few images to shuffle in %d batch%s)"):format(missing, missing == 1 and "" or "es") or "")
end

-- ln of the candidates of a contrastive loss; nil where it is none.
local function chance_of(values, name)
  local candidates = values["candidates." .. name]
  return candidates and math.log(candidates) or values["chance." .. name]
end

-- "MIM chance: 5.8636 (5.1705 in training: batches of 16, not 32)": the test takes whole batches, also for a task that trains on a part of each, so
-- that its two losses are over other numbers of candidates. Of other contrastive losses than MIM's it is told only then.
local function chance_text(job, task, name, train, test)
  local of_test, of_train = chance_of(test, name), chance_of(train, name)
  local apart = of_train and task.batch and task.batch < job.config.batch
  if not of_test or not apart and name ~= "mim" then return nil end
  return ("%s chance: %.4f%s"):format(titles[name] or name, of_test,
                                    apart and (" (%.4f in training: batches of %d, not %d)"):format(of_train, task.batch, job.config.batch) or "")
end

local function trains(job, name)
  for _, task in ipairs(job.tasks) do
    if task.name == name then return true end
  end
end

-- "train loss MLM: 6.7365, test loss MLM: 5.5988, train loss AP: ..., accuracy AP: 0.9998, ..."
function report.epoch_line(job, epoch, train, test, intervals)
  local parts = {string.format("Epoch %d/%d", epoch, job.config.epochs)}
  local function add(format, title, value)
    if value then parts[#parts + 1] = string.format(format, title, value) end
  end
  for _, name in ipairs(loss_names(job)) do
    add("train loss %s: %.4f", titles[name] or name, train["loss." .. name])
    add("test loss %s: %.4f", titles[name] or name, test["loss." .. name])
    if name == "mlm" and trains(job, name) and not test["loss.mlm"] then parts[#parts + 1] = "test loss MLM: none (no held-out token is masked)" end
    if name == "mlm" then parts[#parts + 1] = shuffled_text(test) end
    if name == "ap" and test["accuracy.ap"] then
      local i = intervals["accuracy.ap"]
      parts[#parts + 1] = string.format("accuracy AP: %.4f [%.4f, %.4f]", test["accuracy.ap"], i[1], i[2])
      add("%s, one attribute changed: %.4f", "AP", test["accuracy.ap_one_attribute"])
    end
  end
  for _, task in ipairs(job.tasks) do parts[#parts + 1] = chance_text(job, task, task.name == "ap" and "contrastive" or task.name, train, test) end
  return table.concat(parts, ", ")
end

-- The losses of training pairs taken as the test's are: "Epoch 1/4, in eval mode, 128 training pairs: loss MLM: 5.5021, loss AP: 0.3101".
function report.same_mode(run, job, epoch, step, found)
  local parts, rows = {}, {}
  for _, name in ipairs(loss_names(job)) do
    local value = found.train["loss." .. name]
    rows["loss." .. name], rows["accuracy." .. name] = value, found.train["accuracy." .. name]
    if value then parts[#parts + 1] = ("loss %s: %.4f"):format(titles[name] or name, value) end
  end
  run:log("Epoch %d/%d, in eval mode, %d training pairs: %s", epoch, job.config.epochs, found.train_pairs, table.concat(parts, ", "))
  metrics(run, step, epoch, "train_eval", rows)
end

-- values: name -> value of a split, intervals: name -> {low, high}.
function report.values(run, epoch, step, split, values, intervals)
  metrics(run, step, epoch, split, values)
  for _, name in ipairs(sorted_keys(intervals or {})) do
    metrics(run, step, epoch, split, {[name .. ".low"] = intervals[name][1], [name .. ".high"] = intervals[name][2]})
  end
end

-- An epoch's line, the training losses and what was found on the held-out split: found {values =, intervals =}.
function report.epoch(run, line, epoch, step, train, split, found)
  run:log("%s", line)
  metrics(run, step, epoch, "train", train)
  report.values(run, epoch, step, split, found.values, found.intervals)
end

function report.step(run, step, epoch, values) metrics(run, step, epoch, "step", values) end

-- One line a layer and partner, then that of chance; matched and mismatched stand together. Where a partner changes nothing, before the fusion, it has
-- no line of its own.
function report.layers(run, epoch, step, results, partners)
  local n = #results[partners[1]]
  for i = 1, n do
    local first = analysis.line(results[partners[1]][i])
    for p, partner in ipairs(partners) do
      local layer = results[partner][i]
      local line = analysis.line(layer)
      if p == 1 or line ~= first then run:log("%s%s", line, partner == "matched" and "" or " (" .. partner .. ")") end
      for _, name in ipairs(analysis.names) do
        local row = {step = step, epoch = epoch, split = "probe." .. partner, name = string.format("layer.%d.%s", i - 1, name), value = layer[name]}
        run:metric(row)
        local chance = layer.records[name] and layer.records[name].chance
        if chance and partner == partners[1] then
          row.split, row.value = "probe.chance", chance
          run:metric(row)
        end
      end
    end
  end
  run:log("%s", analysis.chance(results[partners[1]]))
end

local function clock(seconds)
  if seconds ~= seconds or seconds == math.huge then return "?" end
  seconds = math.floor(seconds + 0.5)
  if seconds >= 3600 then return string.format("%d:%02d:%02d", seconds // 3600, seconds // 60 % 60, seconds % 60) end
  return string.format("%d:%02d", seconds // 60, seconds % 60)
end

function report.progress(job, s, values)
  local parts = {string.format("epoch %d/%d step %d/%d", (s.step - 1) // job.epoch_steps + 1, job.config.epochs, s.step, job.total_steps)}
  for _, name in ipairs(loss_names(job)) do
    local v = values["loss." .. name]
    if v then parts[#parts + 1] = string.format("%s %.3f", titles[name] or name, v) end
  end
  local rate = s.samples / math.max(s.seconds, 1e-9)
  local left = (job.total_steps - s.step) * job.config.batch / rate
  parts[#parts + 1] = string.format("%.0f samples/s  ETA %s  %.0f MB", rate, clock(left), (system.rss_bytes() or 0) / 1e6)
  return table.concat(parts, "  ")
end

function report.closing(run, job, s)
  local memory = vbl.memory()
  run:log("%d samples in %s of training: %.1f samples/s; peak memory %.0f MB (tensors %.0f MB)", s.samples, clock(s.seconds),
          s.samples / math.max(s.seconds, 1e-9), system.peak_rss_bytes() / 1e6, memory.peak / 1e6)
  for line in job.data:report():gmatch("[^\n]+") do run:log("%s", line) end
  run:log("run folder %s", run.path)
end

return report

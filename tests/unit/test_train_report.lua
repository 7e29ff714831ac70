-- The lines of a run's log and what they are made of, without a run.
local check = require "check"
local report = require "vbl.train.report"

check.group("the chance of a contrastive loss: that of the test, and of training where a task takes part of the batch", function()
  local function line(task, train, test) return report.epoch_line({config = {epochs = 4, batch = 32}, tasks = {task}}, 2, train, test, {}) end
  local test = {["loss.mim"] = 2, ["candidates.mim"] = 352}
  check.equal(line({name = "mim", batch = 16}, {["loss.mim"] = 1, ["candidates.mim"] = 176}, test),
              "Epoch 2/4, train loss MIM: 1.0000, test loss MIM: 2.0000, MIM chance: 5.8636 (5.1705 in training: batches of 16, not 32)")
  for _, batch in ipairs {false, 32} do
    check.equal(line({name = "mim", batch = batch or nil}, {["loss.mim"] = 1, ["candidates.mim"] = 340}, test),
                "Epoch 2/4, train loss MIM: 1.0000, test loss MIM: 2.0000, MIM chance: 5.8636")
  end
  check.equal(line({name = "mim", batch = 16}, {}, test), "Epoch 2/4, test loss MIM: 2.0000, MIM chance: 5.8636")
  local level = {["loss.contrastive"] = 2, ["chance.contrastive"] = 2.5}
  check.equal(line({name = "ap", batch = 8}, {["loss.contrastive"] = 1, ["chance.contrastive"] = 1.25}, level),
              "Epoch 2/4, train loss contrastive: 1.0000, test loss contrastive: 2.0000, contrastive chance: 2.5000 (1.2500 in training: batches of 8, not 32)")
  check.equal(line({name = "ap"}, {["loss.contrastive"] = 1, ["chance.contrastive"] = 2.4}, level),
              "Epoch 2/4, train loss contrastive: 1.0000, test loss contrastive: 2.0000")
end)

check.group("an experiment's own tasks: in the line of an epoch, in eval mode, in metrics.jsonl and in the progress", function()
  local job = {config = {epochs = 4, batch = 8}, tasks = {{name = "pull"}, {name = "mlm"}}, epoch_steps = 2, total_steps = 8}
  local lines, rows, run = {}, {}, {}
  function run.log(_, form, ...) lines[#lines + 1] = form:format(...) end
  function run.metric(_, row) rows[row.split .. "." .. row.name] = row.value end
  check.equal(report.epoch_line(job, 2, {["loss.pull"] = 1}, {["loss.mlm"] = 3, ["loss.pull"] = 2}, {}), "Epoch 2/4, test loss MLM: 3.0000, train loss pull: 1.0000, test loss pull: 2.0000")
  report.same_mode(run, job, 2, 4, {train = {["loss.mlm"] = 3, ["loss.pull"] = 0.5, ["accuracy.pull"] = 0.75}, train_pairs = 16})
  check.equal(lines[1], "Epoch 2/4, in eval mode, 16 training pairs: loss MLM: 3.0000, loss pull: 0.5000")
  check.equal(rows["train_eval.loss.pull"], 0.5)
  check.equal(rows["train_eval.accuracy.pull"], 0.75)
  local progress = report.progress(job, {step = 3, samples = 24, seconds = 1}, {["loss.pull"] = 0.25, ["loss.mlm"] = 4})
  check.ok(progress:find("step 3/8  MLM 4.000  pull 0.250  ", 1, true), progress)
end)

check.done()

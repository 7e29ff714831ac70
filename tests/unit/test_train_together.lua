-- All tasks of a step as one batch through the model (tasks_together): losses, statistics and gradients are those of one task after the other to
-- rounding, with the same dropout masks. On the CPU, which never does so by itself; on a device: test_device_train.
local check = require "check"
local vbl = require "vbl"
local passes = require "vbl.models.passes"
local together = require "together"

local with, job_of, works_of, step, interleaved = together.with, together.job_of, together.works_of, together.step, together.interleaved

local function compare(name, runs_wanted, model, tasks)
  check.group(name, function()
    local j = job_of(model, tasks)
    local works = works_of(j, {seed = 3, step = 1, epoch = 1})
    local apart, wanted = step(j, works, false)
    local all, grads, runs = step(j, works, true)
    check.equal(runs, runs_wanted)
    together.check_same(j, apart, wanted, all, grads)
  end)
end

local three = {mlm = {}, ap = {}, mim = {}}
compare("interleaved, all in one batch", 1, with(interleaved), three)
compare("stacked, alignment without the fusion", 2, with {depth = 2, cross_attention_layers = {0, 1}}, {mlm = {}, ap = {head = "similarity", contrastive = {}}, mim = {}})
compare("stacked, unimodal vectors of a fused pass", 1, with {depth = 2, cross_attention_layers = {1}}, {mlm = {}, ap = {contrastive = {}}, mim = {}})
compare("interleaved, a second way through the layers", 2, with(interleaved), {mlm = {weight = 0.5}, ap = {contrastive = {}}, mim = {}})
compare("interleaved, a target without a gradient", 2, with(interleaved), {mlm = {}, ap = {}, mim = {target = "stop"}})
compare("one transformer over both, padded, a mask token", 1, with {fusion = "single_stream", packed = false, mask_token = true}, three)
compare("tasks of different sizes, captions padded, norms before", 1, with(interleaved, {packed = false, text_norm = "pre"}), {mlm = {batch = 5}, ap = {batch = 7}, mim = {}})

check.group("masks belong to (pass, sample), not to the batch", function()
  local j = job_of(with(interleaved), three)
  local works = works_of(j, {seed = 3, step = 1, epoch = 1})
  local whole = vbl.tasks.part(works.mlm.batch, 1, 12)
  local some = vbl.tasks.part(works.mlm.batch, 5, 9)
  vbl.no_grad(function()
    local a, b, c = j.model:run(some, {pass = 3}), j.model:run(some, {pass = 4}), nil
    local out = passes.run(j.model, {{whole, {pass = 4}}, {some, {pass = 3}}, {whole, {pass = 0}}})
    for _, name in ipairs {"text", "vision"} do
      check.ok(out[2][name]:allclose(a[name], {rtol = 0, atol = 1e-5}), name)
      check.ok(not out[2][name]:allclose(b[name], {rtol = 0, atol = 1e-2}), name)
    end
    check.ok(j.model.cls(out[2].text, out[2].text_layout):allclose(j.model.cls(a.text, a.text_layout), {rtol = 0, atol = 1e-5}))
    c = vbl.tasks.part(works.mlm.batch, 1, 2)
    c.samples = {0, 1 << 20}
    check.error(function() j.model:run(c) end, "samples[2]: expected a number from 0 to 1048575, got 1048576")
    check.error(function() j.model:run(some, {pass = 2048}) end, "pass: expected a number from 0 to 2047, got 2048")
  end)
end)

check.group("what cannot go together", function()
  local j = job_of(with(interleaved), three)
  local works = works_of(j, {seed = 3, step = 1, epoch = 1})
  j.model:tap {"vision.0"}
  local _, _, runs = step(j, works, true)
  check.equal(runs, 4)
  j.model:tap {}
  _, _, runs = step(j, works, true)
  check.equal(runs, 1)
  local mim = j.tasks[1].name == "mlm" and j.tasks[1]
  check.ok(mim)
  mim.forward = function() error("task: a mistake of its own", 0) end
  check.error(function() step(j, works, true) end, "task: a mistake of its own")
  check.error(function() job_of(with(interleaved), three, {tasks_together = "allways"}) end, "config: tasks_together: expected one of auto, yes, no, got 'allways'")
  check.equal(job_of(with(interleaved), three, {tasks_together = "auto"}).config.tasks_together, "no")
  local weighted = job_of(with(interleaved), three, {mix = {weighting = "gradient"}})
  _, _, runs = step(weighted, works_of(weighted, {seed = 3, step = 1, epoch = 1}), true)
  check.equal(runs, 3)  -- MIM's two views go together, whoever else does
end)

check.done()

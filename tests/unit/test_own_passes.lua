-- A task of one's own asks the model as if it were alone, whatever others do in the same step: it may change the model, run it in a coroutine or without
-- a gradient, and read a result in any of its forms. Losses and gradients are those of the task by itself.
local check = require "check"
local taps = require "vbl.models.taps"
local tasks = require "vbl.tasks"
local together = require "together"
local vbl = require "vbl"

local key = {seed = 3, step = 1, epoch = 1}

local function squares(x) return x:square():sum() end

-- What a task does with its part of a batch -> its loss.
local ways = {}

-- A teacher without dropout and without a gradient, then the model in eval mode with one.
function ways.eval(model, part, pass)
  local target = vbl.no_grad(function()
    model:eval()
    local out = model:run(part, {pass = pass})
    model:train()
    return out.text
  end)
  local noisy = model:run(part, {pass = pass})
  model:eval()
  local calm = model:run(part, {pass = pass})
  model:train()
  check.ok(squares(calm.text - target):item() < 1e-8 * squares(target):item())
  check.ok(squares(noisy.text - target):item() > 1e-3 * squares(target):item())
  return squares(noisy.text - target) + squares(calm.vision) * 0.01
end

function ways.tap(model, part, pass)
  model:tap {"text.0"}
  local out = model:run(part, {pass = pass})
  model:tap {}
  check.ok(not next(model:run(part, {pass = pass}).taps))
  return squares(out.taps["text.0"].rows)
end

function ways.forward(model, part, pass)
  local out = model:forward(part, {pass = pass})
  check.equal(out.text:size(2), part.tokens:size(2))
  return squares(out.text) + squares(out.vision)
end

function ways.unpack(model, part, pass)
  local out = model:run(part, {pass = pass})
  return squares(taps.unpack(out.text, out.text_layout)) + squares(taps.unpack(out.vision, out.vision_layout))
end

function ways.coroutine(model, part, pass)
  local results = coroutine.wrap(function() coroutine.yield(model:run(part, {pass = pass})) end)
  return squares(results().text)
end

ways["samples that are read"] = function(model, part, pass)
  local n = part.tokens:size(1)
  local out = model:run(part, {pass = pass, reads = {text = {2, n - 1}}})
  check.equal(out.vision, nil)
  return squares(out.text)
end

local function own_task(way)
  local task = {name = "own", weight = 1}
  function task.prepare(_, _, batch) return {n = batch.n, batch = {tokens = batch.tokens, lengths = batch.lengths, images = batch.images}} end
  function task.forward(_, model, work, lo, hi, pass)
    local loss = way(model, tasks.part(work.batch, lo, hi), pass) / work.n
    return {loss = loss, stats = {["loss.own"] = {loss, 0}}}
  end
  return task
end

local function job_of(list, dropout)
  return together.job_of(together.with(together.interleaved, {dropout = dropout}), {}, {probe_samples = 0}, {tasks = list})
end

-- The loss of the own task, with other tasks beside it, and whether the model is as it was.
local function loss_of(list, dropout, at_once)
  local job = job_of(list, dropout)
  local result = together.step(job, together.works_of(job, key), at_once)
  check.ok(job.model.training and not next(job.model.tapped) and not next(job.model.off))
  return result.own.loss
end

for name, way in pairs(ways) do
  check.group(name, function()
    for _, dropout in ipairs {0.1, name ~= "eval" and 0 or nil} do
      local alone = loss_of({own_task(way)}, dropout, false)
      for _, at_once in ipairs {false, true} do
        -- To rounding, as in tests/together.lua: the first of the tasks has the same pass numbers alone.
        check.near(loss_of({own_task(way), tasks.mlm {}, tasks.mim {}}, dropout, at_once), alone, 2e-6 * alone)
      end
    end
  end)
end

check.group("options of a pass", function()
  local job = job_of({own_task(ways.forward)}, 0)
  local batch = job.train:range(1, 3)
  check.error(function() job.model:run(batch, {fues = false}) end, "vilbert: a pass has no option 'fues', did you mean 'fuse'?")
  check.error(function() job.model:run_all {{batch, {unimodel = true}}, {batch}} end, "no option 'unimodel', did you mean 'unimodal'?")
  check.error(function() job.model:run_all {{batch, {reads = "txt"}}, {batch}} end, 'reads: expected "text" or "vision", got txt')
  local out = job.model:run(batch)
  check.equal(out.unimodal, nil)  -- fused rows have seen the other stream
  check.ok(job.model:run(batch, {cross = false}).unimodal and job.model:run(batch, {fuse = false}).unimodal)
  check.equal(job.model:run(batch, {reads = "text"}).vision, nil)
  check.equal(job.model:run(batch, {reads = "vision"}).text, nil)
end)

-- Images that are shared memory, but whose gradient each pass is to have for itself.
check.group("gradients of images", function()
  local job = job_of({own_task(ways.forward)}, 0)
  local batch = job.train:range(1, 3)
  local pixels = batch.images:to "f32"
  local function pass(images) return {{tokens = batch.tokens, lengths = batch.lengths, images = images}, {}} end
  local function gradient(requests, wanted)
    local out = job.model:run_all(requests)
    local sum = 0
    for _, o in ipairs(out) do sum = squares(o.vision) + sum end
    sum:backward()
    return wanted.grad
  end
  local a, b = pixels:detach():requires_grad_(true), pixels:detach():requires_grad_(true)
  local alone, shared = gradient({pass(a)}, a), gradient({pass(pixels), pass(b)}, b)
  check.ok(shared and squares(alone - shared):item() <= 4e-12 * squares(alone):item())
end)

check.done()

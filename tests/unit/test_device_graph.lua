-- Training steps as CUDA graphs (config cuda_graph): losses, norms, shares and weights are those of steps without, bit for bit, whatever comes between: packed
-- sizes that change, micro-batches, tasks in turn, measured steps, a step that is taken back, no memory, Ctrl-C. On the emulated device of the tier
-- unit what is captured is computed when the graph is launched, and what no capture may hold is refused; on a GPU in the tier gpu.
local vbl = require "vbl"
local check = require "check"
local step_of = require "vbl.train.step"
local system = require "vbl.system.c"

local found, why = vbl.devices()
if not found[2] then check.skip("no device: " .. why) end

local function job_of(graph, more, tasks)
  local config = {scenes = {train = 8, test = 4}, tasks = {}, epochs = 1, batch = 2, probe_samples = 0, lr = 1e-3, warmup = 0, cuda_graph = graph,
                  model = {preset = "tiny", dim = 8, layers = 1, fusion = "interleaved", coattention = {text = {0}, vision = {0}, dim = 8, heads = 2}, attention_heads = 2,
                           mlp = 8, image = 32, patch = 16, dropout = 0.1}}
  for key, value in pairs(more) do config[key] = value end
  config = vbl.config(config, vbl.train.schemas())
  vbl.set_device "cuda"
  return vbl.train.job(config, {tasks = tasks()})
end

local function batch_of(job, i) return job.train:range(2 * ((i - 1) % 2) + 1, 2) end

-- Steps from .. n, each settled when `lag` more are queued. Returns the values of each, and how many were one graph; told: what others said.
local function train(job, from, n, lag)
  local queued, values, graphs, told = {}, {}, 0, {}
  for i = from, n + lag do
    if i <= n then
      queued[i] = step_of.queue(job, batch_of(job, i), i, {separate = i % 4 == 0, again = function() return batch_of(job, i) end})
      if queued[i].no_graph then told[queued[i].no_graph] = true else graphs = graphs + 1 end
    end
    if i >= from + lag then values[#values + 1] = step_of.settle(job, queued[i - lag]) end
  end
  return values, graphs, told
end

-- The same with graphs and without: what f(job) gives, arrays of tables of numbers, and the weights. Returns the second result of both.
local function equal(more, tasks, f)
  local jobs, values, rest = {}, {}, {}
  for i, graph in ipairs {true, false} do
    jobs[i] = job_of(graph, more, tasks)
    values[i], rest[i] = f(jobs[i])
  end
  check.ok(#values[1] > 0 and #values[1] == #values[2])
  for i, step in ipairs(values[1]) do
    for name, value in pairs(step) do check.ok(value == values[2][i][name], ("step %d: %s: %s, not %s"):format(i, name, value, values[2][i][name])) end
  end
  for i, p in ipairs(jobs[1].model.list) do check.ok(jobs[2].model.list[i].tensor:allclose(p.tensor, {rtol = 0, atol = 0}), p.name) end
  vbl.set_device "cpu"
  return rest[1], rest[2]
end

local function all_tasks() return {vbl.tasks.mlm(), vbl.tasks.ap {head = "similarity", contrastive = {learnable = true}}, vbl.tasks.mim()} end
local function one_task() return {vbl.tasks.mlm()} end

check.group("three tasks, measured steps", function()
  local graphs, none = equal({}, all_tasks, function(job)
    local values, graphs, told = train(job, 1, 8, 1)
    for reason in pairs(told) do check.ok(reason:find "^new ", reason) end
    return values, graphs
  end)
  check.ok(graphs >= 2, graphs)
  check.equal(none, 8)  -- nothing was in the way of what nobody asked for
end)

check.group("bf16, tasks in turn, micro-batches", function()
  local graphs = equal({precision = "bf16", micro_batch = 1, mix = {how = "alternating"}}, function() return {vbl.tasks.mlm(), vbl.tasks.mim()} end, function(job) return train(job, 1, 10, 1) end)
  check.ok(graphs >= 2, graphs)
end)

check.group("a host that waits within a step", function()
  local graphs = equal({mix = {weighting = "gradient"}}, function() return {vbl.tasks.mlm(), vbl.tasks.mim()} end, function(job)
    local values, graphs, told = train(job, 1, 3, 1)
    check.ok(told["the host waits for a number"] or not job.config.cuda_graph)
    return values, graphs
  end)
  check.equal(graphs, 0)
end)

-- A step in the middle whose loss is not finite, two more queued behind it: nothing has changed since the step before, and it goes on.
check.group("a step that is taken back", function()
  local said, other = equal({}, one_task, function(job)
    local before = train(job, 1, 5, 1)
    local forward = job.tasks[1].forward
    job.tasks[1].forward = function(self, model, ...)
      local out = forward(self, model, ...)
      if model.rng.step == 6 then out.loss = out.loss + vbl.full({}, 1 / 0) end
      return out
    end
    local weights = {}
    for i, p in ipairs(job.model.list) do weights[i] = p.tensor:to("cpu"):clone() end
    local ok, message = pcall(train, job, 6, 8, 2)
    check.ok(not ok)
    for i, p in ipairs(job.model.list) do check.ok(p.tensor:to("cpu"):allclose(weights[i], {rtol = 0, atol = 0}), p.name) end
    job.tasks[1].forward = forward
    for _, values in ipairs((train(job, 6, 8, 1))) do before[#before + 1] = values end
    return before, tostring(message)
  end)
  check.ok(said:find("step 6: ", 1, true), said)
  check.equal(said, other)
end)

-- What ends a step in its middle: what was asked for before is done, as without a graph, and the step is taken again.
local function ctrl_c() system.run {"/bin/sh", "-c", "kill -INT " .. system.pid()} end
local endings = {
  {"after", function() error("of the task's own", 0) end, "of the task's own"},
  {"before", ctrl_c, "interrupted"},
  {"after", ctrl_c, "interrupted"},
  {"after", function() vbl.zeros(1 << 40) end, "out of memory"},
}

check.group("an error, Ctrl-C, no memory", function()
  equal({}, one_task, function(job)
    local values = train(job, 1, 5, 1)
    local forward = job.tasks[1].forward
    for i, ending in ipairs(endings) do
      job.tasks[1].forward = function(...)
        if ending[1] == "before" then ending[2]() end
        local out = forward(...)
        if ending[1] == "after" then ending[2]() end
        return out
      end
      local ok, message = pcall(train, job, 5 + i, 5 + i, 0)
      check.ok(not ok and tostring(message):find(ending[3], 1, true), tostring(message))
      if system.interrupted() then system.clear_interrupt() end
      job.tasks[1].forward = forward
      for _, v in ipairs((train(job, 5 + i, 5 + i, 0))) do values[#values + 1] = v end
    end
    return values
  end)
end)

check.group("vbl.cuda_graph", function()
  vbl.set_device "cuda"
  local x = vbl.full({4}, 3):to "cuda"
  local function sum() return (x * 2):sum() end
  local reason, y
  for _ = 1, 3 do reason, y = vbl.cuda_graph(sum) end
  check.equal(y:item(), 24)
  if os.getenv "VBL_EMU_CACHE" then check.ok(reason == nil or reason:find "^new ", reason) end
  local why_not, number = vbl.cuda_graph(function() return sum():item() end)
  check.equal(number, 24)
  check.equal(why_not, "the host waits for the device")
  local inner, outer
  outer, inner = vbl.cuda_graph(function() return (vbl.cuda_graph(sum)) end)
  check.equal(inner, "it is within another")
  check.ok(outer == nil)
  check.error(function() vbl.cuda_graph(function() error("within", 0) end) end, "within")
  check.equal(sum():item(), 24)
  check.error(vbl.cuda_graph, "value expected")
  vbl.set_device "cpu"
end)

check.done()

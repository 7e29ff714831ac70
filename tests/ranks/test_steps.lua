-- Under mpirun: the gradient, losses and stats of a batch that the ranks share are those of one process, as those of micro-batches are (unit/test_accumulate):
-- every mixture, each rank's share whole and in parts, dropout on, a last batch with fewer samples than ranks.
local check = require "check"
local dist = require "vbl.dist"
local gradients = require "gradients"
local own_images = require "vbl.data.own_images"
local sorted_keys = require "vbl.sorted_keys"
local step_of = require "vbl.train.step"
local vbl = require "vbl"

dist.start()
local device = os.getenv "VBL_TEST_DEVICE" or "cpu"
if device ~= "cpu" then vbl.set_device(dist.device(device)) end

local function job(opts)
  local tasks = {mlm = {}, ap = {contrastive = {weight = 1, learnable = true}}, mim = {batch = 5}}
  return vbl.train.job {
    flags = {seed = 3, device = device}, name = "ranks", data = "scenes", scenes = {train = 64, test = 32},
    model = {preset = "tiny", dim = 32, layers = 2, attention_heads = 4, mlp = 64, patch = 32, dropout = opts.dropout or 0, init = "fan_in"},
    tasks = tasks, batch = 16, epochs = 1, mix = opts.mix or {}, tasks_together = opts.together or "no", micro_batch = opts.micro or 0,
  }
end

-- The first n samples; of several ranks each with the images that it needs for the tasks.
local function samples(j, n, tasks)
  local ranges, index = own_images.of_step(tasks, n), {}
  for i = 1, n do index[i] = i end
  local loader <close> = j.train:loader()
  loader:submit(index, 0, ranges)
  return loader:next()
end

-- One step's gradient on the first n samples: name -> tensor, values. separate: with each task's norm.
local function step(j, n, micro, number, separate)
  local key, works = {seed = 3, step = number, epoch = 1}, {}
  for _, task in ipairs(j.tasks) do works[task.name] = task:prepare(j.train, samples(j, math.min(n, task.batch or n), {task}), key) end
  j.model.rng.step = number
  for _, p in ipairs(j.mix.parameters) do p.tensor.grad = nil end
  local found, values = j.mix:backward(works, micro, number, 4, separate), {}
  local number_of = require("vbl.later").number
  for name, r in pairs(found) do
    values[name], values[name .. " norm"] = number_of(r.loss), r.norm and number_of(r.norm)
    for stat, s in pairs(r.stats) do values[name .. " " .. stat] = s[2] > 0 and number_of(s[1]) / s[2] or number_of(s[1]) end
  end
  return gradients.of(j.mix.parameters), values
end

-- Another order of the sums over samples. What lies between a parameter and a loss is some sixty roundings of 2^-24, which add up as
-- their square root does, and the contrastive logits are divided by a temperature of 0.07: sqrt(60) / 0.07 * 2^-24 = 6.6e-6 of the gradient's norm.
-- Of tasks that are brought to one norm the errors may all point one way while the T gradients are at right angles: T of one over sqrt(T) of the other.
-- A sample that is counted twice, left out or divided by a wrong number is a sixteenth.
local function bound(j) return 6.6e-6 * (j.config.mix and j.config.mix.weighting == "gradient" and math.sqrt(#j.tasks) or 1) end

local function compare(j, n, micro, number, separate)
  local alone, expected = dist.alone(step, j, n, 16, number, separate)
  local shared, values = step(j, n, micro, number, separate)
  check.equal(table.concat(sorted_keys(values), " "), table.concat(sorted_keys(expected), " "))
  for name, v in pairs(expected) do check.near(values[name] or 0 / 0, v, 2e-6 * math.abs(v)) end
  check.equal(table.concat(sorted_keys(shared), " "), table.concat(sorted_keys(alone), " "))
  check.near(gradients.distance(alone, shared), 0, bound(j))
  -- and the same bits on every rank
  local sums = {}
  for i, name in ipairs(sorted_keys(shared)) do sums[i] = ("%a"):format(shared[name]:to("f64"):sum():item()) end
  local mine = table.concat(sums, " ")
  for _, text in ipairs(dist.each(mine)) do check.ok(text == mine, "ranks hold different gradients") end
end

local cases = {
  {"one batch", together = "yes"}, {"alternating", mix = {how = "alternating"}}, {"joint"}, {"joint, dropout", dropout = 0.1},
  {"uncertainty", mix = {weighting = "uncertainty"}}, {"gradient", mix = {weighting = "gradient"}},
}
-- Seconds a step.
local emulated = (os.getenv "VBL_CUDA_LIBRARY" or ""):find "emu" ~= nil
for i = 1, emulated and 2 or #cases do
  check.group(cases[i][1], function()
    local j = job(cases[i])
    for _, micro in ipairs(emulated and {} or {16, 3}) do
      compare(j, 16, micro, 1)
      compare(j, 16, micro, 2, true)
      compare(j, 7, micro, 3)
    end
    compare(j, 2, 16, 4)  -- of AP: one pair of each kind
  end)
end

-- Another program may use one rank's GPU.
if device ~= "cpu" then
  check.group("tasks go at once where all ranks have room for it", function()
    local memory = require "vbl.train.memory"
    local whole = memory.whole
    memory.whole = function() return dist.rank() == 0 and {} or nil end
    check.equal(job({together = "auto", micro = 16}).at_once, false)
    memory.whole = function() return {} end
    check.equal(job({together = "auto", micro = 16}).at_once, true)
    memory.whole = whole
  end)
end

-- Rank r has r rows of r.
if device ~= "cpu" then
  check.group("rows of all ranks, from device to device", function()
    local r, n = dist.rank(), dist.size()
    local function check_rows(all, first)
      check.equal(all:device(), device)
      check.equal(first, 1 + r * (r - 1) // 2)
      check.equal(all:shape()[1], n * (n - 1) // 2)
      local at = 1
      for rank = 1, n - 1 do
        check.equal(all:narrow(1, at, rank):to("f32"):sum():item(), rank * rank * 3.0)
        at = at + rank
      end
    end
    local wide = vbl.full({r, 6}, r)
    for _, dtype in ipairs {"f32", "bf16", "i32"} do check_rows(dist.gather(wide:narrow(2, 2, 3):to(dtype))) end
    check_rows(dist.gather(r > 0 and wide:narrow(2, 2, 3) or nil))
    check_rows(dist.gather(r > 0 and wide:narrow(2, 2, 3) or vbl.zeros(0, 3)))
    local here = dist.gather(r > 0 and wide:narrow(2, 2, 3) or vbl.zeros(0, 3, {device = "cpu"}))
    check.equal(here:shape()[1], n * (n - 1) // 2)
    local stops = vbl.memory().device_stops
    local all = dist.gather(vbl.full({2, 5}, 1))
    if not require("vbl.dist.c").by_host() then check.equal(vbl.memory().device_stops, stops) end
    check.equal(all:sum():item(), 10 * n)
  end)
end

-- Of the first calls new memory is what ends the recording.
if device ~= "cpu" then
  check.group("a sum over the ranks ends what is recorded as a CUDA graph", function()
    local x, why = vbl.full({5}, dist.rank() + 1):requires_grad_(true), nil
    for _ = 1, 3 do
      x.grad = nil
      why = vbl.cuda_graph(function()
        x:square():sum():backward()
        dist.sum_gradients {{tensor = x}}
      end)
      check.equal(x.grad:sum():item(), 5 * dist.size() * (dist.size() + 1))
    end
    check.equal(why, os.getenv "NCCL_EMU_REFUSES" and "the host waits for the device" or "a sum over ranks")
  end)
end

check.group("each rank scores its own queries", function()
  local F = require "vbl.nn.functional"
  local plain, calls, j = F.info_nce, 0, job {}
  F.info_nce = function(q, k, opts)
    calls = calls + 1
    check.ok(q:size(1) < k:size(1) and opts.divisor == k:size(1), ("%d queries, %d keys"):format(q:size(1), k:size(1)))
    return plain(q, k, opts)
  end
  step(j, 16, 16, 1)
  F.info_nce = plain
  check.equal(calls, 3)  -- one of mim, two directions of ap
end)

-- A whole step, so that the ranks' weights stay alike, whether they have all images or their own alone.
check.group("steps", function()
  local j, of_all = job {dropout = 0.1}, job {dropout = 0.1}
  local function values_of(job, batch, number)
    local values, text = step_of.now(job, batch, number), {}
    for i, name in ipairs(sorted_keys(values)) do text[i] = ("%s=%a"):format(name, values[name]) end
    return table.concat(text, " ")
  end
  for number = 1, emulated and 1 or 3 do
    local mine = values_of(j, samples(j, 16, j.tasks), number)
    for _, other in ipairs(dist.each(mine)) do check.equal(other, mine) end
    check.equal(values_of(of_all, j.train:range(1, 16), number), mine)
  end
  for _, p in ipairs(j.model.list) do
    local mine = ("%a"):format(p.tensor:to("cpu"):to("f64"):square():sum():item())
    for _, other in ipairs(dist.each(mine)) do check.equal(other, mine) end
  end
end)

check.group("who has added up", function()
  local why = require("vbl.dist.c").by_host()
  if not emulated then return end
  if os.getenv "NCCL_EMU_REFUSES" then
    check.ok((why or ""):find("NCCL: ncclCommInitRank: invalid usage", 1, true), tostring(why))
  else
    check.equal(why, nil)
  end
end)
check.done()

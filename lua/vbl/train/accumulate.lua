-- The gradient of one effective batch, in micro-batches that fit in memory: the same gradient as from one big batch.
--
-- Losses that are means over samples or tokens are divided by the whole batch's count, so their parts add up. InfoNCE needs all
-- rows at once: the representations of every micro-batch are computed first without a graph, the loss and its gradient with respect
-- to them once for the whole batch, and each micro-batch is then run again and backpropagated from its slice of that gradient (Gao et
-- al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"). Dropout masks depend on (seed, site, step,
-- sample) only, so the second run is the first.
--
-- Nothing here waits for a device: losses and stats are numbers that come later (vbl.later).
local vbl = require "vbl"
local later = require "vbl.later"
local together = require "vbl.train.together"

local accumulate = {}

local function add_stats(total, stats)
  for name, s in pairs(stats) do
    local t = total[name] or {0, 0}
    total[name] = {t[1] + later.of(s[1]), t[2] + s[2]}
  end
end

local function add_values(total, values)
  for name, v in pairs(values or {}) do total[name] = {later.of(v), 0} end
end

-- stats: name -> {sum, count}; count 0: the sums are shares of one value.
function accumulate.values(stats)
  local values = {}
  for name, s in pairs(stats) do values[name] = s[2] > 0 and s[1] / s[2] or s[1] end
  return values
end

local function plus(a, b) return a and b and a + b or a or b end

-- The loss of a whole batch from what its forward gave; nil where there is none.
local function loss_of(model, task, out, stats)
  local loss = out.loss
  add_stats(stats, out.stats)
  if out.keys then
    local joined, values = task:join(out.keys, model)
    add_values(stats, values)
    loss = plus(loss, joined)
  end
  return loss
end

local function whole(model, task, work, pass, scale, stats)
  local loss = loss_of(model, task, task:forward(model, work, 1, work.n, pass), stats)
  if scale and loss and loss.requires_grad then (loss * scale):backward() end  -- all that it needs may be frozen
  return loss and later.of(loss, scale) or 0
end

local function parts(n, micro)
  local list = {}
  for lo = 1, n, micro do list[#list + 1] = {lo, math.min(lo + micro - 1, n)} end
  return list
end

-- First runs: the keys of every part, joined, as leaves; and how many rows each part gave.
local function collect_keys(model, task, work, ranges, pass)
  local columns, counts = {}, {}
  for i, r in ipairs(ranges) do
    local keys = vbl.scope(function()
      local out = vbl.no_grad(function() return task:forward(model, work, r[1], r[2], pass) end)
      return out.keys or false
    end)
    counts[i] = keys and keys[1]:size(1) or 0
    for j, k in ipairs(keys or {}) do
      columns[j] = columns[j] or {}
      table.insert(columns[j], k)
    end
  end
  if #columns == 0 then return nil, counts end
  local joined = {}
  for j, list in ipairs(columns) do joined[j] = vbl.cat(list, 1):requires_grad_(true) end
  return joined, counts
end

local function split(model, task, work, micro, pass, scale, stats)
  local ranges, total = parts(work.n, micro), 0
  local keys, counts
  if task.join then keys, counts = collect_keys(model, task, work, ranges, pass) end
  if keys then
    local joined, values = task:join(keys, model)
    add_values(stats, values)
    total = later.of(joined, scale)
    if scale then (joined * scale):backward() end
  end
  local row = 1
  for i, r in ipairs(ranges) do
    vbl.scope(function()
      local out = task:forward(model, work, r[1], r[2], pass)
      add_stats(stats, out.stats)
      local roots, seeds = {}, {}
      if out.loss then
        total = total + later.of(out.loss, scale)
        if scale and out.loss.requires_grad then roots[1], seeds[1] = out.loss * scale, vbl.ones() end
      end
      for j, k in ipairs(out.keys or {}) do
        if keys[j].grad and k.requires_grad then
          roots[#roots + 1], seeds[#seeds + 1] = k, keys[j].grad:narrow(1, row, counts[i])
        end
      end
      if #roots > 0 then vbl.backward(roots, seeds) end
    end)
    row = row + (counts and counts[i] or 0)
  end
  return total
end

-- Adds the gradient of scale * (the task's loss on work) to the model's parameters; scale nil: no gradient, evaluation only.
-- Returns the loss and its parts, name -> {sum, count}. With a gradient the loss is watched: where it is not finite a device's optimizer changes
-- nothing.
function accumulate.backward(model, task, work, micro, pass, scale)
  local stats, loss = {}, nil
  vbl.scope(function()
    if micro >= work.n then
      loss = whole(model, task, work, pass, scale, stats)
    else
      loss = split(model, task, work, micro, pass, scale, stats)
    end
  end)
  return loss, stats
end

local function calls_of(entries)
  local calls = {}
  for i, e in ipairs(entries) do
    calls[i] = function(asker) return e.task:forward(asker, e.work, 1, e.work.n, e.pass) end
  end
  return calls
end

-- The same of several tasks, each on its whole batch, which share what they compute alike (vbl.train.together). entries: array of {task=, work=, pass=,
-- scale=} -> array of {loss=, stats=}. together: as one batch, whose gradients go back at once; in_turn: a task at a time, which takes less memory.
function accumulate.together(model, entries)
  local roots, seeds, results = {}, {}, {}
  vbl.scope(function()
    for i, out in ipairs(together.forward(model, calls_of(entries))) do
      local e, stats = entries[i], {}
      local loss = loss_of(model, e.task, out, stats)
      if loss and loss.requires_grad then roots[#roots + 1], seeds[#seeds + 1] = loss * e.scale, vbl.ones() end
      results[i] = {loss = loss and later.of(loss, e.scale) or 0, stats = stats}
    end
    if #roots > 0 then vbl.backward(roots, seeds) end
  end)
  return results
end

function accumulate.in_turn(model, entries)
  local results = {}
  vbl.scope(together.in_turn, model, calls_of(entries), function(i, out)
    local e, stats = entries[i], {}
    local loss = loss_of(model, e.task, out, stats)
    if loss and loss.requires_grad then (loss * e.scale):backward() end
    results[i] = {loss = loss and later.of(loss, e.scale) or 0, stats = stats}
  end)
  return results
end

local function numbers(stats)
  for _, s in pairs(stats) do s[1] = later.number(s[1]) end
  return stats
end

-- accumulate.backward without gradients; numbers that are there.
function accumulate.evaluate(model, task, work, micro, pass)
  local loss, stats = vbl.no_grad(function() return accumulate.backward(model, task, work, micro, pass, nil) end)
  return later.number(loss), numbers(stats)
end

-- The stats of several works, entries = array of {task=, work=}, which share what they compute alike where all are taken whole.
function accumulate.evaluate_all(model, entries, micro)
  local found, whole = {}, true
  for _, e in ipairs(entries) do whole = whole and e.work.n <= micro end
  if not whole then
    for i, e in ipairs(entries) do found[i] = select(2, accumulate.evaluate(model, e.task, e.work, micro, 0)) end
    return found
  end
  local all = {}
  for i, e in ipairs(entries) do all[i] = {task = e.task, work = e.work, pass = 0, scale = 1} end
  for i, r in ipairs(vbl.no_grad(accumulate.in_turn, model, all)) do found[i] = numbers(r.stats) end
  return found
end

return accumulate

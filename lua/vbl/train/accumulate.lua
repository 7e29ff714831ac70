-- The gradient of one effective batch, in micro-batches that fit in memory: the same gradient as from one big batch. Of one task or of several, which
-- share what they compute alike (vbl.train.together).
--   entries: array of {task=, work=, pass = the first of its passes' numbers (dropout: accumulate.passes), scale = factor of its gradient; nil: none}
--   results, in order: {loss = number, with its scale, stats = name -> {sum, count}, untrained = true where a loss that is to be trained has no gradient}
--
-- Losses that are means over samples or tokens are divided by the whole batch's count, so their parts add up. InfoNCE needs all
-- rows at once: the representations of every micro-batch are computed first without a graph, the loss and its gradient with respect
-- to them once for the whole batch, and each micro-batch is then run again and backpropagated from its slice of that gradient (Gao et
-- al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"). Dropout masks depend on (seed, site, step,
-- sample) only, so the second run is the first.
--
-- Nothing here waits for a device: losses and stats are numbers that come later (vbl.later).
local checked = require "vbl.tasks.checked"
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
    local joined, values = checked.join(task, out.keys, model)
    add_values(stats, values)
    loss = plus(loss, joined)
  end
  return loss
end

local function result_of(loss, scale, stats)
  return {loss = loss and later.of(loss, scale) or 0, stats = stats, untrained = scale and loss and not loss.requires_grad or nil}
end

-- How many passes a task has numbers for in a step.
function accumulate.passes(task) return task.passes or 2 end

-- The model as a task has it: a pass with the number of another task's, whose dropout masks it would have, is an error.
local function model_of(e, model)
  local first, n, own = e.pass, accumulate.passes(e.task), {}
  local function check(opts)
    local pass = opts and opts.pass or 0
    if pass >= first and pass < first + n then return end
    error(("task %s: forward ran the model with pass = %d; its own numbers are %d (the pass that it is given) to %d, the dropout masks of others are " ..
           "other tasks'. A task that needs more than %d says so: passes = N"):format(e.task.name, pass, first, first + n - 1, n), 0)
  end
  function own:run(batch, opts)
    check(opts)
    return model:run(batch, opts)
  end
  function own:classify(batch, opts)
    check(opts)
    return model:classify(batch, opts)
  end
  function own:run_all(requests, begun)
    for _, request in ipairs(requests) do check(request[2]) end
    return model:run_all(requests, begun)
  end
  return setmetatable(own, {__index = model, __newindex = model})
end

local function calls_of(entries, lo, hi)
  local calls = {}
  for i, e in ipairs(entries) do
    calls[i] = function(asker)
      return checked.forward(e.task, model_of(e, asker), e.work, lo or 1, hi and math.min(hi, e.work.n) or e.work.n, e.pass)
    end
  end
  return calls
end

local function whole(model, entries)
  return together.in_turn(model, calls_of(entries), function(i, out)
    local e, stats = entries[i], {}
    local loss = loss_of(model, e.task, out, stats)
    if e.scale and loss and loss.requires_grad then (loss * e.scale):backward() end  -- all that it needs may be frozen
    return result_of(loss, e.scale, stats)
  end)
end

-- Samples of the largest batch.
local function largest(entries)
  local n = 0
  for _, e in ipairs(entries) do n = math.max(n, e.work.n) end
  return n
end

-- fn(those of the entries that have samples from lo on, their places, lo, hi) for each part of the largest batch
local function each_part(entries, micro, fn)
  for lo = 1, largest(entries), micro do
    local some, places = {}, {}
    for i, e in ipairs(entries) do
      if e.work.n >= lo then some[#some + 1], places[#places + 1] = e, i end
    end
    fn(some, places, lo, lo + micro - 1)
  end
end

-- First runs: of each entry whose task joins keys these, of all parts, as leaves, and how many rows each part gave: columns, counts.
local function collect_keys(model, entries, micro)
  local columns, counts, joining = {}, {}, {}
  for i, e in ipairs(entries) do
    columns[i], counts[i] = {}, {}
    if e.task.join then joining[#joining + 1] = setmetatable({at = i}, {__index = e}) end
  end
  each_part(joining, micro, function(some, _, lo, hi)
    local found = vbl.scope(vbl.no_grad, together.in_turn, model, calls_of(some, lo, hi), function(_, out) return out.keys or {} end)
    for k, keys in ipairs(found) do
      local i = some[k].at
      table.insert(counts[i], keys[1] and keys[1]:size(1) or 0)
      for j, rows in ipairs(keys) do
        columns[i][j] = columns[i][j] or {}
        table.insert(columns[i][j], rows)
      end
    end
  end)
  for _, list in ipairs(columns) do
    for j, rows in ipairs(list) do list[j] = vbl.cat(rows, 1):requires_grad_(true) end
  end
  return columns, counts
end

-- Second runs: an entry's part goes back from its share of the loss, and from its slice of the keys' gradient, which begins at `row`. -> that share, and whether
-- it has a gradient; nil: it has no loss
local function part_back(e, out, keys, row, count)
  local roots, seeds, loss = {}, {}, 0
  if out.loss then
    loss = later.of(out.loss, e.scale)
    if e.scale and out.loss.requires_grad then roots[1], seeds[1] = out.loss * e.scale, vbl.ones() end
  end
  for j, k in ipairs(out.keys or {}) do
    if keys[j].grad and k.requires_grad then roots[#roots + 1], seeds[#seeds + 1] = k, keys[j].grad:narrow(1, row, count) end
  end
  if #roots > 0 then vbl.backward(roots, seeds) end
  if out.loss or out.keys then return loss, #roots > 0 end
  return loss
end

local function split(model, entries, micro)
  local results, rows, trained = {}, {}, {}
  local keys, counts = collect_keys(model, entries, micro)
  for i, e in ipairs(entries) do
    local stats, loss = {}, 0
    if keys[i][1] then
      local joined, values = checked.join(e.task, keys[i], model)
      add_values(stats, values)
      loss = later.of(joined, e.scale)
      if e.scale then (joined * e.scale):backward() end
    end
    results[i], rows[i] = {loss = loss, stats = stats}, 1
  end
  each_part(entries, micro, function(some, places, lo, hi)
    vbl.scope(together.in_turn, model, calls_of(some, lo, hi), function(k, out)
      local i = places[k]
      local count = table.remove(counts[i], 1)
      add_stats(results[i].stats, out.stats)
      local part, back = part_back(some[k], out, keys[i], rows[i], count)
      results[i].loss = results[i].loss + part
      if back ~= nil then trained[i] = trained[i] or back end
      rows[i] = rows[i] + (count or 0)
    end)
  end)
  for i, e in ipairs(entries) do results[i].untrained = e.scale and trained[i] == false or nil end
  return results
end

-- Adds the gradient of each entry's loss to the model's parameters, `micro` samples at a time, a task after the other. With a gradient the losses are watched:
-- where one is not finite a device's optimizer changes nothing.
function accumulate.backward(model, entries, micro)
  if micro >= largest(entries) then return vbl.scope(whole, model, entries) end
  return vbl.scope(split, model, entries, micro)
end

-- The same with all samples at once, all tasks' passes as one batch, and their gradients going back at once.
function accumulate.together(model, entries)
  local roots, seeds, results = {}, {}, {}
  vbl.scope(function()
    for i, out in ipairs(together.forward(model, calls_of(entries))) do
      local e, stats = entries[i], {}
      local loss = loss_of(model, e.task, out, stats)
      if loss and loss.requires_grad then roots[#roots + 1], seeds[#seeds + 1] = loss * e.scale, vbl.ones() end
      results[i] = result_of(loss, e.scale, stats)
    end
    if #roots > 0 then vbl.backward(roots, seeds) end
  end)
  return results
end

-- accumulate.backward without gradients; numbers that are there.
function accumulate.evaluate(model, entries, micro)
  local results = vbl.no_grad(accumulate.backward, model, entries, micro)
  for _, r in ipairs(results) do
    r.loss = later.number(r.loss)
    for _, s in pairs(r.stats) do s[1] = later.number(s[1]) end
  end
  return results
end

return accumulate

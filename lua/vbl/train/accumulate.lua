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
-- Ranks (vbl.dist) are more of the same: each takes its share of every entry's samples, in micro-batches or whole, keys are gathered from all, and losses and
-- stats are those of the whole batch on each rank. Gradients are this rank's share of the sum: who updates adds them up.
--
-- Nothing here waits for a device: losses and stats are numbers that come later (vbl.later).
local checked = require "vbl.tasks.checked"
local dist = require "vbl.dist"
local gathered = require "vbl.train.gathered"
local vbl = require "vbl"
local later = require "vbl.later"
local together = require "vbl.train.together"
local whole_batch = require "vbl.train.whole_batch"

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

-- from, count: which of this rank's samples; nil: all of them. An entry that has none of them gives nothing.
local function calls_of(entries, from, count)
  local calls = {}
  for i, e in ipairs(entries) do
    local lo, hi = dist.share(e.work.n)
    if from then lo, hi = lo + from - 1, math.min(hi, lo + from + count - 2) end
    calls[i] = function(asker) return lo <= hi and checked.forward(e.task, model_of(e, asker), e.work, lo, hi, e.pass) or {} end
  end
  return calls
end

-- All ranks' keys, as leaves, and the first row of this rank's. columns: its keys, or nothing.
local function leaves_of(columns)
  local keys, first = gathered(columns)
  for _, k in ipairs(keys) do k:requires_grad_(true) end
  return keys, first
end

-- Of several ranks each joins its own rows, where the task can; of another task all, each rank.
local function joins_own(task) return dist.size() > 1 and task.joins_own end

-- The loss of keys, which goes back to them. part: {loss =, stats =} of this rank, which are added up, joined: of all. A task that joins all on each rank
-- gives the gradient as often as there are ranks: a parameter in it gets its share.
local function join(model, e, keys, own, part, joined)
  if not keys[1] then return end
  local shared = joins_own(e.task)
  local loss, values = checked.join(e.task, keys, model, shared and own or nil)
  for name, v in pairs(values or {}) do add_values((shared and type(v) ~= "number" and part or joined).stats, {[name] = v}) end
  local result = shared and part or joined
  result.loss = result.loss + later.of(loss, e.scale)
  if not e.scale then return end
  (loss * (shared and e.scale or e.scale / dist.size())):backward()
  if not shared then return end
  local leaves = {}
  for j, k in ipairs(keys) do leaves[j] = {tensor = k} end
  dist.sum_gradients(leaves)
end

-- Where an entry's part goes back from: its share of the loss, and its keys, with their slice of the joined keys' gradient, which begins at `row`. -> that
-- share of the loss, and whether there is a gradient; nil: there is no loss
local function add_roots(roots, seeds, e, out, keys, row)
  local loss, before = 0, #roots
  if out.loss then
    loss = later.of(out.loss, e.scale)
    if e.scale and out.loss.requires_grad then roots[#roots + 1], seeds[#seeds + 1] = out.loss * e.scale, vbl.ones() end
  end
  for j, k in ipairs(out.keys or {}) do
    if keys[j].grad and k.requires_grad then
      local slice = keys[j].grad:narrow(1, row, k:size(1))
      roots[#roots + 1], seeds[#seeds + 1] = k, dist.size() > 1 and not joins_own(e.task) and slice * dist.size() or slice
    end
  end
  if out.loss or out.keys then return loss, #roots > before end
  return loss
end

local function part_back(e, out, keys, row)
  local roots, seeds = {}, {}
  local loss, back = add_roots(roots, seeds, e, out, keys, row)
  if #roots > 0 then vbl.backward(roots, seeds) end
  return loss, back
end

local function whole(model, entries)
  return together.in_turn(model, calls_of(entries), function(i, out)
    local e, stats = entries[i], {}
    local loss = loss_of(model, e.task, out, stats)
    if e.scale and loss and loss.requires_grad then (loss * e.scale):backward() end  -- all that it needs may be frozen
    return result_of(loss, e.scale, stats)
  end)
end

-- How many rows a list of columns has.
local function height(columns) return columns and columns[1] and columns[1]:size(1) or 0 end

-- An entry's keys joined with the other ranks'. -> what came of that, of this rank's samples, the joined keys, its first row in them
local function meet(model, e, out)
  local joined, part, keys, row = {loss = 0, stats = {}}, {loss = 0, stats = {}}, {}, 1
  if e.task.join then
    keys, row = leaves_of(out.keys or {})
    join(model, e, keys, {first = row, count = height(out.keys)}, part, joined)
  end
  add_stats(part.stats, out.stats or {})
  return joined, part, keys, row
end

-- whole, of this rank's share.
local function whole_share(model, entries)
  local joined = {}
  local parts = together.in_turn(model, calls_of(entries), function(i, out)
    local part, keys, row
    joined[i], part, keys, row = meet(model, entries[i], out)
    local loss, trained = part_back(entries[i], out, keys, row)
    part.loss, part.trained = part.loss + (loss or 0), trained
    return part
  end)
  return whole_batch(entries, parts, joined)
end

-- This rank's samples of the largest batch.
local function largest(entries)
  local n = 0
  for _, e in ipairs(entries) do n = math.max(n, dist.largest(e.work.n)) end
  return n
end

-- fn(those of the entries that have samples from the one of that number on, their places, that number) for each part of the largest batch
local function each_part(entries, micro, fn)
  for from = 1, largest(entries), micro do
    local some, places = {}, {}
    for i, e in ipairs(entries) do
      local lo, hi = dist.share(e.work.n)
      if hi - lo + 1 >= from then some[#some + 1], places[#places + 1] = e, i end
    end
    if #some > 0 then fn(some, places, from) end
  end
end

-- First runs: of each entry whose task joins keys these, of all parts, as leaves; which rows are this rank's, {first =, count =}; and how many rows each part
-- gave: columns, own, counts.
local function collect_keys(model, entries, micro)
  local columns, own, counts, joining = {}, {}, {}, {}
  for i, e in ipairs(entries) do
    columns[i], counts[i] = {}, {}
    if e.task.join then joining[#joining + 1] = setmetatable({at = i}, {__index = e}) end
  end
  each_part(joining, micro, function(some, _, from)
    local found = vbl.scope(vbl.no_grad, together.in_turn, model, calls_of(some, from, micro), function(_, out) return out.keys or {} end)
    for k, keys in ipairs(found) do
      local i = some[k].at
      table.insert(counts[i], height(keys))
      for j, part in ipairs(keys) do
        columns[i][j] = columns[i][j] or {}
        table.insert(columns[i][j], part)
      end
    end
  end)
  for i, list in ipairs(columns) do
    for j, parts in ipairs(list) do list[j] = vbl.cat(parts, 1) end
    own[i] = {first = 1, count = height(list)}
    if entries[i].task.join then columns[i], own[i].first = leaves_of(list) end
  end
  return columns, own, counts
end

local function split(model, entries, micro)
  local parts, joined = {}, {}
  local keys, own, counts = collect_keys(model, entries, micro)
  local rows = {}
  for i, e in ipairs(entries) do
    parts[i], joined[i], rows[i] = {loss = 0, stats = {}}, {loss = 0, stats = {}}, own[i].first
    join(model, e, keys[i], own[i], parts[i], joined[i])
  end
  each_part(entries, micro, function(some, places, from)
    vbl.scope(together.in_turn, model, calls_of(some, from, micro), function(k, out)
      local i = places[k]
      local part, count = parts[i], table.remove(counts[i], 1)
      add_stats(part.stats, out.stats)
      local loss, back = part_back(some[k], out, keys[i], rows[i])
      part.loss = part.loss + loss
      if back ~= nil then part.trained = part.trained or back end
      rows[i] = rows[i] + (count or 0)
    end)
  end)
  return whole_batch(entries, parts, joined)
end

-- Adds the gradient of each entry's loss to the model's parameters, `micro` samples at a time, a task after the other. With a gradient the losses are watched:
-- where one is not finite a device's optimizer changes nothing.
function accumulate.backward(model, entries, micro)
  if micro < largest(entries) then return vbl.scope(split, model, entries, micro) end
  return vbl.scope(dist.size() == 1 and whole or whole_share, model, entries)
end

local function together_whole(model, entries)
  local roots, seeds, results = {}, {}, {}
  for i, out in ipairs(together.forward(model, calls_of(entries))) do
    local e, stats = entries[i], {}
    local loss = loss_of(model, e.task, out, stats)
    if loss and loss.requires_grad then roots[#roots + 1], seeds[#seeds + 1] = loss * e.scale, vbl.ones() end
    results[i] = result_of(loss, e.scale, stats)
  end
  if #roots > 0 then vbl.backward(roots, seeds) end
  return results
end

local function together_share(model, entries)
  local roots, seeds, parts, joined = {}, {}, {}, {}
  for i, out in ipairs(together.forward(model, calls_of(entries))) do
    local keys, row
    joined[i], parts[i], keys, row = meet(model, entries[i], out)
    local loss, trained = add_roots(roots, seeds, entries[i], out, keys, row)
    parts[i].loss, parts[i].trained = parts[i].loss + (loss or 0), trained
  end
  if #roots > 0 then vbl.backward(roots, seeds) end
  return whole_batch(entries, parts, joined)
end

-- The same with all samples at once, all tasks' passes as one batch, and their gradients going back at once.
function accumulate.together(model, entries)
  return vbl.scope(dist.size() == 1 and together_whole or together_share, model, entries)
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

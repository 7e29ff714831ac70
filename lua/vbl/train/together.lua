-- The forward passes of several tasks, which share what they compute alike (vbl.models.trunk). A task is written as if it were alone; here each runs as
-- a coroutine that stops where it asks the model for a pass, until all have asked.
--   together.forward(model, calls) -> results, in order      calls: array of functions of a model, each a task's forward. The passes are one batch
--       (vbl.models.passes)
--   together.in_turn(model, calls, finish) -> what finish gave, in order      each task's passes by themselves; finish(i, result) goes backward from a task's
--       result before the next one's are taken
-- A pass that is asked for where no coroutine can stop, inside vbl.no_grad (a target without a gradient), vbl.checkpoint or a coroutine of the task's own, is
-- taken there and then, and so is one of a model that the task has changed (:eval(), :tap, :ablate): with the changes, which no other task sees.
local trunk = require "vbl.models.trunk"
local usage = require "vbl.usage"
local vbl = require "vbl"

local together = {}

-- The passes of a model with these fields, which are its own again after.
local function run_changed(model, changes, requests)
  local own = {}
  local _ <close> = setmetatable({}, {__close = function()
    for key in pairs(changes) do model[key] = own[key] end
  end})
  for key, value in pairs(changes) do own[key], model[key] = model[key], value end
  return model:run_all(requests)
end

-- The model as the task of a thread has it: its passes are asked for.
local function asking(model, thread)
  local asker, changes = {}, {}
  function asker:run_all(requests)
    if next(changes) then return run_changed(model, changes, requests) end
    if coroutine.running() ~= thread or not coroutine.isyieldable() then return model:run_all(requests) end
    return coroutine.yield(requests)
  end
  function asker:run(batch, opts) return self:run_all({{batch, opts}})[1] end
  return setmetatable(asker, {
    __index = function(_, key)
      if changes[key] ~= nil then return changes[key] end
      return model[key]
    end,
    __newindex = function(_, key, value)
      if value == model[key] then value = nil end
      changes[key] = value
    end,
  })
end

-- Lets a coroutine go on: what it asks for next, or nil and its result. Its error is raised here, with the place in the task where it arose.
local function go_on(thread, ...)
  local ok, value = coroutine.resume(thread, ...)
  if not ok then error(usage.explain(value, thread), 0) end
  if coroutine.status(thread) == "dead" then return nil, value end
  return value
end

-- The calls as coroutines, which end where an error leaves them.
local function coroutines(calls)
  local threads = {}
  for i, call in ipairs(calls) do threads[i] = coroutine.create(call) end
  return setmetatable(threads, {__close = function()
    for _, thread in ipairs(threads) do coroutine.close(thread) end
  end})
end

-- What each asks for first, and the results of those that ask for nothing.
local function started(threads, model)
  local asked, results = {}, {}
  for i, thread in ipairs(threads) do asked[i], results[i] = go_on(thread, asking(model, thread)) end
  return asked, results
end

-- What all have asked for, in order, and where each one's begins in it.
local function in_order(asked, n)
  local all, first = {}, {}
  for i = 1, n do
    first[i] = #all + 1
    table.move(asked[i] or {}, 1, #(asked[i] or {}), #all + 1, all)
  end
  return all, first
end

function together.forward(model, calls)
  local threads <close> = coroutines(calls)
  local asked, results = started(threads, model)
  while next(asked) do
    local all, first = in_order(asked, #calls)
    local answers = model:run_all(all)
    for i = 1, #calls do
      if asked[i] then asked[i], results[i] = go_on(threads[i], table.move(answers, first[i], first[i] + #asked[i] - 1, 1, {})) end
    end
  end
  return results
end

function together.in_turn(model, calls, finish)
  if #calls == 1 then return {vbl.scope(function() return finish(1, calls[1](model)) end)} end
  local threads <close> = coroutines(calls)
  local asked, results = started(threads, model)
  local all, first = in_order(asked, #calls)
  local shared = trunk.shared(model, all)
  if shared then shared:cut() end
  for i = 1, #calls do
    results[i] = vbl.scope(function()
      local begun, out = shared and asked[i] and shared:of(first[i], #asked[i]), results[i]
      while asked[i] do
        asked[i], out = go_on(threads[i], model:run_all(asked[i], begun))
        begun = nil
      end
      return finish(i, out)
    end)
  end
  if shared then shared:backward() end
  return results
end

return together

-- The forward passes of several tasks as one batch (vbl.models.passes). A task is written as if it were alone; here each runs as a coroutine that stops
-- where it asks the model for a pass, until all have asked.
--   together.forward(model, calls) -> results, in order      calls: array of functions of a model, each a task's forward
-- A pass that is asked for where no coroutine can stop, inside vbl.no_grad (a target without a gradient) or vbl.checkpoint, is taken there and then.
local passes = require "vbl.models.passes"

local together = {}

-- The model, but that its passes are asked for.
local function asking(model)
  local asker = {}
  function asker:run_all(requests)
    if not coroutine.isyieldable() then return model:run_all(requests) end
    return coroutine.yield(requests)
  end
  function asker:run(batch, opts) return self:run_all({{batch, opts}})[1] end
  return setmetatable(asker, {__index = model})
end

-- Lets a coroutine go on: what it asks for next, or nil and its result. Its error is raised here, and the others are left.
local function go_on(threads, i, ...)
  local ok, value = coroutine.resume(threads[i], ...)
  if not ok then
    for _, thread in ipairs(threads) do coroutine.close(thread) end
    error(value, 0)
  end
  if coroutine.status(threads[i]) == "dead" then return nil, value end
  return value
end

function together.forward(model, calls)
  local threads, asked, results, asker = {}, {}, {}, asking(model)
  for i, call in ipairs(calls) do threads[i] = coroutine.create(call) end
  for i = 1, #calls do asked[i], results[i] = go_on(threads, i, asker) end
  while next(asked) do
    local all, answers = {}, nil
    for i = 1, #calls do table.move(asked[i] or {}, 1, #(asked[i] or {}), #all + 1, all) end
    answers = passes.run(model, all)
    local at = 0
    for i = 1, #calls do
      if asked[i] then
        local n = #asked[i]
        asked[i], results[i] = go_on(threads, i, table.move(answers, at + 1, at + n, 1, {}))
        at = at + n
      end
    end
  end
  return results
end

return together

-- The first value that is not finite in what a model computes, in the order in which it is computed.
--   watch.run(model, fn) -> found, or nil, what ended fn (its error, or nil where it came to its end), and the largest magnitude that was seen,
--     {path =, value =}
--     found: {path = "fusion.1.text.fc1", what = "input"|"output", tensor = the values, part = {lengths = {..}, T =, samples =} of the batch that the
--     model was given: tokens and columns of its captions, numbers in the effective batch}
-- fn runs the model; it is left at the first such value. While it runs, the results of all modules and attentions are looked at
-- (vbl.nn.at, vbl.nn.attention), each after its input: what no module made, an embedding's sum or the data, is first seen as an input.
local nn = require "vbl.nn"

local watch = {}

local STOP = setmetatable({}, {__tostring = function() return "a value that is not finite was found" end})

local function note_largest(state, path, x)
  local value = x:numel() > 0 and x:detach():abs():max():item() or 0
  if value > state.largest.value then state.largest = {path = path, value = value} end
end

-- What was found outlives the scope of the pass.
local function see(state, path, what, x)
  if x:nonfinite() == 0 then return note_largest(state, path, x) end
  local batch = state.batch
  state.found = {path = path, what = what, tensor = x:detach():clone():keep(),
                 part = {lengths = batch.lengths:totable(), T = batch.tokens:size(2), samples = batch.samples}}
  error(STOP, 0)
end

local function results(state, path, ...)
  for i = 1, select("#", ...) do see(state, path, "output", (select(i, ...))) end
  return ...
end

-- at(path, fn, x, ...) of vbl.nn, watched; what fn raises has its path already.
local function watched_at(state, at)
  return function(path, fn, x, ...)
    see(state, path, "input", x)
    return results(state, path, at(path, fn, x, ...))
  end
end

local function watched_attention(state, attention)
  return function(ctx, name, qkv, ...)
    see(state, name .. ".attention", "input", qkv)
    return results(state, name .. ".attention", attention(ctx, name, qkv, ...))
  end
end

-- Which samples are in the model: its methods note the batch they get. Of several passes each is taken by itself.
local function note_batches(state, model)
  for _, name in ipairs {"run", "classify"} do
    local method = model[name]
    rawset(model, name, function(self, batch, opts)
      state.batch = batch
      return method(self, batch, opts)
    end)
  end
  rawset(model, "run_all", function(self, requests)
    local results = {}
    for i, request in ipairs(requests) do results[i] = self:run(request[1], request[2]) end
    return results
  end)
end

function watch.run(model, fn)
  local state, at, attention = {largest = {value = 0}}, nn.at, nn.attention
  local run, classify, run_all, sharing = rawget(model, "run"), rawget(model, "classify"), rawget(model, "run_all"), model.sharing
  nn.at, nn.attention = watched_at(state, at), watched_attention(state, attention)
  note_batches(state, model)
  model.sharing = false
  local ok, message = pcall(fn)
  nn.at, nn.attention = at, attention
  rawset(model, "run", run)
  rawset(model, "classify", classify)
  rawset(model, "run_all", run_all)
  model.sharing = sharing
  if state.found then return state.found end
  return nil, not ok and message or nil, state.largest
end

return watch

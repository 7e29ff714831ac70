-- vbl.gradcheck(fn, inputs, opts): the gradients of a function of tensors against central differences.
--   inputs: a list of f64 tensors; fn(table.unpack(inputs)) -> one real tensor, the same one for the same inputs.
-- The function's output is weighted with fixed numbers w (drawn from opts.seed), and d sum(w * y) / dx of every element of every input is
-- compared with (f(x + h) - f(x - h)) / 2h, whose error is O(h^2) f''' / 6 from the truncation and about 1e-16 |f| / h from rounding: with
-- h = 1e-6 both lie far below 1e-5 of a gradient of order 1. -> the largest difference. An error names the element that is off.
local document = require("vbl.tensor.c").document
local vbl = require "vbl"
local with_defaults = require "vbl.with_defaults"

document("vbl.gradcheck", "gradcheck(fn, {x1, x2, ...}, [{h = 1e-6, atol = 1e-5, rtol = 1e-5, seed = 0}]) -> largest difference",
         "Compares the gradients of fn(x1, x2, ...) with central differences, element by element; inputs are f64, the result is one tensor. An error names " ..
         "the input and element that are off by more than atol + rtol |gradient|. Keep away from kinks: a difference across one is no derivative.")

local defaults = {h = 1e-6, atol = 1e-5, rtol = 1e-5, seed = 0}

local function leaves(inputs)
  local list = {}
  if type(inputs) ~= "table" or #inputs == 0 then error("gradcheck: expected a list of at least one tensor", 3) end
  for i, x in ipairs(inputs) do
    if not vbl.is_tensor(x) or x:dtype() ~= "f64" then
      error(("gradcheck: input %d: expected an f64 tensor, got %s: differences of f32 numbers say little"):format(i, vbl.is_tensor(x) and x:dtype() or type(x)), 3)
    end
    list[i] = x:detach():clone():requires_grad_()
  end
  return list
end

-- Numbers between 0.5 and 1.5, so that no output counts for nothing.
local function weights(y, seed)
  local generator, flat = seed * 7919 + 12345, {}
  for i = 1, y:numel() do
    generator = (generator * 1103515245 + 12345) % 2 ^ 31
    flat[i] = 0.5 + generator / 2 ^ 31
  end
  return vbl.tensor(flat, {dtype = "f64"}):reshape(y:shape())
end

local function numeric(fn, list, x, index, w, h)
  local before = x[index]
  local function at(value)
    x[index] = value
    return (fn(table.unpack(list)) * w):sum():item()
  end
  local difference = vbl.no_grad(function() return (at(before + h) - at(before - h)) / (2 * h) end)
  vbl.no_grad(function() x[index] = before end)
  return difference
end

-- Calls visit with the index of every element.
local function each(shape, visit)
  local count = 1
  for _, n in ipairs(shape) do count = count * n end
  for i = 0, count - 1 do
    local index, rest = {}, i
    for d = #shape, 1, -1 do index[d], rest = rest % shape[d] + 1, rest // shape[d] end
    visit(index)
  end
end

return {gradcheck = function(fn, inputs, opts)
  local o, list = with_defaults("gradcheck", opts, defaults), leaves(inputs)
  local y = fn(table.unpack(list))
  if not vbl.is_tensor(y) then error("gradcheck: expected a function that returns one tensor, got " .. type(y), 2) end
  local w = weights(y, o.seed)
  ;(y * w):sum():backward()
  local worst = 0
  for i, x in ipairs(list) do
    local grad = x.grad
    if not grad then error(("gradcheck: input %d has no gradient: nothing flows into it"):format(i), 2) end
    each(x:shape(), function(index)
      local want, got = numeric(fn, list, x, index, w, o.h), grad[index]
      local off = math.abs(got - want)
      if not (off <= o.atol + o.rtol * math.abs(want)) then
        error(("gradcheck: input %d at {%s}: gradient %.10g, differences give %.10g"):format(i, table.concat(index, ", "), got, want), 2)
      end
      worst = math.max(worst, off)
    end)
  end
  return worst
end}

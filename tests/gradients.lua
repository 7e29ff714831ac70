-- Gradients of a model's parameters, name -> tensor, for tests that compare two ways to them.
--   gradients.of(list) -> those of {{name =, tensor =}, ...}, copied to the processor
--   gradients.distance(a, b) -> relative L2 distance, over all parameters together
local gradients = {}

function gradients.of(list)
  local found = {}
  for _, p in ipairs(list) do found[p.name] = p.tensor.grad and p.tensor.grad:to("cpu"):clone() end
  return found
end

function gradients.distance(a, b)
  local difference, size = 0, 0
  for name, g in pairs(a) do
    difference = difference + (g:to("f64") - b[name]:to("f64")):square():sum():item()
    size = size + g:to("f64"):square():sum():item()
  end
  return math.sqrt(difference / size)
end

return gradients

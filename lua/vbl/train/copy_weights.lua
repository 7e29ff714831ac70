-- copy_weights(list, tensors, path): the tensors (name -> tensor) of the checkpoint at `path` into a list of parameters, all of which must be there.
local usage = require "vbl.usage"
local vbl = require "vbl"

return function(list, tensors, path)
  vbl.no_grad(function()
    for _, p in ipairs(list) do
      if not tensors[p.name] then usage(("%s: has no tensor '%s': of another model"):format(path, p.name)) end
      p.tensor:copy_(tensors[p.name])
    end
  end)
end

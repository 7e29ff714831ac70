-- vbl: tensors (C, bindings/tensor*.c), and the library's modules, each loaded when it is first used: vbl.models is
-- require "vbl.models". A name that vbl has not is an error that tells the nearest one.
local vbl = require "vbl.tensor.c"

local modules = {
  nn = "modules and functions of networks", optim = "optimizers", sched = "learning-rate schedules", models = "the two-stream transformer",
  tasks = "pretraining and downstream tasks", train = "training", data = "data sets, tokenizer, loader", measure = "measures of alignment",
  metrics = "scores of predictions against labels",
  analysis = "alignment layer by layer", plot = "plots", report = "reports of runs", runs = "run folders", sweep = "sweeps over configs",
  config = "experiment configs", dist = "one run on several processes",
}
-- Functions of vbl that live in a module: vbl.load is require("vbl.store").load.
local functions = {load = "vbl.store", save = "vbl.store", gradcheck = "vbl.gradcheck"}

vbl.document("vbl.load", "load(path, [{header=}]) -> value",
             "By suffix. .npy: a tensor; .npz, .safetensors: name -> tensor (.safetensors: also the names in the file's order, and its metadata); .json: a value;\n" ..
             ".jsonl: a list of values; .tsv, .csv: a list of rows of strings (header = true: each row also by the first row's names); .png, .jpg: u8 [3,H,W].\n" ..
             "Data only: nothing that a file holds runs. An error names the file and the place in it.")
vbl.document("vbl.save", "save(path, value, [{names=, metadata=}])",
             "Writes what vbl.load of that suffix gives, an image also as u8 [1,H,W] or [H,W]; a file is replaced as a whole or stays as it was. .npz, .safetensors:\n" ..
             "names is the order (sorted), metadata name -> string (.safetensors).")

for name, about in pairs(modules) do vbl.document("vbl." .. name, "vbl." .. name, "Module: " .. about .. ".") end

-- Modules in which a name that is not there is an error, as it is in vbl itself; the others answer for themselves.
local whole = {nn = true, optim = true, sched = true, metrics = true, data = true, runs = true, plot = true, dist = true}

local function strict(name, module)
  if not whole[name] or getmetatable(module) then return module end
  return setmetatable(module, {__index = function(_, key)
    local list = {}
    for known in next, module do list[#list + 1] = known end
    error(("vbl.%s has no '%s'%s"):format(name, tostring(key), require("vbl.nearest").hint(tostring(key), list)), 2)
  end})
end

local function names()
  local list = {}
  for name in next, vbl do list[#list + 1] = name end
  for name in pairs(modules) do list[#list + 1] = name end
  for name in pairs(functions) do list[#list + 1] = name end
  return list
end

return setmetatable(vbl, {
  __index = function(self, name)
    local value
    if modules[name] then
      value = strict(name, require("vbl." .. name))
    elseif functions[name] then
      value = require(functions[name])[name]
    else
      error(("vbl has no '%s'%s"):format(tostring(name), require("vbl.nearest").hint(tostring(name), names())), 2)
    end
    rawset(self, name, value)
    return value
  end,
})

-- vbl.optim: AdamW and SGD over a model's parameters.
--
-- Parameters are an ordered list of {name = "bert...weight", tensor = t}, as model:parameters() gives (which also finds a tensor by
-- its name). Decay goes to tensors of two or more dims except cls_token and pos_embed. A parameter that got no gradient since
-- zero_grad is left alone: no decay, no step.
--   local opt = vbl.optim.adamw(model:parameters(), {lr = 1e-4, betas = {.9, .999}, eps = 1e-8, weight_decay = .01, clip = 1})
--   loss:backward()
--   local norm = opt:step()      -- or opt:step(lr); the gradients' global norm before clipping. On a device the host waits for it;
--                                   opt:step(lr, {wait = false}) does not
--   opt:zero_grad()
-- The arithmetic and its source: core/optim/optim.h.
local core = require "vbl.optim.c"
local known = require "vbl.known"
local later = require "vbl.later"
local nearest = require "vbl.nearest"
local show = require("vbl.config.values").show
local sorted_keys = require "vbl.sorted_keys"
local vbl = require "vbl.tensor.c"

local optim = {}

local function split(parameters)
  local names, tensors = {}, {}
  for i, p in ipairs(parameters) do names[i], tensors[i] = p.name, p.tensor end
  if #names == 0 then error("vbl.optim: expected an ordered list of {name=, tensor=}, got none (model:parameters() gives it)", 3) end
  return names, tensors
end

local function decays(name, tensor)
  return tensor:ndim() >= 2 and not name:find "cls_token$" and not name:find "pos_embed$"
end

local Optimizer = {}
Optimizer.__index = Optimizer

-- One step at learning rate lr (default: the one given at the start). Returns the gradients' global norm before clipping.
-- NaN or Inf in a gradient is an error that names the parameter; then nothing has changed.
-- opts.wait = false: on a device the host goes on. The norm comes later (vbl.later), and with it an update; once it turns out to be NaN or Inf, this
-- step and those after it have changed nothing, until :take_back(update), or :refuse(update), which raises that error too.
-- update:norms() are the :norms() of this step.
function Optimizer:step(lr, opts)
  if not opts or opts.wait ~= false then return self.core:step(lr or self.lr) end
  local update = self.core:queue(lr or self.lr)
  if type(update) == "number" then return update end
  return later.new(function() return update:wait() end), update
end
function Optimizer:take_back(update) self.core:take_back(update) end
function Optimizer:refuse(update) self.core:refuse(update) end
-- The norm of each parameter's gradient, in the parameters' order; 0 for one that got none.
function Optimizer:norms() return self.core:norms() end
-- The next backward writes the gradients instead of adding to them.
function Optimizer:zero_grad() self.core:zero_grad() end
-- {m = tensor, v = tensor (AdamW), steps = {one number for each parameter}, parameters = {"NAME [SHAPE]", ...}}: the optimizer's own tensors, not copies.
function Optimizer:state()
  local state = self.core:state()
  state.parameters = table.move(self.parameters, 1, self.count, 1, {})
  return state
end

-- Moments lie side by side without names: those of other parameters would fit wherever the sizes do.
local function check_parameters(self, theirs)
  for i = 1, math.max(self.count, #theirs) do
    local own, other = self.parameters[i] or "none", theirs[i] or "none"
    if own ~= other then
      error(("load_state: parameter %d is %s here and %s in the state: the state is another model's; an optimizer of the same parameters in the same order takes it"):format(
        i, own, tostring(other)), 3)
    end
  end
end

-- Copies such a state in, from any device. Parameters (where the state names them), sizes and counts must be this optimizer's, and m alone is SGD's.
function Optimizer:load_state(state)
  if type(state) ~= "table" then error("load_state: expected what :state() gives, got " .. type(state), 2) end
  if type(state.parameters) == "table" then check_parameters(self, state.parameters) end
  if self.kind == "sgd" and state.v then error("load_state: the state has the moments v of AdamW; this optimizer is SGD", 2) end
  local device = self.core:state().m:device()
  local function here(t) return vbl.is_tensor(t) and t:to(device) or t end
  self.core:load_state {m = here(state.m), v = here(state.v), steps = state.steps}
end
function Optimizer:__tostring() return string.format("%s(lr=%g, %d parameters)", self.kind, self.lr, self.count) end

-- Of each option what it is, and whether a value is that; those not named are numbers.
local function is_number(v) return type(v) == "number" and v >= 0 end
local function is_beta(v) return is_number(v) and v < 1 end

local kinds = {
  betas = {"two numbers from 0 to below 1 such as {0.9, 0.999}", function(v) return type(v) == "table" and #v == 2 and is_beta(v[1]) and is_beta(v[2]) end},
  lr_scale = {"a table {parameter's name = number of at least 0}", function(v)
    if type(v) ~= "table" then return false end
    for name, factor in pairs(v) do
      if type(name) ~= "string" or not is_number(factor) then return false end
    end
    return true
  end},
}
local number = {"a number of at least 0", is_number}

local function check(kind, opts)
  for key, value in pairs(opts) do
    local expected, fits = table.unpack(kinds[key] or number)
    if not fits(value) then
      local ok, got = pcall(show, value)
      error(("vbl.optim.%s: %s: expected %s, got %s"):format(kind, key, expected, ok and got or "a " .. type(value)), 3)
    end
  end
end

local function check_scaled(kind, scales, names)
  local known_names = {}
  for _, name in ipairs(names) do known_names[name] = true end
  for _, name in ipairs(sorted_keys(scales)) do
    if not known_names[name] then
      local whole = name:find("*", 1, true) and "; names are whole here, * stands for itself" or ""
      error(("vbl.optim.%s: lr_scale: no parameter is named '%s'%s%s"):format(kind, name, nearest.hint(name, names), whole), 3)
    end
  end
end

local function new(kind, parameters, given, defaults)
  local opts, keys = {}, {"lr_scale"}
  for key, value in pairs(defaults) do opts[key], keys[#keys + 1] = value, key end
  table.sort(keys)
  for key, value in pairs(known("vbl.optim." .. kind, given, keys)) do opts[key] = value end
  check(kind, opts)
  local names, tensors = split(parameters)
  check_scaled(kind, opts.lr_scale or {}, names)
  local decay, scale = {}, {}
  for i, name in ipairs(names) do
    decay[i] = decays(name, tensors[i])
    scale[i] = opts.lr_scale and opts.lr_scale[name] or 1
  end
  local lr = opts.lr
  opts.lr, opts.lr_scale = nil, nil
  if opts.betas then
    opts.beta1, opts.beta2 = opts.betas[1], opts.betas[2]
    opts.betas = nil
  end
  local described = {}
  for i, name in ipairs(names) do described[i] = ("%s [%s]"):format(name, table.concat(tensors[i]:shape(), ", ")) end
  return setmetatable({core = core.new(kind, names, tensors, decay, scale, opts), kind = kind, lr = lr, count = #names, parameters = described}, Optimizer)
end

vbl.document("vbl.optim.adamw", "adamw(parameters, [{lr = 1e-3, betas = {.9, .999}, eps = 1e-8, weight_decay = .01, clip = 1, lr_scale=}]) -> optimizer",
  "AdamW (Loshchilov and Hutter 2019) as torch.optim.AdamW. clip: global norm over all parameters, 0 is none. lr_scale: name -> factor of the rate;\n" ..
  "a name that no parameter has is an error. " ..
  "optimizer:step([lr, {wait = true}]) -> gradient norm, :norms(), :zero_grad(), :state(), :load_state(state).")
function optim.adamw(parameters, opts)
  return new("adamw", parameters, opts, {lr = 1e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0.01, clip = 1})
end

vbl.document("vbl.optim.sgd", "sgd(parameters, [{lr = .1, momentum = 0, weight_decay = 0, clip = 0, lr_scale=}]) -> optimizer",
  "SGD with momentum, as torch.optim.SGD (no dampening, no Nesterov). Methods as of vbl.optim.adamw.")
function optim.sgd(parameters, opts)
  return new("sgd", parameters, opts, {lr = 0.1, momentum = 0, weight_decay = 0, clip = 0})
end

vbl.document("vbl.optim.pack", "pack(parameters)",
  "Moves the parameters' data into one block in their order, and their gradients into another: one optimizer step is then few kernels, and " ..
  "linears whose weights follow one another are one product. All f32 or all f64. Views made before keep the old data.")
function optim.pack(parameters)
  local _, tensors = split(parameters)
  core.pack(tensors)
end

vbl.document("vbl.optim.ema", "ema(parameters, decay) -> average",
  "An exponential moving average of the weights: average:update(step) after each step of the optimizer, average:during(fn, ...) to evaluate with it, " ..
  "average.list, as the parameters, to save it. The decay of a step is at most (1 + step) / (10 + step). A run's: config ema=0.999.")
optim.ema = require "vbl.optim.ema"

return optim

-- vbl.nn: parameters and the few modules that a transformer is made of.
--
-- A model is built through a scope: scope:parameter(name, shape, init) makes a leaf tensor and lists it under its full name
-- ("bert.encoder.layer.0.output.dense.weight"), so a model's parameters are one ordered list, named as the files of the field
-- name them. The math (forward and backward) is C: vbl.nn.functional.
local vbl = require "vbl"
local F = require "vbl.nn.functional"

local nn = {functional = F}

-- Initialisers: init(shape) -> tensor. fan_in is the number of inputs of a weight [out, in, ...].
nn.init = {
  -- All 0.
  zeros = function(shape) return vbl.zeros(table.unpack(shape)) end,
  -- All 1.
  ones = function(shape) return vbl.ones(table.unpack(shape)) end,
}

-- Normal(0, std) cut at +-2, as BERT (std 0.02) and timm's trunc_normal_ (std 0.02, bounds -2 and 2) draw it.
function nn.init.normal(std)
  return function(shape) return (vbl.randn(table.unpack(shape)) * std):maximum(-2):minimum(2) end
end

-- Uniform in +-1/sqrt(fan_in): the default of PyTorch's nn.Linear (Kaiming uniform with a = sqrt 5).
function nn.init.fan_in(fan_in)
  return function(shape)
    local bound = 1 / math.sqrt(fan_in)
    return vbl.rand(table.unpack(shape)) * (2 * bound) - bound
  end
end

-- A parameter that has a shape and no memory, for counting a model (--plan) without making it.
local Shape = {}
Shape.__index = Shape
function Shape:numel()
  local n = 1
  for _, d in ipairs(self.dims) do n = n * d end
  return n
end
function Shape:shape() return self.dims end
function Shape:requires_grad_(on)
  self.requires_grad = on
  return self
end

local Scope = {}
Scope.__index = Scope

-- list: the model's array of {name=, tensor=}; weight_init: fan_in -> initialiser of weights; bias_init likewise. list.dry: parameters
-- are shapes only; "empty": tensors that nothing is written to.
function nn.scope(list, prefix, weight_init, bias_init)
  return setmetatable({list = list, prefix = prefix, weight_init = weight_init, bias_init = bias_init}, Scope)
end

-- A scope whose names start with this one's prefix and `name`.
function Scope:child(name)
  return nn.scope(self.list, self.prefix .. name .. ".", self.weight_init, self.bias_init)
end

function Scope:parameter(name, shape, init)
  local dry = self.list.dry
  local tensor = dry == "empty" and vbl.empty(shape):keep() or dry and setmetatable({dims = shape}, Shape) or vbl.no_grad(init, shape):keep()
  tensor:requires_grad_(true)
  local full = self.prefix .. name
  self.list[#self.list + 1] = {name = full, tensor = tensor}
  self.list[full] = tensor
  return tensor
end

-- The scope for a part's parameters; `signature` is what an error tells.
local function child(scope, name, signature)
  if getmetatable(scope) ~= Scope or type(name) ~= "string" then
    error(("vbl.nn.%s: expected %s: a model's parameters are one list, which a scope names them in (vbl.nn.scope; lua/vbl/models/heads.lua uses it)")
          :format(signature:match "^%a+", signature), 3)
  end
  return scope:child(name)
end

local function module(class)
  class.__index = class
  class.__call = function(self, ...) return self:forward(...) end
  return class
end

local Linear = module {}

-- y = x W' + b [, then GELU (erf)]. weight [out, in], bias [out]. opts: F.linear's (gelu, wide).
function nn.Linear(scope, name, inputs, outputs, opts)
  local s = child(scope, name, "Linear(scope, name, inputs, outputs)")
  return setmetatable({
    path = scope.prefix .. name, inputs = inputs, outputs = outputs, opts = opts,
    weight = s:parameter("weight", {outputs, inputs}, s.weight_init(inputs)),
    bias = s:parameter("bias", {outputs}, s.bias_init(inputs)),
  }, Linear)
end
function Linear:forward(x) return nn.at(self.path, F.linear, x, self.weight, self.bias, self.opts) end
function Linear:__tostring() return string.format("Linear(%d -> %d)", self.inputs, self.outputs) end

local LinearGroup = module {}

-- Query, key and value side by side: y [N, 3 * outputs] from one GEMM (the three weights are neighbours in memory).
function nn.LinearGroup(scope, names, inputs, outputs)
  local weights, biases = {}, {}
  for i, name in ipairs(names) do
    weights[i] = scope:parameter(name .. ".weight", {outputs, inputs}, scope.weight_init(inputs))
  end
  for i, name in ipairs(names) do
    biases[i] = scope:parameter(name .. ".bias", {outputs}, scope.bias_init(inputs))
  end
  return setmetatable({path = scope.prefix .. names[1], inputs = inputs, outputs = outputs, weights = weights, biases = biases},
                      LinearGroup)
end
function LinearGroup:forward(x) return nn.at(self.path, F.linear_group, x, self.weights, self.biases) end
function LinearGroup:__tostring() return string.format("LinearGroup(%d -> %d x %d)", self.inputs, #self.weights, self.outputs) end

local LayerNorm = module {}

-- Normalises rows of `width` and scales them: weight [width] of ones, bias [width] of zeros. opts.narrow: its result is read by products
-- alone (F.layer_norm).
function nn.LayerNorm(scope, name, width, eps, opts)
  local s = child(scope, name, "LayerNorm(scope, name, width, eps)")
  return setmetatable({
    path = scope.prefix .. name, width = width, eps = eps, narrow = opts and opts.narrow,
    weight = s:parameter("weight", {width}, nn.init.ones), bias = s:parameter("bias", {width}, nn.init.zeros),
  }, LayerNorm)
end
function LayerNorm:forward(x) return nn.at(self.path, F.layer_norm, x, self.weight, self.bias, {eps = self.eps, narrow = self.narrow}) end
-- sum = residual + dropout(x), y = norm(sum); drop: nn.dropout's result. Returns y, sum.
function LayerNorm:residual(x, residual, drop)
  local attrs = {eps = self.eps, narrow = self.narrow}
  for k, v in pairs(drop) do attrs[k] = v end
  local sum, y = nn.at(self.path, F.residual_norm, x, residual, self.weight, self.bias, attrs)
  return y, sum
end
function LayerNorm:__tostring() return string.format("LayerNorm(%d, eps=%g)", self.width, self.eps) end

-- Calls fn(...); an error gets the module's path before its message: "bert.encoder.layer.0.output.dense: linear: expected ...".
-- Errors of the core are strings "file:line: message"; the place goes to the front again.
function nn.at(path, fn, ...)
  local function give(ok, ...)
    if ok then return ... end
    local message = ...
    if type(message) ~= "string" then error(message, 0) end
    local where, rest = message:match("^([^%s:]+:%d+: )(.*)$")
    error((where or "") .. path .. ": " .. (rest or message), 0)
  end
  return give(pcall(fn, ...))
end

-- Fields that a dropout site adds to an op's options. ctx: the pass's {p, seed, step, training, again = it goes through the same modules for a
-- second time}; rows i32 [N, 2] (sample, position), or for attention `samples` i32 [B], numbered by vbl.models.layout.numbers: of a step's passes
-- each sample draws its own mask, whatever it is batched with. Not training, or p = 0: nothing is dropped.
function nn.dropout(ctx, site, rows, samples)
  if not ctx.training or ctx.p == 0 then return {} end
  return {p = ctx.p, seed = ctx.seed, step = ctx.step, site = site + (ctx.again and 1024 or 0), rows = rows, samples = samples}
end

-- fn(x, ...), tensors in and out: with ctx.checkpointing only what goes in is kept for backward, which runs fn again (vbl.checkpoint). Its gradients
-- are then those without, bit for bit, where nothing but fn needs a gradient of what goes in: sums are in the same order. Without: what no backward needs is
-- given back at fn's end, not when Lua's collector comes; but where ctx.attend keeps what it sees.
function nn.checkpoint(ctx, fn, ...)
  if ctx.checkpointing then return vbl.checkpoint(fn, ...) end
  if ctx.attend then return fn(...) end
  return vbl.scope(fn, ...)
end

-- The attention of a layer, called `name` as its tap ("text.0", "vision.3", "fusion.1.text"): queries in qkv [N, 3 W] over its own keys and
-- values or those of `other` [M, 3 W], by the fused kernel, which keeps the probabilities nowhere. ctx.attend(name, qkv, other or qkv, q_seg,
-- k_seg, attrs) -> [N, W], where it is set, does it in its place (vbl.analysis.attention).
function nn.attention(ctx, name, qkv, lay, attrs, other, other_lay)
  other_lay = other and other_lay or lay
  local keys = other_lay.keys
  attrs.longest_q, attrs.longest_k, attrs.even = lay.longest, other_lay.longest, lay.even and other_lay.even
  attrs.whole = lay.whole and other_lay.whole
  if ctx.attend then return ctx.attend(name, qkv, other or qkv, lay.seg, keys, attrs) end
  if other then return F.cross_attention(qkv, other, lay.seg, keys, attrs) end
  return F.self_attention(qkv, lay.seg, keys, attrs)
end

return nn

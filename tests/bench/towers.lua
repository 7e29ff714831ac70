-- The model of the step benchmark (peer_torch.py step): two towers without fusion, 256 wide, 4 + 4 layers, 4 heads, B = 32, 64 text and
-- 50 image tokens, InfoNCE over bias-free projections of the CLS rows, AdamW; 8,724,992 parameters.
-- towers.step() -> loss; towers.parameters; towers.sizes: what the counted floor needs
local vbl = require "vbl"
local nn = require "vbl.nn"
local F = vbl.nn.functional
local bert = require "vbl.models.bert"
local vit = require "vbl.models.vit"
local layout = require "vbl.models.layout"

local B, T, P = 32, 64, 50
local c = {dim = 256, layers = 4, attention_heads = 4, mlp = 1024, image = 112, patch = 16, vocab = 8000, max_positions = 64, text_norm = "post",
           mean = {0.5, 0.5, 0.5}, std = {0.5, 0.5, 0.5}}
vbl.manual_seed(1)
local list = {}
local function fan_in(n) return nn.init.fan_in(n) end
local scope = nn.scope(list, "", fan_in, fan_in)
local function site() return 0 end
local text, vision = bert.new(scope, c, site), vit.new(scope, c, site)
local text_proj = scope:parameter("text_proj.weight", {256, 256}, fan_in(256))
local image_proj = scope:parameter("image_proj.weight", {256, 256}, fan_in(256))
-- The peer has no pooler.
local parameters = {}
for _, p in ipairs(list) do
  if not p.name:find "pooler" then parameters[#parameters + 1] = p end
end
vbl.optim.pack(parameters)
local optimizer = vbl.optim.adamw(parameters, {lr = 1e-3, betas = {0.9, 0.98}, weight_decay = 0.01, clip = 0})

local lengths, samples = {}, {}
for b = 1, B do lengths[b], samples[b] = T, b - 1 end
local tokens = vbl.randint(0, 8000, B, T)
local images = vbl.randn(B, 3, 112, 112)
lengths = vbl.tensor(lengths, {dtype = "i32"})

local function step()
  local tl, vl = layout.text(tokens, lengths, samples, T, true), layout.image(B, P, samples)
  local ctx = {training = true, p = 0, pass = 0}
  local t, v = text:embed(tl, ctx), vision:embed(images, nil, vl, ctx)
  for i = 1, c.layers do
    t = text.layers[i]:forward(t, tl, ctx)
    v = vision.layers[i]:forward(v, vl, ctx)
  end
  v = vision.norm(v)
  local q = F.normalize_rows(F.linear(F.gather_rows(t, tl.cls), text_proj))
  local k = F.normalize_rows(F.linear(F.gather_rows(v, vl.cls), image_proj))
  local loss = F.info_nce(q, k, {temperature = 0.07, symmetric = true})
  optimizer:zero_grad()
  loss:backward()
  optimizer:step(1e-3)
  return loss:item()
end

return {step = step, parameters = parameters, sizes = {B = B, T = T, P = P, D = c.dim, F = c.mlp, L = c.layers}}

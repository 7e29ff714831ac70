-- The image stream: ViT (Dosovitskiy et al. 2021) with timm's parameter names. Pre-LN: y = x + attention(LN(x)),
-- z = y + mlp(LN(y)); `vit.norm` once after the last block.
local nn = require "vbl.nn"
local F = require "vbl.nn.functional"

local vit = {}

local Block = {}
Block.__index = Block

local function block(scope, c, sites, name)
  local D = c.dim
  return setmetatable({
    name = name, heads = c.attention_heads, sites = {sites(), sites(), sites()},
    norm1 = nn.LayerNorm(scope, "norm1", D, c.vision_eps, {narrow = true}),
    qkv = nn.Linear(scope, "attn.qkv", D, 3 * D),
    proj = nn.Linear(scope, "attn.proj", D, D),
    norm2 = nn.LayerNorm(scope, "norm2", D, c.vision_eps, {narrow = true}),
    fc1 = nn.Linear(scope, "mlp.fc1", D, c.mlp, {gelu = true}),
    fc2 = nn.Linear(scope, "mlp.fc2", c.mlp, D),
  }, Block)
end

function Block:forward(x, lay, ctx)
  local s = self.sites
  local attrs = nn.dropout(ctx, s[1], nil, lay.samples)
  attrs.heads = self.heads
  local a = self.proj(nn.attention(ctx, self.name, self.qkv(self.norm1(x)), lay, attrs))
  local n, y = self.norm2:residual(a, x, nn.dropout(ctx, s[2], lay.rows))
  return F.dropout_add(self.fc2(self.fc1(n)), y, nn.dropout(ctx, s[3], lay.rows))
end

local Vit = {}
Vit.__index = Vit

function vit.new(scope, c, sites)
  local s = scope:child("vit")
  local D, P = c.dim, (c.image // c.patch) ^ 2 // 1 | 0
  local self = setmetatable({patch = c.patch, mean = c.mean, std = c.std, path = s.prefix, site = sites(), layers = {}}, Vit)
  self.cls = s:parameter("cls_token", {1, 1, D}, nn.init.normal(0.02))
  self.pos = s:parameter("pos_embed", {1, P + 1, D}, nn.init.normal(0.02))
  local k = 3 * c.patch * c.patch
  self.weight = s:parameter("patch_embed.proj.weight", {D, 3, c.patch, c.patch}, s.weight_init(k))
  self.bias = s:parameter("patch_embed.proj.bias", {D}, s.bias_init(k))
  for i = 1, c.layers do self.layers[i] = block(s:child("blocks." .. i - 1), c, sites, "vision." .. i - 1) end
  self.norm = nn.LayerNorm(s, "norm", D, c.vision_eps)
  if c.mask_token then self.mask_token = s:parameter("mask_token", {1, D}, nn.init.normal(0.02)) end
  return self
end

-- images u8 (normalised here) or f32 (normalised already) [B, 3, S, S]; mask u8 [B, P] or nil: 1 = the patch is hidden, by the mean
-- pixel (zeros after normalisation) or, where the model has one, by the learned mask token in place of its embedding.
function Vit:embed(images, mask, lay, ctx)
  local device = self.weight:device()
  images, mask = images:to(device), mask and mask:to(device)
  local token = mask and self.mask_token
  local patches = F.patchify(images, {patch = self.patch, mean = self.mean, std = self.std, mask = not token and mask and mask:reshape(-1) or nil})
  local x = nn.at(self.path .. "patch_embed.proj", F.linear, patches, self.weight:reshape(self.weight:size(1), -1), self.bias, {wide = true})
  if token then
    local hidden = mask:reshape(-1, 1):to("f32")
    x = x * (1 - hidden) + hidden:matmul(token)
  end
  x = nn.at(self.path .. "pos_embed", F.vit_assemble, x, self.cls, self.pos, {samples = lay.B})
  local drop = nn.dropout(ctx, self.site, lay.rows)
  return drop.p and F.dropout_add(x, nil, drop) or x
end

return vit

-- One block of the fusion, both streams (ViLBERT, Lu et al. 2019; the form is fixed by the formula here). For each stream, with x
-- its input and n = norm1(x): y = norm2(x + proj(attention)), output = y + fc2(gelu(fc1(norm3(y)))).
-- Both streams read the block's inputs. In a co-attending block the queries of one stream meet the keys and values that the *other*
-- stream's norm1 and projections make of its own input; else each stream attends within itself.
local nn = require "vbl.nn"
local F = require "vbl.nn.functional"

local fusion = {}

local Block = {}
Block.__index = Block

-- width: the streams'; dim, heads: the attention's; mlp: hidden width; co: whether it attends across.
function fusion.block(scope, c, width, dim, heads, co, sites)
  local self = setmetatable({co = co, heads = heads}, Block)
  for _, name in ipairs {"text", "vision"} do
    local s = scope:child(name)
    self[name] = {
      name = s.prefix:sub(1, -2),
      sites = {sites(), sites(), sites()},
      norm1 = nn.LayerNorm(s, "norm1", width, 1e-5, {narrow = true}),
      qkv = nn.LinearGroup(s, {"query", "key", "value"}, width, dim),
      proj = nn.Linear(s, "proj", dim, width),
      norm2 = nn.LayerNorm(s, "norm2", width, 1e-5),
      norm3 = nn.LayerNorm(s, "norm3", width, 1e-5, {narrow = true}),
      fc1 = nn.Linear(s, "fc1", width, c.mlp, {gelu = true}),
      fc2 = nn.Linear(s, "fc2", c.mlp, width),
    }
  end
  return self
end

-- A block's two parts for one stream; between them it needs the other's first part, and nothing else of it. name: "text" or "vision".
-- rows [N, D] -> queries, keys, values [N, dim] each
function Block:project(name, x)
  local m = self[name]
  return m.qkv(m.norm1(x))
end

-- x: the block's input rows [N, D]; qkv, other_qkv: what :project made of both streams' -> the same
function Block:attend(name, x, qkv, other_qkv, lay, other_lay, ctx)
  local m = self[name]
  local attrs = nn.dropout(ctx, m.sites[1], nil, lay.samples)
  attrs.heads = self.heads
  local a = nn.attention(ctx, m.name, qkv, lay, attrs, self.co and other_qkv, other_lay)
  local y = m.norm2:residual(m.proj(a), x, nn.dropout(ctx, m.sites[2], lay.rows))
  return F.dropout_add(m.fc2(m.fc1(m.norm3(y))), y, nn.dropout(ctx, m.sites[3], lay.rows))
end

return fusion

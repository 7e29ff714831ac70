-- The text stream: BERT (Devlin et al. 2019) with Hugging Face's parameter names. Post-LN: y = LN(x + attention(x)),
-- z = LN(y + mlp(y)). text_norm = "pre" moves each LN before its sublayer and adds one after the last layer.
local nn = require "vbl.nn"
local F = require "vbl.nn.functional"

local bert = {}

local Layer = {}
Layer.__index = Layer

local function layer(scope, c, sites, name)
  local D, pre = c.dim, c.text_norm == "pre"
  local norm = {narrow = pre}  -- post-LN's results are the residual stream
  return setmetatable({
    name = name, heads = c.attention_heads, pre = pre, sites = {sites(), sites(), sites()},
    qkv = nn.LinearGroup(scope, {"attention.self.query", "attention.self.key", "attention.self.value"}, D, D),
    out = nn.Linear(scope, "attention.output.dense", D, D),
    norm1 = nn.LayerNorm(scope, "attention.output.LayerNorm", D, c.text_eps, norm),
    fc1 = nn.Linear(scope, "intermediate.dense", D, c.mlp, {gelu = true}),
    fc2 = nn.Linear(scope, "output.dense", c.mlp, D),
    norm2 = nn.LayerNorm(scope, "output.LayerNorm", D, c.text_eps, norm),
  }, Layer)
end

local function attend(self, x, lay, ctx)
  local attrs = nn.dropout(ctx, self.sites[1], nil, lay.samples)
  attrs.heads = self.heads
  return self.out(nn.attention(ctx, self.name, self.qkv(x), lay, attrs))
end

function Layer:forward(x, lay, ctx)
  local s = self.sites
  if self.pre then
    local y, sum = self.norm2:residual(attend(self, self.norm1(x), lay, ctx), x, nn.dropout(ctx, s[2], lay.rows))
    return F.dropout_add(self.fc2(self.fc1(y)), sum, nn.dropout(ctx, s[3], lay.rows))
  end
  local y = self.norm1:residual(attend(self, x, lay, ctx), x, nn.dropout(ctx, s[2], lay.rows))
  return (self.norm2:residual(self.fc2(self.fc1(y)), y, nn.dropout(ctx, s[3], lay.rows)))
end

local Bert = {}
Bert.__index = Bert

-- sites: function that numbers dropout sites.
function bert.new(scope, c, sites)
  local s = scope:child("bert")
  local D, e = c.dim, s:child("embeddings")
  local self = setmetatable({site = sites(), layers = {}}, Bert)
  self.word = e:parameter("word_embeddings.weight", {c.vocab, D}, nn.init.normal(0.02))
  self.position = e:parameter("position_embeddings.weight", {c.max_positions, D}, nn.init.normal(0.02))
  self.type = e:parameter("token_type_embeddings.weight", {2, D}, nn.init.normal(0.02))
  self.norm = nn.LayerNorm(e, "LayerNorm", D, c.text_eps)
  for i = 1, c.layers do self.layers[i] = layer(s:child("encoder.layer." .. i - 1), c, sites, "text." .. i - 1) end
  if c.text_norm == "pre" then self.final_norm = nn.LayerNorm(s, "encoder.norm", D, c.text_eps) end
  -- BERT's files carry a pooler; it is kept so that they load and save whole, and takes no part in any forward.
  nn.Linear(s, "pooler.dense", D, D)
  return self
end

-- lay: layout.text's result -> rows [N, D]
function Bert:embed(lay, ctx)
  local x = self.norm(F.text_embedding(lay.ids, lay.pos, self.word, self.position, self.type))
  local drop = nn.dropout(ctx, self.site, lay.rows)
  return drop.p and F.dropout_add(x, nil, drop) or x
end

-- After the last layer: the pre-LN stream's closing norm (post-LN needs none).
function Bert:finish(x) return self.final_norm and self.final_norm(x) or x end

return bert

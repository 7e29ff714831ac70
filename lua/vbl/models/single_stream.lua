-- fusion = "single_stream": one transformer over the text tokens and the patches of a pair (ViLT, Kim et al. 2021). The text has BERT's
-- embeddings and no layers of its own; every block of the ViT sees both. Token type 0 marks text, 1 patches. With co-attention off
-- (cross = false) the blocks see each side by itself.
--   single.layout(text_lay, vision_lay, positions) -> the layout of the joint rows: a sample's patches, then its text
--   single.run(model, t, v, text_lay, vision_lay, ctx) -> text rows, vision rows
local i32 = require "vbl.models.i32"
local vbl = require "vbl"
local nn = require "vbl.nn"
local F = require "vbl.nn.functional"

local single = {}

-- Patches first: padding that stands as rows (packed = false) is then behind the last key.
function single.layout(tl, vl)
  local device = tl.ids:device()
  local P, seg, keys, from, rows = vl.P, {}, {}, {}, {}
  local text, vision, n = {}, {}, 0
  for b = 1, tl.B do
    local start, count, sample = tl.first[b], tl.counts[b], tl.numbers[b]
    seg[2 * b - 1], seg[2 * b], keys[2 * b - 1], keys[2 * b] = n, P + count, n, P + tl.lengths[b]
    for p = 0, P - 1 do
      from[n + 1], vision[(b - 1) * P + p + 1] = tl.N + (b - 1) * P + p, n
      if tl.rows then rows[2 * n + 1], rows[2 * n + 2] = sample, p end
      n = n + 1
    end
    for t = 0, count - 1 do
      from[n + 1], text[start + t + 1] = start + t, n
      if tl.rows then rows[2 * n + 1], rows[2 * n + 2] = sample, P + t end
      n = n + 1
    end
  end
  return {B = tl.B, N = n, longest = P + tl.longest, whole = tl.whole, seg = i32(device, seg, 2), keys = i32(device, keys, 2),
          rows = tl.rows and i32(device, rows, 2), samples = tl.samples, from = i32(device, from), text = i32(device, text), vision = i32(device, vision)}
end

local function encode(block, x, lay, ctx)
  return nn.checkpoint(ctx, function(rows) return block:forward(rows, lay, ctx) end, x)
end

local function apart(model, t, v, tl, vl, ctx)
  for i, block in ipairs(model.vision.layers) do
    t, v = encode(block, t, tl, ctx), encode(block, v, vl, ctx)
    ctx.tap("text." .. i - 1, t, tl)
    ctx.tap("vision." .. i - 1, v, vl)
  end
  return model.vision.norm(t), model.vision.norm(v)
end

function single.run(model, t, v, tl, vl, ctx)
  v = v + model.text.type:narrow(1, 2, 1)
  if not ctx.cross then return apart(model, t, v, tl, vl, ctx) end
  local lay = single.layout(tl, vl)
  local x = F.gather_rows(vbl.cat({t, v}, 1), lay.from)
  local function side(name, rows) return F.gather_rows(rows, lay[name]) end
  for i, block in ipairs(model.vision.layers) do
    x = encode(block, x, lay, ctx)
    if model.tapped["text." .. i - 1] then ctx.tap("text." .. i - 1, side("text", x), tl) end
    if model.tapped["vision." .. i - 1] then ctx.tap("vision." .. i - 1, side("vision", x), vl) end
  end
  x = model.vision.norm(x)
  return side("text", x), side("vision", x)
end

return single

-- vbl.nn.functional: the ops of the core (vbl.functional.c: one C row each, ?vbl.nn.functional.linear tells all) and what
-- is said more shortly for a model. Index tensors are data: they count from 0.
local F = require "vbl.functional.c"
local document = require("vbl.tensor.c").document

-- Columns i W + 1 .. (i + 1) W of a matrix that holds queries (0), keys (1) and values (2) side by side.
local function block(qkv, i)
  local W = qkv:size(2) // 3
  return qkv:narrow(2, i * W + 1, W)
end

document("vbl.nn.functional.cross_attention", "cross_attention(qkv, other_qkv, q_seg, k_seg, {heads=, ...}) -> o",
         "F.attention of the queries in qkv [N, 3 W] over the keys and values in other_qkv [M, 3 W]. o [N, W].")
function F.cross_attention(qkv, other_qkv, q_seg, k_seg, attrs)
  return F.attention(block(qkv, 0), block(other_qkv, 1), block(other_qkv, 2), q_seg, k_seg, attrs)
end

return F

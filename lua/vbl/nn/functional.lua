-- vbl.nn.functional: the ops of the core (vbl.functional.c: one C row each, ?vbl.nn.functional.linear tells all) and what
-- is said more shortly for a model. Index tensors are data: they count from 0.
local F = require "vbl.functional.c"
local document = require("vbl.tensor.c").document

local function with(attrs, more)
  local all = {}
  for k, v in pairs(attrs or {}) do all[k] = v end
  for k, v in pairs(more) do all[k] = v end
  return all
end

document("vbl.nn.functional.self_attention", "self_attention(qkv, q_seg, k_seg, {heads=, ...}) -> o",
         "F.attention of one matrix qkv [N, 3 W] that holds queries, keys and values side by side (linear_group makes it). o [N, W].")
function F.self_attention(qkv, q_seg, k_seg, attrs)
  local W = qkv:size(2) // 3
  return F.attention(qkv, nil, nil, q_seg, k_seg, with(attrs, {width = W, k_column = W, v_column = 2 * W}))
end

document("vbl.nn.functional.cross_attention", "cross_attention(qkv, other_qkv, q_seg, k_seg, {heads=, ...}) -> o",
         "F.attention of the queries in qkv [N, 3 W] over the keys and values in other_qkv [M, 3 W]. o [N, W].")
function F.cross_attention(qkv, other_qkv, q_seg, k_seg, attrs)
  local W = qkv:size(2) // 3
  return F.attention(qkv, other_qkv, nil, q_seg, k_seg, with(attrs, {width = W, k_column = W, v_column = 2 * W}))
end

return F

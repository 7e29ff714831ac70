-- gpu_batch(config, B): the batch of B samples that gpu.py trains on, but for the words, which are of no matter to time and memory but by whether two captions are equal, and
-- without images. Captions have the lengths of Flickr8k's quantiles; every second one is another's for AP; tables of integers lie on the host.
local vbl = require "vbl"

-- Captions' tokens, [CLS] and [SEP] included: Flickr8k's quantiles, as in gpu.py.
local LENGTHS = {7, 9, 9, 10, 10, 10, 11, 11, 12, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15, 16, 16, 16, 17, 17, 18, 19, 19, 20, 22, 25}

return function(c, B)
  local lengths, T = {}, 0
  for i = 1, B do
    lengths[i] = LENGTHS[(i - 1) % #LENGTHS + 1]
    T = math.max(T, lengths[i])
  end
  local tokens, masked, labels, inside = {}, {}, {}, 0
  for b = 1, B do
    tokens[b], masked[b], labels[b] = {}, {}, {}
    for t = 1, T do
      local word = t > 1 and t < lengths[b]
      tokens[b][t] = word and 104 + (b * 977 + t * 7919) % (c.vocab - 104) or t <= lengths[b] and 101 or 0
      labels[b][t] = word and inside % 7 == 0 and tokens[b][t] or -100
      masked[b][t] = labels[b][t] >= 0 and 103 or tokens[b][t]
      if word then inside = inside + 1 end
    end
  end
  local mask, ap, ap_tokens, ap_lengths = {}, {}, {}, {}
  for b = 1, B do
    local of = b % 2 == 1 and b or b > 2 and b - 2 or B - B % 2
    mask[b], ap[b], ap_tokens[b], ap_lengths[b] = {}, b % 2, tokens[of], lengths[of]
    for p = 1, (c.image // c.patch) ^ 2 do mask[b][p] = p % 3 == 1 and 1 or 0 end
  end
  local function i32(t) return vbl.tensor(t, {dtype = "i32", device = "cpu"}) end
  return {tokens = i32(tokens), mlm_tokens = i32(masked), ap_tokens = i32(ap_tokens), mlm_labels = i32(labels), lengths = i32(lengths), ap_lengths = i32(ap_lengths),
          ap_labels = i32(ap),
          mask = vbl.tensor(mask, {dtype = "u8", device = "cpu"})}
end

-- Where each token stands: the index tensors that one batch's forward pass needs, made once and shared by all layers.
--
-- Text is packed: the rows of sample b are the consecutive rows offsets[b] .. + lengths[b], so that padding costs nothing.
-- `packed = false` keeps the padding as rows (masked as keys): the same outputs on real tokens, for comparison only.
local i32 = require "vbl.models.i32"

local layout = {}

-- The numbers of B samples that are a batch by themselves.
function layout.samples(B)
  local samples = {}
  for b = 1, B do samples[b] = b - 1 end
  return samples
end

-- Numbers of samples for dropout's counters: each pass of a step has its own, and none depends on what else is in the batch. samples: array of numbers in
-- the effective batch, below 2^20; pass: number of the pass within the step, below 2^11.
function layout.numbers(samples, pass)
  if pass < 0 or pass >= 1 << 11 then error(("pass: expected a number from 0 to 2047, got %d"):format(pass), 0) end
  local numbers = {}
  for b, sample in ipairs(samples) do
    if sample < 0 or sample >= 1 << 20 then error(("samples[%d]: expected a number from 0 to 1048575, got %d"):format(b, sample), 0) end
    numbers[b] = sample + (pass << 20)
  end
  return numbers
end

-- tokens i32 [B, T], lengths i32 [B]; samples: Lua array of B numbers (layout.numbers);
-- device: where the index tensors go (where new tensors go); calm: there is no dropout, so rows and samples, which it alone reads, are left out.
-- Returns {B, T, N, longest = of the segments, whole = whether seg and keys are all rows, ids [N], pos [N], seg [B,2] (of the queries), keys [B,2], rows [N,2],
-- cls [B], samples [B], scatter [N] (row -> b*T+t)} and Lua arrays by sample: lengths, first = first row, counts = rows, numbers.
function layout.text(tokens, lengths, samples, max_positions, packed, device, calm)
  local B, T = tokens:size(1), tokens:size(2)
  local rows_of, len = tokens:totable(), lengths:totable()
  local ids, pos, seg, keys, rows, cls, scatter, first, counts = {}, {}, {}, {}, {}, {}, {}, {}, {}
  local n, longest = 0, 0
  for b = 1, B do
    if len[b] < 1 or len[b] > T then
      error(string.format("lengths[%d]: expected 1 to %d (the columns of tokens), got %d", b, T, len[b]), 0)
    end
    if len[b] > max_positions then
      error(string.format("lengths[%d] = %d is longer than max_positions = %d", b, len[b], max_positions), 0)
    end
    local count = packed and len[b] or T
    longest, counts[b] = math.max(longest, count), count
    seg[2 * b - 1], seg[2 * b] = n, count
    keys[2 * b - 1], keys[2 * b] = n, len[b]
    cls[b], first[b] = n, n
    for t = 1, count do
      n = n + 1
      ids[n], pos[n] = rows_of[b][t], t - 1
      if not calm then rows[2 * n - 1], rows[2 * n] = samples[b], t - 1 end
      scatter[n] = t <= len[b] and (b - 1) * T + t - 1 or -1
    end
  end
  return {B = B, T = T, N = n, longest = longest, whole = packed, lengths = len, first = first, counts = counts, numbers = samples,
          ids = i32(device, ids), pos = i32(device, pos), seg = i32(device, seg, 2), keys = i32(device, keys, 2), cls = i32(device, cls),
          scatter = i32(device, scatter), rows = not calm and i32(device, rows, 2) or nil, samples = not calm and i32(device, samples) or nil}
end

local kept = {}

-- The rows of B images of P tokens, kept between steps: those of fewer images are the first of the same.
local function image_rows(B, P, device)
  if kept.P ~= P or kept.device ~= device or kept.B < B then
    local seg, cls = {}, {}
    for b = 0, B - 1 do
      seg[2 * b + 1], seg[2 * b + 2] = b * P, P
      cls[b + 1] = b * P
    end
    kept = {B = B, P = P, device = device, seg = i32(device, seg, 2):keep(), cls = i32(device, cls):keep()}
  end
  return kept.seg:narrow(1, 1, B), kept.cls:narrow(1, 1, B)
end

local function dropout_rows(B, P, samples, device)
  local rows, n = {}, 0
  for b = 1, B do
    for t = 0, P - 1 do
      rows[n + 1], rows[n + 2] = samples[b], t
      n = n + 2
    end
  end
  return i32(device, rows, 2)
end

-- B images of P tokens each (CLS included). calm: as of layout.text.
function layout.image(B, P, samples, device, calm)
  local seg, cls = image_rows(B, P, device)
  local lay = {B = B, P = P, N = B * P, longest = P, even = true, whole = true, seg = seg, keys = seg, cls = cls}
  if not calm then lay.rows, lay.samples = dropout_rows(B, P, samples, device), i32(device, samples) end
  return lay
end

-- Where the rows of a part's texts go in [B, T], made for whoever asks for it.
local function scatter_of(part)
  local scatter = {}
  for b = 1, part.B do
    for t = 1, part.counts[b] do scatter[#scatter + 1] = t <= part.lengths[b] and (b - 1) * part.T + t - 1 or -1 end
  end
  return i32(part.cls:device(), scatter)
end

local part_fields = {__index = function(part, key)
  if key == "scatter" then return scatter_of(part) end
end}

-- Of a batch's layouts those of its samples from .. from + n - 1 by themselves, of captions T wide (nil: the batch's T), without ids and pos, which
-- nothing after the embeddings needs. Returns the layout and the row before its first, of the batch's.
function layout.part_of_text(lay, from, n, T)
  local before, rows, device = lay.first[from], 0, lay.cls:device()
  local part = setmetatable({B = n, T = lay.whole and T or lay.T, longest = 0, whole = lay.whole, lengths = {}, first = {}, counts = {}, numbers = {}}, part_fields)
  local seg, keys = {}, {}
  for b = 1, n do
    local count, length = lay.counts[from + b - 1], lay.lengths[from + b - 1]
    part.first[b], part.counts[b], part.lengths[b], part.numbers[b] = rows, count, length, lay.numbers[from + b - 1]
    seg[2 * b - 1], seg[2 * b], keys[2 * b - 1], keys[2 * b] = rows, count, rows, length
    part.longest, rows = math.max(part.longest, count), rows + count
  end
  part.N, part.cls, part.seg, part.keys = rows, i32(device, part.first), i32(device, seg, 2), i32(device, keys, 2)
  if lay.rows then part.rows, part.samples = lay.rows:narrow(1, before + 1, rows), lay.samples:narrow(1, from, n) end
  return part, before
end

function layout.part_of_image(lay, from, n)
  local before, rows = (from - 1) * lay.P, n * lay.P
  local seg = lay.seg:narrow(1, 1, n)
  return {B = n, P = lay.P, N = rows, longest = lay.P, even = true, whole = true, seg = seg, keys = seg, cls = lay.cls:narrow(1, 1, n),
          rows = lay.rows and lay.rows:narrow(1, before + 1, rows), samples = lay.samples and lay.samples:narrow(1, from, n)}, before
end

return layout

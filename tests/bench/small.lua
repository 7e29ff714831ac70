-- vbl's side of `peer_torch.py small`: the preset small, stacked depth 4, B = 32 with caption lengths of Flickr8k, MLM + AP + MIM, four passes.
-- padded=N: the same step with every caption padded to N tokens, the padding computed (our own slow path, for comparison).
--   vbl tests/bench/small.lua [steps] [threads] [f32|bf16] [padded]
local vbl = require "vbl"
local common = require "bench_common"

local steps, padded = tonumber(arg[1]) or 5, tonumber(arg[4])
if arg[2] then require("vbl.system.c").set_threads(tonumber(arg[2])) end
local lengths = {7, 9, 9, 10, 10, 10, 11, 11, 12, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15, 16, 16, 16, 17, 17, 18, 19, 19, 20, 22, 25}
local B, T = #lengths, padded or 25
vbl.manual_seed(1)
local model = vbl.models.vilbert {preset = "small", max_positions = 512, dropout = 0, fusion = "stacked", depth = 4, cross_attention_layers = {1, 3},
                                  init = "fan_in", packed = not padded}
-- The peer has no pooler.
local parameters = {}
for _, p in ipairs(model:parameters()) do
  if not p.name:find "pooler" then parameters[#parameters + 1] = p end
end
local optimizer = vbl.optim.adamw(parameters, {lr = 1e-3, betas = {0.9, 0.98}, weight_decay = 0.01, clip = 0})

local tokens, masked, labels, count, ordinary = {}, {}, {}, 0, 0
for b = 1, B do
  tokens[b], masked[b], labels[b] = {}, {}, {}
  for t = 1, T do
    local n, id = lengths[b], 0
    if t <= n then id = t == 1 and 101 or t == n and 102 or 1000 + (b * 977 + t * 131) % 29000 end
    tokens[b][t], masked[b][t], labels[b][t] = id, id, -100
    if t > 1 and t < n then
      if ordinary % 7 == 0 then masked[b][t], labels[b][t], count = 103, id, count + 1 end
      ordinary = ordinary + 1
    end
  end
end
local function i32(t) return vbl.tensor(t, {dtype = "i32"}) end
-- AP: the captions of odd samples (from 0) are rotated among themselves.
local ap_tokens, ap_lengths, ap_labels = {}, {}, {}
for b = 1, B do
  local source = b % 2 == 1 and b or (b == 2 and B or b - 2)
  ap_tokens[b], ap_lengths[b], ap_labels[b] = tokens[source], lengths[source], b % 2
end
local mask = {}
for b = 1, B do
  mask[b] = {}
  for j = 0, 63 do mask[b][j + 1] = j % 3 == 0 and 1 or 0 end
end
local images = vbl.randn(B, 3, 128, 128)
local batch = {tokens = i32(tokens), lengths = i32(lengths), images = images}
local works = {
  mlm = {n = B, count = count, labels = i32(labels), batch = {tokens = i32(masked), lengths = batch.lengths, images = images}},
  ap = {n = B, repeated = {}, labels = ap_labels, batch = {tokens = i32(ap_tokens), lengths = i32(ap_lengths), images = images}},
  mim = {n = B, repeated = {}, mask = vbl.tensor(mask, {dtype = "u8"}), batch = batch},
}
local tasks = {vbl.tasks.mlm {}, vbl.tasks.ap {}, vbl.tasks.mim {}}
local accumulate = require "vbl.train.accumulate"

model.sharing = false  -- every pass computes all of it, as the peer's

local function step()
  optimizer:zero_grad()
  local loss, entries = 0, {}
  for i, task in ipairs(tasks) do entries[i] = {task = task, work = works[task.name], pass = 2 * i, scale = 1} end
  for _, r in ipairs(accumulate.backward(model, entries, B)) do loss = loss + r.loss end
  optimizer:step(1e-3)
  return loss
end

common.measure(padded and "small padded to " .. padded or "small", arg[3] or "f32", steps, 1, step, parameters)

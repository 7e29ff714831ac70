-- vbl.analysis.attention: its probabilities against the fused kernels and an f64 reference, padding, rollout, attribution.
local vbl = require "vbl"
local check = require "check"
local flow = require "vbl.analysis.attention.flow"
local record = require "vbl.analysis.attention.record"
local targets = require "vbl.analysis.attention.targets"

local data = vbl.data.open("scenes", {train = 16, test = 16, image = 64, patch = 16})
local test = data:split "test"

local function new(more)
  vbl.manual_seed(3)
  local c = {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, vocab = data.tokenizer:size(), init = "fan_in",
             heads = {"mlm", "ap", "ap_similarity"}, classifier = {hidden = 8, outputs = 3}, dropout = 0.1}
  for key, value in pairs(more) do c[key] = value end
  return vbl.models.vilbert(c)
end

local stacked = {depth = 2, cross_attention_layers = {1}}
local interleaved = {fusion = "interleaved", coattention = {text = {0, 1}, vision = {0, 1}, dim = 24, heads = 3}}

local function largest(x) return x:abs():max():item() end

check.group("the unfused pass is the fused one; rows sum to 1; who asks whom", function()
  for _, form in ipairs {stacked, interleaved, {fusion = "single_stream"}} do
    for _, packed in ipairs {true, false} do
      local keys = {packed = packed}
      for key, value in pairs(form) do keys[key] = value end
      local model = new(keys)
      local pair = test:batch {3}
      local view = vbl.analysis.attention(model, pair, {data = data})
      check.equal(model.training, true)
      local out = vbl.no_grad(function() return model:eval():run(pair) end)
      check.ok(largest(view.text - out.text) < 1e-5 and largest(view.vision - out.vision) < 1e-5, "the unfused pass differs")
      for _, map in ipairs(view.maps) do check.ok(map.joint or largest(map.p:sum(3) - 1) < 1e-5, map.name .. ": rows do not sum to 1") end
    end
  end
  local view = vbl.analysis.attention(new(interleaved), test:batch {3}, {data = data})
  local names = {}
  for i, map in ipairs(view.maps) do names[i] = ("%s %s>%s"):format(map.name, map.query, map.key) end
  check.equal(table.concat(names, ", "), "fusion.0.text text>vision, fusion.0.vision vision>text, text.0 text>text, vision.0 vision>vision, fusion.1.text text>vision, " ..
              "fusion.1.vision vision>text, text.1 text>text, vision.1 vision>vision")
  local n = #view.words
  check.equal(table.concat(view:map("fusion.0.text").p:shape(), " "), "3 " .. n .. " 17")
  check.equal(table.concat(view:map("fusion.0.vision").p:shape(), " "), "3 17 " .. n)
  check.equal(view.words[1], "[CLS]")
  check.equal(view.words[n], "[SEP]")
  local within = vbl.analysis.attention(new(stacked), test:batch {3})
  check.equal(within:map("fusion.0.text").key, "text")
  check.equal(within:map("fusion.1.text").key, "vision")
  check.error(function() return view:map "fusion.0.txt" end, "no map 'fusion.0.txt'", "did you mean 'fusion.0.text'")
  check.error(function() vbl.analysis.attention(new(stacked), test:batch {1, 2}) end, "one pair, got 2", "split:batch{i}")
end)

-- ---- f64, in plain Lua

local function row_norm(x, gamma, beta, eps)
  local mean, var, y = 0, 0, {}
  for _, v in ipairs(x) do mean = mean + v / #x end
  for _, v in ipairs(x) do var = var + (v - mean) ^ 2 / #x end
  for j, v in ipairs(x) do y[j] = (v - mean) / math.sqrt(var + eps) * gamma[j] + beta[j] end
  return y
end

local function project(rows, weight, bias)
  local out = {}
  for i, x in ipairs(rows) do
    out[i] = {}
    for o, w in ipairs(weight) do
      local sum = bias[o]
      for j, v in ipairs(x) do sum = sum + v * w[j] end
      out[i][o] = sum
    end
  end
  return out
end

local function probabilities(q, k, head, d)
  local p = {}
  for i, x in ipairs(q) do
    local row, most, sum = {}, -math.huge, 0
    for j, y in ipairs(k) do
      row[j] = 0
      for c = head * d + 1, (head + 1) * d do row[j] = row[j] + x[c] * y[c] end
      row[j] = row[j] / math.sqrt(d)
      most = math.max(most, row[j])
    end
    for j, v in ipairs(row) do
      row[j] = math.exp(v - most)
      sum = sum + row[j]
    end
    for j, v in ipairs(row) do row[j] = v / sum end
    p[i] = row
  end
  return p
end

check.group("co-attention against an f64 reference", function()
  local model, pair = new(interleaved), test:batch {2}
  local view = vbl.analysis.attention(model, pair)
  model:eval():tap {"text.embeddings", "vision.embeddings"}
  local taps = vbl.no_grad(function() return model:forward(pair).taps end)
  local w = model:parameters()
  local function of(name) return w[name]:totable() end
  local function normalised(stream)
    local rows = taps[stream .. ".embeddings"]:select(1, 1):totable()
    local list = {}
    for i = 1, view.sizes[stream] do
      list[i] = row_norm(rows[i], of("fusion.0." .. stream .. ".norm1.weight"), of("fusion.0." .. stream .. ".norm1.bias"), 1e-5)
    end
    return list
  end
  for _, streams in ipairs {{"text", "vision"}, {"vision", "text"}} do
    local s, o = streams[1], streams[2]
    local q = project(normalised(s), of("fusion.0." .. s .. ".query.weight"), of("fusion.0." .. s .. ".query.bias"))
    local k = project(normalised(o), of("fusion.0." .. o .. ".key.weight"), of("fusion.0." .. o .. ".key.bias"))
    local found = view:map("fusion.0." .. s).p
    for head = 0, 2 do check.ok(largest(found:select(1, head + 1) - vbl.tensor(probabilities(q, k, head, 8))) < 1e-5, s .. " head " .. head) end
  end
end)

check.group("padding has no weight: neither its ids nor its number change anything", function()
  for _, packed in ipairs {true, false} do
    local model, both = new {packed = packed, depth = 2, cross_attention_layers = {1}}, test:range(1, 8)
    local lengths, shortest = both.lengths:totable(), 1
    for i, n in ipairs(lengths) do
      if n < lengths[shortest] then shortest = i end
    end
    local padded = {tokens = both.tokens:narrow(1, shortest, 1):contiguous(), lengths = both.lengths:narrow(1, shortest, 1), images = both.images:narrow(1, shortest, 1)}
    check.ok(padded.tokens:size(2) > lengths[shortest], "no padding in this batch")
    local view = vbl.analysis.attention(model, padded)
    local other = padded.tokens:clone()
    for t = lengths[shortest] + 1, other:size(2) do other[{1, t}] = 7 end
    local changed = vbl.analysis.attention(model, {tokens = other, lengths = padded.lengths, images = padded.images})
    local tight = vbl.analysis.attention(model, test:batch {shortest})
    for i, map in ipairs(view.maps) do
      if map.key == "text" then check.equal(map.p:size(3), lengths[shortest]) end
      check.ok(largest(map.p - changed.maps[i].p) == 0, map.name .. " depends on ids of the padding")
      check.ok(largest(map.p - tight.maps[i].p) < 1e-6, map.name .. " depends on the amount of padding")
    end
  end
end)

local function uniform(maps, sizes)
  for i, m in ipairs(maps) do maps[i] = {block = m[1], query = m[2], key = m[3], p = vbl.full({2, sizes[m[2]], sizes[m[3]]}, 1 / sizes[m[3]])} end
  return maps
end

check.group("rollout", function()
  local sizes = {text = 4, vision = 5}
  local self_only = uniform({{"text.0", "text", "text"}, {"text.1", "text", "text"}}, sizes)
  local rows = flow.rollout(self_only, sizes, {residual = 0})
  check.ok(largest(rows.text:narrow(2, 1, 4) - 0.25) < 1e-7, "uniform attention does not roll out uniformly")
  check.equal(largest(rows.text:narrow(2, 5, 5)), 0)
  rows = flow.rollout(self_only, sizes)  -- (I/2 + U/2)^2 = I/4 + 3/4 U
  check.near(rows.text[{1, 1}], 0.25 + 0.75 / 4, 1e-6)
  check.near(rows.text[{1, 2}], 0.75 / 4, 1e-6)
  -- Both streams of a block read what was before it: after one block, text holds half of itself and half of the image, evenly.
  rows = flow.rollout(uniform({{"fusion.0", "text", "vision"}, {"fusion.0", "vision", "text"}}, sizes), sizes)
  check.near(rows.text[{2, 2}], 0.5, 1e-6)
  check.near(rows.text[{2, 7}], 0.1, 1e-6)
  check.near(rows.vision[{3, 1}], 0.125, 1e-6)
  check.ok(largest(rows.vision:sum(2) - 1) < 1e-6)
  check.error(function() flow.rollout(self_only, sizes, {residual = 2}) end, "residual", "0 to 1")
  local view = vbl.analysis.attention(new(interleaved), test:batch {5})
  rows = view:rollout()
  check.ok(largest(rows.text:sum(2) - 1) < 1e-5 and largest(rows.vision:sum(2) - 1) < 1e-5)
end)

-- An attention of the test's own, with `amount` added to one probability of the map `name`.
local function nudged(name, head, i, j, amount)
  local F = require "vbl.nn.functional"
  return function(at, qkv, other, q_seg, k_seg, attrs)
    if at ~= name then return F.cross_attention(qkv, other, q_seg, k_seg, attrs) end
    local W, parts = qkv:size(2) // 3, {}
    local d = W // attrs.heads
    for h = 0, attrs.heads - 1 do
      local q, k, v = qkv:narrow(2, h * d + 1, d), other:narrow(2, W + h * d + 1, d), other:narrow(2, 2 * W + h * d + 1, d)
      local p = F.softmax(q:contiguous():matmul(k:contiguous():t():contiguous()) * (1 / math.sqrt(d)))
      if h == head then p[{i, j}] = p[{i, j}] + amount end
      parts[h + 1] = p:matmul(v:contiguous())
    end
    return vbl.cat(parts, 2)
  end
end

check.group("attribution: the gradient of a probability by finite differences", function()
  local model, pair = new(interleaved), test:batch {4}
  model:eval()
  for _, target in ipairs {"alignment", {class = 2}} do
    local view = vbl.analysis.attention(model, pair)
    local result = view:attribution(target)
    local place
    for at, map in ipairs(view.maps) do
      if map.name == "fusion.1.text" then place = at end
    end
    local function score(amount)
      return vbl.no_grad(function() return targets.score(model, pair, target, {attend = nudged("fusion.1.text", 1, 1, 4, amount)}):item() end)
    end
    check.near(score(0), result.score, 1e-5)
    local expected, found = (score(0.05) - score(-0.05)) / 0.1, result.gradients[place][{2, 1, 4}]
    check.ok(math.abs(expected) > 1e-4, "a gradient too small to check")
    check.near(found, expected, 1e-2 * math.abs(expected) + 1e-5)
  end
  check.ok(model:parameters()["bert.embeddings.word_embeddings.weight"].requires_grad, "parameters stay trainable")
  check.equal(model:parameters()["heads.ap.weight"].grad, nil)
end)

check.group("attribution: relevance", function()
  local sizes = {text = 3, vision = 4}
  vbl.manual_seed(1)
  local p = {vbl.rand(2, 3, 3), vbl.rand(2, 3, 4), vbl.rand(2, 4, 3)}
  local g = {vbl.randn(2, 3, 3), vbl.randn(2, 3, 4), vbl.randn(2, 4, 3)}
  local function A(i) return (p[i] * g[i]):relu():mean(1) end
  local one = flow.relevance({{block = "text.0", query = "text", key = "text", p = p[1]}}, g, sizes)
  check.ok(largest(one.text:narrow(1, 2, 2) - A(1):select(1, 1):narrow(1, 2, 2)) < 1e-6)
  check.equal(largest(one.vision), 0)
  local maps = {{block = "text.0", query = "text", key = "text", p = p[1]}, {block = "fusion.0", query = "text", key = "vision", p = p[2]},
                {block = "fusion.0", query = "vision", key = "text", p = p[3]}}
  local both = flow.relevance(maps, g, sizes)
  -- By hand: R_tt = I + A1, normalised N = I + A1 / rows of A1; R_tv = N' A2; R_vt = A3 N; R_vv = I.
  local rest = A(1)
  local N = rest / rest:sum(2):unsqueeze(2) + vbl.eye(3)
  local tv, vt = N:t():contiguous():matmul(A(2)), A(3):matmul(N)
  check.ok(largest(both.vision:narrow(1, 2, 3) - tv:select(1, 1):narrow(1, 2, 3)) < 1e-6)
  check.ok(largest(both.text:narrow(1, 2, 2) - (rest + vt:narrow(1, 1, 1):expand(3, 3)):select(1, 1):narrow(1, 2, 2)) < 1e-6)
  -- One joint stream is one self-attention: after one block R = I + A.
  local whole, dwhole, joint = vbl.rand(2, 7, 7), vbl.randn(2, 7, 7), {}
  local gradients = {}
  for _, q in ipairs {{"text", 0, 3}, {"vision", 3, 4}} do
    for _, k in ipairs {{"text", 0, 3}, {"vision", 3, 4}} do
      local function part(x) return x:narrow(2, q[2] + 1, q[3]):narrow(3, k[2] + 1, k[3]):contiguous() end
      joint[#joint + 1], gradients[#gradients + 1] = {block = "vision.0", query = q[1], key = k[1], joint = true, p = part(whole)}, part(dwhole)
    end
  end
  local all = (whole * dwhole):relu():mean(1)
  local found = flow.relevance(joint, gradients, sizes)
  check.ok(largest(found.text:narrow(1, 2, 2) - (all:select(1, 1) + all:select(1, 4)):narrow(1, 2, 2)) < 1e-6)
  check.ok(largest(found.vision:narrow(1, 2, 3) - (all:select(1, 1) + all:select(1, 4)):narrow(1, 5, 3)) < 1e-6)
  local none = flow.relevance(maps, {g[1] * 0, g[2] * 0, g[3] * 0}, sizes)
  check.equal(largest(none.text) + largest(none.vision), 0)
  local view = vbl.analysis.attention(new(stacked), test:batch {1})
  check.error(function() view:attribution "aligned" end, "target")
  check.error(function() view:attribution {class = 3} end, "class: expected 0 to 2, got 3")
  -- The unimodal head rests on nothing that the other stream says.
  local alone = vbl.analysis.attention(new {fusion = "interleaved", coattention = interleaved.coattention, heads = {"ap_similarity"}}, test:batch {1}):attribution "alignment"
  check.ok(#alone.maps == 4 and largest(alone.text) > 0)
end)

check.group("entropy and the record", function()
  local view = vbl.analysis.attention(new(stacked), test:batch {1}, {data = data})
  local entropy = view:entropy()
  local p, sum = view:map("fusion.1.text").p:select(1, 2):totable(), 0
  for _, row in ipairs(p) do
    for _, v in ipairs(row) do sum = sum - v * math.log(v) / #p / math.log(17) end
  end
  check.near(entropy["fusion.1.text"][2], sum, 1e-6)
  local made = record(view, {id = "x", caption = "c"})
  check.equal(made.blocks[#made.blocks].name, "rollout")
  local map, found = made.blocks[#made.blocks - 1].maps[1], view:map "fusion.1.text"
  check.equal(map.heads * map.rows * map.columns, found.p:numel())
  check.near(map.top[1], found.p:select(1, 1):select(1, 1):max():item(), 1e-4)
  check.equal(require "vbl.store.base64" "any carnal pleas", "YW55IGNhcm5hbCBwbGVhcw==")
  check.equal(require "vbl.store.base64" "Man", "TWFu")
end)

check.done()

-- vbl.nn.functional and vbl.optim: the binding of inputs and options, against the same formulas in plain tensor algebra, and errors.
local check = require "check"
local vbl = require "vbl"
local F = vbl.nn.functional

local function same(a, b, tolerance)
  local close, worst = a:allclose(b, {rtol = tolerance or 1e-5, atol = tolerance or 1e-5})
  check.ok(close, ("differs by %g: %s and %s"):format(worst, tostring(a), tostring(b)))
end
local function i32(t) return vbl.tensor(t, {dtype = "i32"}) end
local function norm(x, gamma, beta, eps)
  local centred = x - x:mean(-1, true)
  return centred / (centred:square():mean(-1, true) + eps):sqrt() * gamma + beta
end
vbl.manual_seed(11)

check.group("linear, norms", function()
  local x, w, b = vbl.randn(5, 3), vbl.randn(4, 3), vbl.randn(4)
  same(F.linear(x, w), x:matmul(w:t()))
  same(F.linear(x, w, b), x:matmul(w:t()) + b)
  same(F.linear(x, w, b, {gelu = true}), (x:matmul(w:t()) + b):gelu())
  local w2, b2 = vbl.randn(4, 3), vbl.randn(4)
  same(F.linear_group(x, {w, w2}, {b, b2}), vbl.cat({F.linear(x, w, b), F.linear(x, w2, b2)}, 2))
  local gamma, beta, y = vbl.randn(3), vbl.randn(3), vbl.randn(5, 3)
  same(F.layer_norm(x, gamma, beta, {eps = 1e-3}), norm(x, gamma, beta, 1e-3))
  local sum, out = F.residual_norm(x, y, gamma, beta, {eps = 1e-3})
  same(sum, x + y)
  same(out, norm(x + y, gamma, beta, 1e-3))
  same(F.normalize_rows(x), x / x:square():sum(2, true):sqrt())
end)

check.group("dropout", function()
  local x, rows = vbl.ones(200, 8), {}
  for i = 1, 200 do rows[i] = {i - 1, 0} end
  local attrs = {p = 0.25, rows = i32(rows), seed = 5, site = 3, step = 2}
  local a = F.dropout_add(x, nil, attrs)
  same(F.dropout_add(x, attrs), a, 0)
  same(F.dropout_add(x, x, attrs), a + 1)
  check.near(a:gt(0):mean():item(), 0.75, 5 * math.sqrt(0.25 * 0.75 / 1600))
  check.near(a:max():item(), 4 / 3, 1e-6)
  attrs.step = 3
  check.ok(not F.dropout_add(x, attrs):allclose(a))
  attrs.rows = nil
  check.error(function() F.dropout_add(x, attrs) end, "rows")
end)

check.group("attention", function()
  local W, H = 8, 2
  local qkv, other = vbl.randn(5, 3 * W), vbl.randn(7, 3 * W)
  local q_seg, k_seg = i32 {{0, 2}, {2, 3}}, i32 {{0, 4}, {4, 3}}
  local function plain(q, k, v)
    local heads = {}
    for h = 1, H do
      local d = W // H
      local function cut(x) return x:narrow(2, (h - 1) * d + 1, d) end
      heads[h] = (cut(q):matmul(cut(k):t()) / math.sqrt(d)):softmax():matmul(cut(v))
    end
    return vbl.cat(heads, 2)
  end
  local function columns(x, i, first, n) return x:narrow(1, first, n):narrow(2, (i - 1) * W + 1, W) end
  local cross = vbl.cat {plain(columns(qkv, 1, 1, 2), columns(other, 2, 1, 4), columns(other, 3, 1, 4)),
                         plain(columns(qkv, 1, 3, 3), columns(other, 2, 5, 3), columns(other, 3, 5, 3))}
  same(F.cross_attention(qkv, other, q_seg, k_seg, {heads = H}), cross)
  local self = vbl.cat {plain(columns(qkv, 1, 1, 2), columns(qkv, 2, 1, 2), columns(qkv, 3, 1, 2)),
                        plain(columns(qkv, 1, 3, 3), columns(qkv, 2, 3, 3), columns(qkv, 3, 3, 3))}
  same(F.self_attention(qkv, q_seg, q_seg, {heads = H}), self)
  local q, k, v = qkv:narrow(2, 1, W):contiguous(), other:narrow(2, 9, W):contiguous(), other:narrow(2, 17, W):contiguous()
  same(F.attention(q, k, v, q_seg, k_seg, {heads = H}), cross)
  check.error(function() F.attention(q, k, v, q_seg, k_seg) end, "test_lua_functional.lua:", "'heads' is missing", "attention(")
end)

check.group("rows and images", function()
  local x = vbl.tensor {{1, 2}, {3, 4}, {5, 6}}
  same(F.gather_rows(x, i32 {2, -1, 0}), vbl.tensor {{5, 6}, {0, 0}, {1, 2}}, 0)
  same(F.scatter_rows(x, i32 {1, 1, -1}, {rows = 3}), vbl.tensor {{0, 0}, {4, 6}, {0, 0}}, 0)
  same(F.embedding(x, i32 {1}), vbl.tensor {{3, 4}}, 0)
  same(F.text_embedding(i32 {1, 2}, i32 {0, 1}, x, x, vbl.full({2, 2}, 10)), vbl.tensor {{14, 16}, {18, 20}}, 0)
  local image = vbl.arange(12):reshape(1, 3, 2, 2)
  same(F.patchify(image, {patch = 2}), vbl.arange(12):reshape(1, 12), 0)
  same(F.patchify(image:to "u8", {patch = 1, mean = {0, 0, 0}, std = {1 / 255, 1 / 255, 1 / 255}})[1], vbl.tensor {0, 4, 8})
  local assembled = F.vit_assemble(vbl.ones(4, 3), vbl.full({1, 1, 3}, 7), vbl.zeros(1, 3, 3), {samples = 2})
  same(assembled:select(2, 1), vbl.tensor {7, 1, 1, 7, 1, 1}, 0)
end)

check.group("losses", function()
  local logits, labels = vbl.tensor {{2, 1, 0}, {0, 1, 0}, {1, 1, 1}}, i32 {0, 1, -100}
  local log = logits:log_softmax()
  local want = -(log[{1, 1}] + log[{2, 2}])
  check.near(F.cross_entropy(logits, labels):item(), want / 2, 1e-6)
  check.near(F.cross_entropy(logits, labels, {divisor = 4}):item(), want / 4, 1e-6)
  check.near(F.cross_entropy(logits, i32 {0, 1, 7}, {ignore = 7}):item(), want / 2, 1e-6)
  local x, y = vbl.tensor {1, -2}, vbl.tensor {1, 0}
  local l1, l2 = math.log(1 + math.exp(-1)), math.log(1 + math.exp(-2))
  check.near(F.bce_with_logits(x, y):item(), (l1 + l2) / 2, 1e-6)
  check.near(F.bce_with_logits(x, y, {weight = vbl.tensor {3, 1}, divisor = 1}):item(), 3 * l1 + l2, 1e-6)
  local q = F.normalize_rows(vbl.randn(4, 6))
  local k = F.normalize_rows(vbl.randn(4, 6))
  local forth = F.cross_entropy(q:matmul(k:t()) / 0.5, i32 {0, 1, 2, 3}):item()
  local back = F.cross_entropy(k:matmul(q:t()) / 0.5, i32 {0, 1, 2, 3}):item()
  check.near(F.info_nce(q, k, {temperature = 0.5}):item(), forth, 1e-5)
  check.near(F.info_nce(q, k, {temperature = 0.5, symmetric = true}):item(), (forth + back) / 2, 1e-5)
  check.near(F.info_nce(q, k, {temperature = 0.5, divisor = 8}):item(), forth / 2, 1e-5)
  local temperature = vbl.tensor(0.5, {requires_grad = true})
  local loss = F.info_nce(q, k, {temperature = temperature})
  check.near(loss:item(), forth, 1e-5)
  loss:backward()
  check.ok(temperature.grad)
end)

-- More pairs than one block of scores holds (2^22): loss and gradients are those of the whole matrix, which is never in memory.
check.group("InfoNCE by blocks of rows", function()
  local n, d, t = 3000, 4, 0.1
  local q, k = vbl.randn(n, d), vbl.randn(n, d)
  local function gradients(loss_of)
    local a, b = q:clone():requires_grad_(true), k:clone():requires_grad_(true)
    vbl.reset_peak_memory()
    local before = vbl.memory().live
    local loss = loss_of(F.normalize_rows(a), F.normalize_rows(b))
    loss:backward()
    return loss:item(), a.grad, b.grad, vbl.memory().peak - before
  end
  local value, dq, dk, peak = gradients(function(a, b) return F.info_nce(a, b, {temperature = t}) end)
  local whole, dq2, dk2 = gradients(function(a, b) return F.cross_entropy(a:matmul(b:t()) / t, vbl.arange(n, {dtype = "i32"})) end)
  check.near(value, whole, 1e-5 * whole)
  check.ok((dq - dq2):abs():max():item() <= 1e-5 * dq2:abs():max():item())
  check.ok((dk - dk2):abs():max():item() <= 1e-5 * dk2:abs():max():item())
  check.ok(peak < 4 * n * n * 2 / 3, ("%.0f MB"):format(peak / 1e6))
end)

check.group("argument errors", function()
  local x = vbl.ones(2, 3)
  check.error(function() F.linear(x) end, "linear: w: expected a tensor, got no value")
  check.error(function() F.linear(x, 3) end, "linear: w: expected a tensor, got number")
  check.error(function() F.linear(x, x, nil, {gelo = true}) end, "gelo", "did you mean 'gelu'")
  check.error(function() F.linear(x, x, nil, {gelu = 1}) end, "gelu: expected true or false, got 1")
  check.error(function() F.linear(x, x, nil, {}, 5) end, "option table")
  check.error(function() F.linear(x, vbl.ones(2, 4)) end, "test_lua_functional.lua:", "linear: ", "[2, 3]")
  check.error(function() F.sum(x, {dim = 3}) end, "dim 3 is out of range")
  check.error(function() F.scatter_rows(x, i32 {0, 1}) end, "'rows' is missing")
end)

-- Loshchilov and Hutter 2019 in plain numbers, for one weight.
local function adamw_by_hand(w, grads, lr, decay)
  local m, v = 0, 0
  for t, g in ipairs(grads) do
    w = w - lr * decay * w
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    w = w - lr / (1 - 0.9 ^ t) * m / (math.sqrt(v / (1 - 0.999 ^ t)) + 1e-8)
  end
  return w
end

local function parameters()
  return {
    {name = "a.weight", tensor = vbl.full({1, 2}, 2):requires_grad_()}, {name = "a.bias", tensor = vbl.full({1}, 3):requires_grad_()},
    {name = "vit.cls_token", tensor = vbl.ones(1, 1, 2):requires_grad_()},
  }
end

local function take_step(opt, list, g, lr)
  opt:zero_grad()
  ;(list[1].tensor:sum() * g + list[2].tensor:sum() * g + list[3].tensor:sum() * 0):backward()
  return opt:step(lr)
end

check.group("adamw", function()
  local list = parameters()
  vbl.optim.pack(list)
  local opt = vbl.optim.adamw(list, {lr = 0.1, weight_decay = 0.5, clip = 0, lr_scale = {["a.bias"] = 0.5}})
  check.near(take_step(opt, list, 2), math.sqrt(12), 1e-6)
  take_step(opt, list, -1)
  check.near(list[1].tensor[{1, 2}], adamw_by_hand(2, {2, -1}, 0.1, 0.5), 1e-6)
  check.near(list[2].tensor[1], adamw_by_hand(3, {2, -1}, 0.05, 0), 1e-6)
  check.equal(list[3].tensor[{1, 1, 1}], 1.0)
  local state = opt:state()
  check.equal(state.steps[1], 2)
  check.equal(state.m:numel(), 5)
  local again = parameters()
  vbl.no_grad(function() for i, p in ipairs(again) do p.tensor:copy_(list[i].tensor) end end)
  local resumed = vbl.optim.adamw(again, {lr = 0.1, weight_decay = 0.5, clip = 0, lr_scale = {["a.bias"] = 0.5}})
  resumed:load_state(state)
  take_step(opt, list, 3)
  take_step(resumed, again, 3)
  for i = 1, 3 do same(list[i].tensor, again[i].tensor, 0) end
  check.error(function() resumed:load_state {m = vbl.zeros(5), v = vbl.zeros(4), steps = {0, 0, 0}} end, "load_state: v", "[5]")
  check.error(function() resumed:load_state {m = vbl.zeros(5), v = vbl.zeros(5), steps = {0, 0}} end, "3 numbers")
  check.equal(table.concat(state.parameters, "; "), "a.weight [1, 2]; a.bias [1]; vit.cls_token [1, 1, 2]")
  local function refused(change, ...)
    local others = parameters()
    change(others)
    local other = vbl.optim.adamw(others)
    check.error(function() other:load_state(state) end, "test_lua_functional.lua", "load_state: parameter ", ...)
    check.equal(other:state().m:sum():item(), 0.0)
  end
  refused(function(p) p[2].name = "b.bias" end, "2 is b.bias [1] here and a.bias [1] in the state")
  refused(function(p) p[1], p[3] = p[3], p[1] end, "1 is vit.cls_token [1, 1, 2] here and a.weight [1, 2] in the state")
  refused(function(p) p[1].tensor = vbl.full({2, 1}, 2):requires_grad_() end, "1 is a.weight [2, 1] here and a.weight [1, 2] in the state")
  check.error(function() vbl.optim.sgd(parameters()):load_state(state) end, "moments v of AdamW")
  check.error(function() resumed:load_state(3) end, "expected what :state() gives, got number")
  check.error(function() vbl.optim.adamw(list, {weight_decey = 1}) end, "weight_decay")
  check.error(function() vbl.optim.adamw({}) end, "ordered list")
  for _, case in ipairs {{{lr = "a"}, "lr: expected a number of at least 0, got \"a\""}, {{lr = -1}, "lr: "}, {{eps = 0 / 0}, "eps: "}, {{clip = {}}, "clip: "},
                         {{betas = 0.9}, "betas: expected two numbers", "got 0.9"}, {{betas = {0.9}}, "betas: "}, {{betas = {0.9, 1}}, "betas: "},
                         {{lr_scale = 0.5}, "lr_scale: expected a table"}, {{lr_scale = {["a.bias"] = "b"}}, "lr_scale: "},
                         {{lr_scale = {["a.bais"] = 0}}, "lr_scale: no parameter is named 'a.bais'", "did you mean 'a.bias'?"},
                         {{lr_scale = {["a.*"] = 0}}, "lr_scale: no parameter is named 'a.*'", "names are whole"}} do
    check.error(function() vbl.optim.adamw(list, case[1]) end, "test_lua_functional.lua", "vbl.optim.adamw: " .. case[2], case[3])
  end
  check.error(function() vbl.optim.sgd(list, {momentum = "a"}) end, "vbl.optim.sgd: momentum: expected a number")
end)

check.group("sgd and clipping", function()
  local list = parameters()
  local opt = vbl.optim.sgd(list, {lr = 1, clip = 1})
  check.near(take_step(opt, list, 4), math.sqrt(48), 1e-5)
  check.near(list[1].tensor[{1, 1}], 2 - 4 / (math.sqrt(48) + 1e-6), 1e-6)
  opt:zero_grad()
  ;(list[1].tensor * (0 / 0)):sum():backward()
  check.error(function() opt:step() end, "a.weight")
end)

check.group("what somebody who knows PyTorch types first", function()
  check.equal(tostring(vbl.zeros(2, 3):shape()), "{2, 3}")
  check.equal(tostring(vbl.zeros():shape()), "{}")
  check.equal(table.concat(vbl.zeros(2, 3):shape(), "x"), "2x3")
  check.error(function() return vbl.optim.AdamW end, "vbl.optim has no 'AdamW', did you mean 'adamw'?")
  check.error(function() return vbl.train.schema() end, "vbl.train has no 'schema', did you mean 'schemas'?")
  check.error(function() return vbl.data.opn("scenes") end, "vbl.data has no 'opn', did you mean 'open'?")
  check.error(function() return vbl.runs.lst() end, "vbl.runs has no 'lst', did you mean 'list'?")
  check.error(function() return vbl.plot.heatmp() end, "vbl.plot has no 'heatmp', did you mean 'heatmap'?")
  check.equal(vbl.train.last, nil)
  check.error(function() return vbl.nn.Conv2d end, "vbl.nn has no 'Conv2d'")
  check.error(function() vbl.nn.Linear(3, 4) end, "vbl.nn.Linear: expected Linear(scope, name, inputs, outputs)")
  check.error(function() vbl.load "weights.pt" end, "convert_pt.py")
end)

check.group("what is promised of attention's segments is checked where the host sees them", function()
  local qkv = vbl.randn(7, 12)
  local function attend(seg, promise)
    seg, promise.heads = vbl.tensor(seg, {dtype = "i32"}), 2
    return F.self_attention(qkv, seg, seg, promise)
  end
  local plain = attend({{0, 4}, {4, 3}}, {})
  check.ok(attend({{0, 4}, {4, 3}}, {longest_q = 4, longest_k = 5, whole = true}):allclose(plain, {rtol = 0, atol = 0}))
  check.error(function() attend({{0, 4}, {4, 3}}, {longest_q = 3}) end, "segments of q are not at most 3 rows, as was promised")
  check.error(function() attend({{0, 4}, {4, 3}}, {longest_k = 4, even = true}) end, "segments of k are not one after another, each of 4 rows, as was promised")
  check.error(function() attend({{0, 3}, {4, 3}}, {whole = true}) end, "segments of q are not all 7 rows once, as was promised")
end)

check.done()

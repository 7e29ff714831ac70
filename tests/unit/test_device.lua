-- Tensors and models on a device whose memory the host cannot read, against the CPU: the CUDA backend's kernels, emulated in the tier
-- unit (VBL_CUDA_LIBRARY and VBL_EMU_GUARD are set by the build), on a GPU in the tier gpu.
local vbl = require "vbl"
local check = require "check"
local F = require "vbl.nn.functional"

local found, why = vbl.devices()
if not found[2] then check.skip("no device: " .. why) end

check.group("tensors", function()
  local x = vbl.randn(5, 7)
  local d = x:to "cuda"
  check.equal(d:device(), "cuda:0")
  check.ok(d:to "cuda" == d or d:to("cuda"):device() == "cuda:0")
  check.ok(d:to("cpu"):allclose(x, {rtol = 0, atol = 0}))
  check.ok(d:t():to("cpu"):allclose(x:t(), {rtol = 0, atol = 0}))
  check.equal(d[3][4], x[3][4])
  check.equal(d:totable()[2][6], x:totable()[2][6])
  check.ok(tostring(d):find("f32[5,7] cuda:0 mean", 1, true))
  check.equal((d * 2 + 1):sum():item(), (x * 2 + 1):sum():item())
  check.equal(d:to("i32"):device(), "cuda:0")
  local y = vbl.zeros(5, 7, {device = "cuda"})
  y:copy_(x)
  check.ok(y:allclose(d, {rtol = 0, atol = 0}))
  local path = os.tmpname() .. ".npy"
  vbl.save(path, d)
  check.ok(vbl.load(path):allclose(x, {rtol = 0, atol = 0}))
  os.remove(path)
end)

check.group("where new tensors lie", function()
  vbl.set_device "cuda"
  local list = {vbl.zeros(2), vbl.randn(3), vbl.tensor {1, 2}, vbl.arange(4), vbl.eye(2), vbl.full({2}, 3), vbl.randint(0, 3, 2), vbl.randperm(4)}
  for _, t in ipairs(list) do check.equal(t:device(), "cuda:0") end
  check.equal(vbl.zeros(2, {device = "cpu"}):device(), "cpu")
  check.equal(vbl.zeros(2, {dtype = "f64"}):device(), "cpu")
  vbl.set_device "cpu"
  check.equal(vbl.zeros(2):device(), "cpu")
end)

check.group("waiting for a device", function()
  vbl.set_device "cuda"
  local stops = vbl.memory().device_stops
  check.equal(select("#", vbl.synchronize()), 0)
  check.ok(vbl.memory().device_stops > stops)
  vbl.side_by_side(function() return vbl.ones(3) * 2 end, function()
    local y = vbl.ones(3) * 3
    vbl.synchronize()
    return y
  end)
  vbl.set_device "cpu"
end)

check.group("what is filled on a device takes no memory of the host", function()
  collectgarbage() collectgarbage()
  vbl.reset_peak_memory()
  local live = vbl.memory().live
  local x = vbl.full({1000, 250}, 3, {device = "cuda"})
  local y = vbl.empty(1000, 250, {device = "cuda"})
  check.equal(vbl.memory().peak - live, 2 * 1000000)  -- of all tensors, wherever they lie
  check.equal(x:sum():item(), 750000)
  check.equal(y:device(), "cuda:0")
  for dtype, value in pairs {i32 = -7, u8 = 200, bf16 = 0.5} do check.equal(vbl.full({3}, value, {dtype = dtype, device = "cuda"}):to("cpu"):totable()[3], value) end
  check.error(function() vbl.zeros(2, {dtype = "f64", device = "cuda"}) end, "f64")
  for _, device in ipairs {"cuda", "cpu"} do check.error(function() vbl.zeros(1 << 40, {device = device}) end, "out of memory for 4194304.0 MiB") end
end)

check.group("what is refused", function()
  check.error(function() vbl.zeros(2, {dtype = "f64", device = "cuda"}) end, "cuda:0 does not compute in f64", "f32")
  check.error(function() return vbl.zeros(2) + vbl.zeros(2, {device = "cuda"}) end, "cuda:0", "cpu")
  check.error(function() vbl.zeros(2):to "cuda:3" end, "cuda:3")
  for _, name in ipairs {"cuda:x", "cuda:", "cuda:-1", "cuda:1x", "cuda:4294967296"} do
    check.error(function() vbl.zeros(2):to(name) end, ("no device '%s'"):format(name))
  end
  local w = vbl.ones(2, {requires_grad = true})
  check.error(function() return (w * 2):to "cuda" end, "move the leaves")
  local big = vbl.tensor({16777217}, {dtype = "i32", device = "cuda"})
  check.error(function() return big + vbl.zeros(1, {device = "cuda"}) end, "add: input 1 has the integer 16777217")
  check.equal((big - 1 + vbl.zeros(1, {device = "cuda"})):item(), 16777216.0)
end)

-- The same model, batch and step on both.
local function step(device, dropout)
  vbl.set_device(device)
  vbl.manual_seed(5)
  local model = vbl.models.vilbert {preset = "tiny", dim = 32, mlp = 48, layers = 2, attention_heads = 2, image = 32, patch = 16, vocab = 50,
                                    depth = 2, cross_attention_layers = {1}, dropout = dropout, heads = {"mlm", "ap"}}
  model.rng.seed, model.rng.step = 5, 1
  local out = model:run {tokens = vbl.tensor({{2, 9, 8, 3}, {2, 7, 3, 0}}, {dtype = "i32"}), lengths = vbl.tensor({4, 3}, {dtype = "i32"}),
                         images = vbl.randn(2, 3, 32, 32)}
  local mlm = F.cross_entropy(model.heads.mlm(out.text), vbl.tensor({1, 2, 3, -100, 5, 6, 7}, {dtype = "i32"}), {divisor = 6})
  local q, k = F.normalize_rows(out.text), F.normalize_rows(out.text * 2)
  local loss = mlm + F.info_nce(q, k, {temperature = 0.1, symmetric = true})
  loss:backward()
  local optimizer = vbl.optim.adamw(model:parameters(), {lr = 1e-3, clip = 1})
  local norm = optimizer:step()
  vbl.set_device "cpu"
  return model, loss:item(), norm
end

-- f32: sums differ in the last bits.
check.group("a training step", function()
  local cpu, loss, norm = step("cpu", 0.1)
  local cuda, other, other_norm = step("cuda", 0.1)
  check.equal(cuda.list[1].tensor:device(), "cuda:0")
  check.near(other, loss, 1e-5 * loss)
  if type(norm) == "number" then check.near(other_norm, norm, 1e-5 * norm) end
  local worst = 0
  for i, p in ipairs(cpu.list) do
    -- A first AdamW step moves every weight by nearly lr whatever its gradient's size, so a rounding of a tiny gradient is at most 2 lr.
    local _, distance = cuda.list[i].tensor:allclose(p.tensor)
    worst = math.max(worst, distance)
  end
  check.ok(worst < 2.1e-3, "parameters after the step differ by " .. worst)
  local grads = 0
  for i, p in ipairs(cpu.list) do
    local a, b = p.tensor.grad, cuda.list[i].tensor.grad
    check.equal(a == nil, b == nil)
    if a then
      local difference = (b:to "cpu" - a):square():sum():item() ^ 0.5
      check.ok(difference <= 1e-5 * (a:square():sum():item() ^ 0.5 + 1e-3), p.name .. ": gradients differ")
      grads = grads + 1
    end
  end
  check.ok(grads > 20)
end)

-- bf16: the CPU attends in f32, the device in bf16, whose dropout masks are its own; so without dropout, to the tolerances of docs/precision.md.
check.group("a training step in bf16", function()
  local cpu, loss = vbl.autocast("bf16", step, "cpu", 0)
  local cuda, other = vbl.autocast("bf16", step, "cuda", 0)
  check.near(other, loss, 1e-2 * loss)
  local grads = 0
  for i, p in ipairs(cpu.list) do
    local a, b = p.tensor.grad, cuda.list[i].tensor.grad
    check.equal(a == nil, b == nil)
    if a then
      b = b:to "cpu"
      local size, difference = a:square():sum():item() ^ 0.5, (b - a):square():sum():item() ^ 0.5
      -- A key's bias changes no probability: its gradient is rounding alone.
      if size > 1e-3 then check.ok(difference <= 3e-2 * size, ("%s: gradients differ by %.2g of %.2g"):format(p.name, difference, size)) end
      grads = grads + 1
    end
  end
  check.ok(grads > 20)
  local _, first = vbl.autocast("bf16", step, "cuda", 0.1)
  local _, second = vbl.autocast("bf16", step, "cuda", 0.1)
  check.equal(first, second)
end)

check.group("what is bf16 under autocast on a device", function()
  vbl.set_device "cuda"
  local function gaussian(...) return vbl.randn(...):requires_grad_(true) end
  local x, w, gamma, beta = gaussian(6, 16), gaussian(48, 16), gaussian(16), gaussian(16)
  local seg = vbl.tensor({{0, 3}, {3, 3}}, {dtype = "i32"})
  local got = vbl.autocast("bf16", function()
    local n = F.layer_norm(x, gamma, beta, {narrow = true})
    local qkv = F.linear(n, w)
    local o = F.self_attention(qkv, seg, seg, {heads = 2, longest_q = 3, longest_k = 3, even = true})
    local sum, y = F.residual_norm(o, x, gamma, beta, {narrow = true})
    return {n = n, qkv = qkv, o = o, y = y, sum = sum, logits = F.linear(y, w, nil, {wide = true}), z = F.dropout_add(o, sum), plain = F.layer_norm(x, gamma, beta)}
  end)
  for name, dtype in pairs {n = "bf16", qkv = "bf16", o = "bf16", y = "bf16", sum = "f32", logits = "f32", z = "f32", plain = "f32"} do
    check.equal(got[name]:dtype(), dtype)
  end
  -- Other ops take bf16 and give f32, values and gradients; parts of one matrix keep it.
  local q = got.qkv
  check.equal(q:narrow(2, 17, 16):dtype(), "bf16")
  check.equal(vbl.cat({q, q}, 1):dtype(), "bf16")
  check.equal(vbl.cat({q, got.logits}, 2):dtype(), "f32")
  for _, t in ipairs {q * 2, q + x:narrow(2, 1, 1), q:relu(), q:sum(), F.gather_rows(q, vbl.tensor({5, 0}, {dtype = "i32"})), F.normalize_rows(q), q:softmax()} do
    check.equal(t:dtype(), "f32")
  end
  check.ok((q:to("f32") * 2 - q * 2):abs():max():item() == 0)
  -- Gradients that reach a bf16 result from its parts, as f32 and as bf16, meet in one sum.
  local function gradient(dtype)
    x.grad = nil
    local function f()
      local h = F.linear(x, w)
      if dtype then h = h:to(dtype) end
      local all = h:narrow(2, 1, 16) * h:narrow(2, 17, 16) + h:narrow(2, 33, 16):expand(6, 16):relu() + F.linear(h:narrow(2, 3, 16):contiguous(), w):narrow(2, 1, 16)
      all:sum():backward()
      return x.grad:to("cpu")
    end
    return vbl.autocast("bf16", f)
  end
  local narrow, wide = gradient(), gradient "f32"
  check.ok((narrow - wide):square():sum():item() <= (2 ^ -7) ^ 2 * wide:square():sum():item())
  check.equal(x.grad:dtype(), "f32")
  -- A leaf that is bf16 has its gradient in f32, as on the CPU.
  local leaf = vbl.randn(4, 3):to("bf16"):detach():requires_grad_(true);
  (leaf * 3):sum():backward()
  check.equal(leaf.grad:dtype(), "f32")
  vbl.set_device "cpu"
end)

check.group("doctor", function()
  local text = found[2].describe()
  check.ok(text:find("ok\tself-check\ta product and a softmax are right\n", 1, true), text)
  check.ok(text:find "\tGPU memory\t" and text:find "\tcuDNN\t" and text:find "\tcuBLASLt\t", text)
end)

check.group("measures read a device's features", function()
  local x, y = vbl.randn(30, 6), vbl.randn(30, 6)
  check.near((vbl.measure.rsa(x:to "cuda", y:to "cuda")), (vbl.measure.rsa(x, y)), 0)
end)

check.group("attention of a model on a device", function()
  local views, found = {}, {}
  for _, device in ipairs {"cpu", "cuda"} do
    vbl.set_device(device)
    vbl.manual_seed(5)
    local model = vbl.models.vilbert {preset = "tiny", dim = 16, mlp = 24, layers = 1, attention_heads = 2, image = 32, patch = 16, vocab = 50, depth = 1,
                                      cross_attention_layers = {0}, heads = {"ap"}}
    views[device] = vbl.analysis.attention(model, {tokens = vbl.tensor({{2, 9, 8, 3}}, {dtype = "i32"}), lengths = vbl.tensor({4}, {dtype = "i32"}),
                                                   images = vbl.full({1, 3, 32, 32}, 0.5)})
    found[device] = views[device]:attribution "alignment"
    found[device].rollout = views[device]:rollout().vision
    vbl.set_device "cpu"
  end
  for i, map in ipairs(views.cpu.maps) do check.ok(views.cuda.maps[i].p:allclose(map.p, {atol = 1e-5}), map.name) end
  for _, name in ipairs {"text", "vision", "rollout"} do check.ok(found.cuda[name]:allclose(found.cpu[name], {atol = 1e-5}), name) end
end)

check.done()

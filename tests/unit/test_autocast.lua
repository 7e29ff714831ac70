-- Mixed precision: products of operands rounded to bf16 with sums in f32, in linear and linear_group, forward and backward; training with it.
-- `products` as the argument runs the first part only: on the other instruction sets it is a process of its own.
local check = require "check"
local vbl = require "vbl"
local system = require "vbl.system.c"
local F = vbl.nn.functional

local function rounded(x) return x:detach():to("bf16"):to("f64") end

-- got f32 = a b with a, b f64 [M,K], [K,N], but for the rounding of K products' sum: |error| <= (K + 2) u |a| |b|, u = 2^-24.
local function check_product(what, got, a, b)
  local K = a:size(2)
  local bound = a:abs():matmul(b:abs()) * ((K + 2) * 2 ^ -24)
  local over = ((got:detach():to("f64") - a:matmul(b)):abs() - bound):max():item()
  check.ok(over <= 0, ("%s: over the bound by %g"):format(what, over))
end

local sizes = {{5, 3, 1}, {17, 65, 33}, {64, 48, 96}, {97, 130, 257}, {200, 64, 530}}
vbl.manual_seed(5)

check.group("linear: results and gradients", function()
  for _, s in ipairs(sizes) do
    local N, M, K = table.unpack(s)
    local x, w, b = vbl.randn(N, K):requires_grad_(true), vbl.randn(M, K):requires_grad_(true), vbl.randn(M):requires_grad_(true)
    local y = vbl.autocast("bf16", F.linear, x, w)
    local dy = vbl.randn(N, M)
    y:backward(dy)
    check.equal(y:dtype(), "f32")
    check_product("y", y, rounded(x), rounded(w):t())
    check_product("dx", x.grad, rounded(dy), rounded(w))
    check_product("dw", w.grad, rounded(dy):t(), rounded(x))
    -- The bias and what comes after are f32; a second backward adds.
    local again = vbl.autocast("bf16", F.linear, x, w, b)
    check.ok((again - (y + b)):abs():max():item() == 0)
    local first = w.grad:clone()
    again:backward(dy)
    check.ok((w.grad - first * 2):abs():max():item() <= 2 ^ -22 * first:abs():max():item() * K)
    check.ok(vbl.no_grad(vbl.autocast, "bf16", F.linear, x, w):sub(y):abs():max():item() == 0, "without a graph")
    local half = vbl.autocast("bf16", F.linear, x:detach():to("bf16"), w)
    check.ok((half - y):abs():max():item() == 0, "an input that is bf16 already")
  end
end)

check.group("linear with GELU, and linear_group", function()
  local x, w = vbl.randn(33, 40), vbl.randn(24, 40)
  local h, g = vbl.autocast("bf16", F.linear, x, w), vbl.autocast("bf16", F.linear, x, w, nil, {gelu = true})
  -- What the next product would round is rounded already.
  check.equal(g:dtype(), "bf16")
  check.ok((F.gelu(h) - g:to("f32")):abs():max():item() <= 2 ^ -8 * h:abs():max():item())
  check.equal(vbl.autocast("bf16", F.linear, x:to("f64"), w:to("f64"), nil, {gelu = true}):dtype(), "f64")
  x:requires_grad_(true)
  local ws = {vbl.randn(24, 40):requires_grad_(true), vbl.randn(24, 40):requires_grad_(true), vbl.randn(24, 40):requires_grad_(true)}
  local zeros = {vbl.zeros(24), vbl.zeros(24), vbl.zeros(24)}
  local y, dy = vbl.autocast("bf16", F.linear_group, x, ws, zeros), vbl.randn(33, 72)
  y:backward(dy)
  for i = 1, 3 do
    local part = dy:narrow(2, 24 * (i - 1) + 1, 24)
    check_product("y", y:narrow(2, 24 * (i - 1) + 1, 24), rounded(x), rounded(ws[i]):t())
    check_product("dw", ws[i].grad, rounded(part):t(), rounded(x))
  end
  check_product("dx", x.grad, rounded(dy), rounded(vbl.cat(ws, 1)))
end)

check.group("what is not rounded: f64, other ops, calls outside", function()
  local x, w = vbl.randn(8, 16), vbl.randn(4, 16)
  local exact = F.linear(x:to("f64"), w:to("f64"))
  check.ok((vbl.autocast("bf16", F.linear, x:to("f64"), w:to("f64")) - exact):abs():max():item() == 0)
  check.ok((vbl.autocast("bf16", F.linear, x, w):to("f64") - exact):abs():max():item() > 1e-4)
  check.ok((vbl.autocast("f32", F.linear, x, w):to("f64") - exact):abs():max():item() < 1e-5)
  check.ok((vbl.autocast("bf16", x.matmul, x, w:t()):to("f64") - exact):abs():max():item() < 1e-5)
  check.ok((F.linear(x, w):to("f64") - exact):abs():max():item() < 1e-5)
end)

if arg[1] == "products" then check.done() end

check.group("the other instruction sets round alike", function()
  for _, setting in ipairs {"VBL_ISA=baseline", "VBL_ISA=avx2", "VBL_BF16=fma"} do
    local text, code = system.output {"env", setting, system.executable(), arg[0], "products"}
    check.ok(code == 0, ("%s: exit code %s: %s"):format(setting, code, text))
  end
end)

check.group("the state ends with the function, also by an error; checkpoint runs again as it ran", function()
  local x, w = vbl.randn(8, 16):requires_grad_(true), vbl.randn(4, 16):requires_grad_(true)
  local plain = F.linear(x, w)
  local function off() return (F.linear(x, w) - plain):abs():max():item() end
  check.ok(vbl.autocast("bf16", off) > 0)
  check.ok(vbl.autocast("bf16", vbl.autocast, "f32", off) == 0)
  pcall(vbl.autocast, "bf16", error)
  check.ok(off() == 0)
  check.error(function() vbl.autocast("f16", off) end, "expected 'f32', 'bf16' or 'tf32', got 'f16'")
  vbl.autocast("bf16", F.linear, x, w):sum():backward()
  local direct = w.grad:clone()
  w.grad = nil
  vbl.autocast("bf16", vbl.checkpoint, function(t) return F.linear(t, w) end, x):sum():backward()
  check.ok((w.grad - direct):abs():max():item() == 0)
end)

local trainer = require "trainer"

check.group("ten steps: near f32, and not equal to it", function()
  local function losses(precision)
    local j = vbl.train.job {
      flags = {seed = 3, device = "cpu"}, name = "autocast", data = "scenes", scenes = {train = 64, test = 32}, precision = precision,
      model = {preset = "tiny", dim = 32, layers = 2, attention_heads = 4, mlp = 64, patch = 16, dropout = 0, init = "fan_in"},
      tasks = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {}}, batch = 16, epochs = 3,
    }
    local list = {}
    for step = 1, 10 do
      local batch = j.train:range(1 + 16 * ((step - 1) % 4), 16)
      batch.epoch = 1
      list[step] = vbl.train.step(j, batch, step)
    end
    return list
  end
  -- A rounded product is off by at most 2 u (u = 2^-8) of the sum of its terms' sizes. Roundings are to both sides, so a loss, a mean
  -- over many, stays within what two products in a row could be off by.
  local f32, bf16, difference = losses "f32", losses "bf16", 0
  for step = 1, 10 do
    for _, name in ipairs {"loss.mlm", "loss.ap", "loss.mim"} do
      check.near(bf16[step][name], f32[step][name], 4 * 2 ^ -8 * f32[step][name])
      difference = math.max(difference, math.abs(bf16[step][name] / f32[step][name] - 1))
    end
  end
  print(("  largest relative difference of a loss %.2e"):format(difference))
  check.ok(difference > 0)
end)

check.group("a run in bf16: the same twice, the same when killed and resumed; the key's check", function()
  local function run(words)
    for _, word in ipairs {"--threads", "1"} do words[#words + 1] = word end
    return words
  end
  local whole = trainer.expect(0, run {"precision=bf16"}, "bf16")
  check.equal(vbl.load(whole .. "/manifest.json").precision, "bf16")
  trainer.same(whole, (trainer.expect(0, run {"precision=bf16"})))
  local _, code, killed = trainer.run(run {"precision=bf16", env = {MOMENT = "state 7 KILL"}})
  check.equal(code, 137)
  trainer.expect(0, run {"--resume", killed})
  trainer.same(whole, killed)
  trainer.expect(1, run {"precision=fp16"}, "precision", "expected one of f32, bf16, tf32, got 'fp16'")
end)
trainer.finish()

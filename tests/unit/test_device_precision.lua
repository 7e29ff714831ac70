-- What a device computes by choice: products in TF32, and runs that repeat bit for bit. On the emulated device, whose products in TF32 are those
-- of operands rounded to 10 bits behind the point, on a GPU in the tier gpu.
local check = require "check"
local system = require "vbl.system.c"
local trainer = require "trainer"
local vbl = require "vbl"
local F = vbl.nn.functional

local found, why = vbl.devices()
if not found[2] then check.skip("no device: " .. why) end

-- got = a b' with a [N,K], b [M,K] in f64, but for the rounding of both operands to TF32 (relative u = 2^-11 where it is to nearest, twice that where
-- a device cuts off) and of K products' sum: |error| <= (4 u + (K + 2) 2^-24) |a| |b|'. `exact`: the error is also at least that of f32.
local function check_product(what, got, a, b)
  a, b, got = a:to "f64", b:to "f64", got:to("cpu"):to "f64"
  local bound = a:abs():matmul(b:abs():t()) * (4 * 2 ^ -11 + (a:size(2) + 2) * 2 ^ -24)
  local error = (got - a:matmul(b:t())):abs()
  check.ok((error - bound):max():item() <= 0, what .. ": over the bound")
  return error:max():item()
end

check.group("products in tf32", function()
  vbl.manual_seed(6)
  for _, s in ipairs {{5, 3, 7}, {33, 24, 40}, {256, 192, 320}} do
    local N, M, K = table.unpack(s)
    local x, w, dy = vbl.randn(N, K), vbl.randn(M, K), vbl.randn(N, M)
    local errors = {}
    for _, precision in ipairs {"f32", "tf32"} do
      local dx, dw = x:to("cuda"):requires_grad_(true), w:to("cuda"):requires_grad_(true)
      local y = vbl.autocast(precision, F.linear, dx, dw)
      y:backward(dy:to "cuda")
      check.equal(y:dtype(), "f32")
      errors[precision] = {check_product(precision .. " y", y:detach(), x, w), check_product(precision .. " dx", dx.grad, dy, w:t()),
                           check_product(precision .. " dw", dw.grad, dy:t(), x:t())}
    end
    -- A library may take small products, and operands that are not aligned, in f32 all the same.
    if N >= 64 or os.getenv "VBL_EMU_CACHE" then
      for i = 1, 3 do check.ok(errors.tf32[i] > 8 * errors.f32[i], ("tf32 rounds: %g, f32 %g"):format(errors.tf32[i], errors.f32[i])) end
    end
  end
  -- Numbers of at most 11 bits are left as they are: products of small integers are exact.
  local x, w = vbl.randint(-40, 40, 9, 16):to("f32"), vbl.randint(-40, 40, 6, 16):to("f32")
  local y = vbl.autocast("tf32", F.linear, x:to "cuda", w:to "cuda")
  check.ok(y:to("cpu"):allclose(F.linear(x, w), {rtol = 0, atol = 0}))
end)

-- Scores of rows of length 1 are off by at most e = 2^-8 / t where both operands are rounded to bf16, the loss so by 2 e, and a probability p by p (exp(2 e) - 1);
-- with the rounding of (p - 1) and of the other operand, |dq| and |dk| in norm by ((exp(2 e) - 1) + 2^-7) / t. Both directions' mean too.
check.group("InfoNCE in bf16", function()
  vbl.manual_seed(8)
  local t, tie = 0.5, 1 + 2 ^ -8
  local e = 2 ^ -8 / t * tie
  local slope = (math.exp(2 * e) - 1 + 2 ^ -7) / t * tie
  for _, sizes in ipairs {{7, 7, 5, true}, {20, 33, 24, false}, {65, 65, 40, true}} do
    local N, M, D, symmetric = table.unpack(sizes)
    local q, k = F.normalize_rows(vbl.randn(N, D)), F.normalize_rows(vbl.randn(M, D))
    local function run(device, precision)
      local a, b = q:to(device):detach():requires_grad_(true), k:to(device):detach():requires_grad_(true)
      local loss = vbl.autocast(precision, F.info_nce, a, b, {temperature = t, symmetric = symmetric})
      loss:backward()
      return loss:item(), a.grad:to "cpu", b.grad:to "cpu"
    end
    local function norm(x) return math.sqrt((x * x):sum():item()) end
    local loss, dq, dk = run("cpu", "f32")
    local same, same_q, same_k = run("cpu", "bf16")  -- the CPU's losses are f32
    check.ok(same == loss and norm(same_q - dq) == 0 and norm(same_k - dk) == 0)
    local other, other_q, other_k = run("cuda", "f32")
    check.near(other, loss, 1e-5)
    check.ok(norm(other_q - dq) <= 1e-5 and norm(other_k - dk) <= 1e-5)
    other, other_q, other_k = run("cuda", "bf16")
    check.near(other, loss, 2 * e)
    check.ok(norm(other_q - dq) <= slope and norm(other_k - dk) <= slope, ("%g, %g of %g"):format(norm(other_q - dq), norm(other_k - dk), slope))
    check.ok(norm(other_q - dq) > 1e-5 * norm(dq) and norm(other_k - dk) > 1e-5 * norm(dk), "nothing was rounded")
  end
end)

check.group("tf32 on the CPU is refused", function()
  check.error(function() vbl.autocast("tf32", F.linear, vbl.zeros(2, 3), vbl.zeros(4, 3)) end, "linear: products in tf32 are a GPU's", "on cpu")
  check.error(function() vbl.autocast("tf23", print) end, "expected 'f32', 'bf16' or 'tf32', got 'tf23'")
  trainer.expect(1, {"precision=tf32"}, "config: precision: products in tf32 are a GPU's (--device cuda)")
  trainer.expect(1, {"precision=tf33"}, "config: precision: expected one of f32, bf16, tf32, got 'tf33'", "did you mean")
end)

check.group("vbl.deterministic", function()
  check.equal(vbl.deterministic(), false)
  check.equal(vbl.deterministic(true), true)
  check.equal(vbl.deterministic(), true)
  check.equal(vbl.deterministic(false), false)
  check.error(function() vbl.deterministic(1) end, "boolean expected")
end)

-- Two runs in bf16, one stopped after its third step and resumed: the same bits in every file.
check.group("deterministic runs and resumes on the device are equal bit for bit", function()
  local function words(...)
    return {"--device", "cuda", "deterministic=true", "precision=bf16", "scenes.train=12", "scenes.test=8", "batch=4", "test_samples=4", "probe_samples=0", "epochs=1",
            "checkpoint_every=1", "micro_batch=4", "tasks_together=yes", "model.layers=1", "tasks.mim=false", ...}
  end
  local whole = trainer.expect(0, words())
  local stopped = words()
  stopped.env = {MOMENT = "update 2 INT"}
  local run = trainer.expect(130, stopped, "interrupted")
  trainer.expect(0, {"--device", "cuda", "--resume", run})
  trainer.same(whole, run, {"last", "best", "epoch-1"})
end)

trainer.finish()

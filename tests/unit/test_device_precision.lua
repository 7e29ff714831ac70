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
  for _, s in ipairs {{5, 3, 7}, {33, 24, 40}, {64, 48, 130}} do
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
    for i = 1, 3 do check.ok(errors.tf32[i] > 8 * errors.f32[i], ("tf32 rounds: %g, f32 %g"):format(errors.tf32[i], errors.f32[i])) end
  end
  -- Numbers of at most 11 bits are left as they are: products of small integers are exact.
  local x, w = vbl.randint(-40, 40, 9, 16):to("f32"), vbl.randint(-40, 40, 6, 16):to("f32")
  local y = vbl.autocast("tf32", F.linear, x:to "cuda", w:to "cuda")
  check.ok(y:to("cpu"):allclose(F.linear(x, w), {rtol = 0, atol = 0}))
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
            "checkpoint_every=1", "micro_batch=4", "model.layers=1", "tasks.mim=false", ...}
  end
  local whole = trainer.expect(0, words())
  local stopped = words()
  stopped.env = {MOMENT = "update 2 INT"}
  local run = trainer.expect(130, stopped, "interrupted")
  trainer.expect(0, {"--device", "cuda", "--resume", run})
  trainer.same(whole, run, {"last", "best", "epoch-1"})
end)

trainer.finish()

-- Signals that arrive in the middle of products. The products' generated kernels keep values below the stack pointer: a handler that ran
-- there changed results and broke the heap within a second of this.
local check = require "check"
local F = require "vbl.nn.functional"
local system = require "vbl.system.c"

local SECONDS = 2

local function forward_and_back(x, w)
  local y = F.linear(x, w)
  y:sum():backward()
  local g = w.grad:clone()
  w.grad = nil
  return y:detach(), g
end

local function case(rows, inputs, outputs)
  local c = {x = vbl.randn(rows, inputs), w = vbl.randn(outputs, inputs):requires_grad_(true)}
  c.y, c.g = forward_and_back(c.x, c.w)
  return c
end

-- Signals to this process, fifty at a time; they end with it.
local function bombard()
  local burst = ("kill -TERM %d && "):format(system.pid()):rep(50)
  os.execute("(i=0; while [ $i -lt 400 ] && " .. burst .. "i=$((i+1)); do sleep 0.005; done) >/dev/null 2>&1 &")
end

check.group("products while signals arrive", function()
  local cases, count = {case(544, 128, 384), case(544, 128, 512), case(544, 512, 128), case(400, 128, 128), case(1088, 128, 128)}, 0
  system.hold_interrupts(true)
  bombard()
  local start = system.monotonic()
  while system.monotonic() - start < SECONDS do
    vbl.scope(function()
      for _, c in ipairs(cases) do
        local y, g = forward_and_back(c.x, c.w)
        local difference = (y - c.y):abs():sum():item() + (g - c.g):abs():sum():item()
        if difference ~= 0 then check.equal(difference, 0) end
        count = count + 1
      end
    end)
  end
  check.ok(count >= #cases)
  check.equal(system.interrupted(), 15)
end)

check.done()

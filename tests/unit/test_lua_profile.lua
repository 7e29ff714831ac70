-- vbl.profile: rows, shares that add up, results passed on, errors, and the table it prints.
local check = require "check"
local vbl = require "vbl"
local F = vbl.nn.functional

local x, w = vbl.randn(6, 4), vbl.randn(5, 4, {requires_grad = true})
local function step(scale)
  local loss = (F.linear(x, w) * scale):sum()
  loss:backward()
  return loss:item(), scale
end

check.group("rows, shares, results", function()
  local p, loss, scale = vbl.profile(step, 3)
  check.equal(scale, 3)
  check.ok(math.type(loss) == "float")
  -- Only w wants a gradient: one product forward, one backward.
  check.equal(p.rows.gemm.calls, 2)
  check.equal(p.rows.gemm.flops, 2 * 2 * 6 * 5 * 4.0)
  check.equal(p.rows.linear.calls, 2)
  check.ok(p.rows.linear.forward > 0 and p.rows.linear.backward > 0)
  local share, seconds, last = 0, 0, math.huge
  for _, row in ipairs(p) do
    check.ok(row.seconds <= last, "rows are sorted by time")
    check.equal(p.rows[row.name], row)
    check.near(row.seconds, row.forward + row.backward, 1e-15)
    share, seconds, last = share + row.share, seconds + row.seconds, row.seconds
  end
  check.near(share, 1, 1e-9)
  check.near(seconds, p.seconds, 1e-9)
  check.ok(p.rows.rest ~= nil)
end)

check.group("optimizer", function()
  local optimizer = vbl.optim.adamw({{name = "w", tensor = w}}, {lr = 1e-3})
  local p = vbl.profile(function() optimizer:step(1e-3) end)
  check.equal(p.rows.optimizer.calls, 1)
end)

check.group("text", function()
  local text = tostring((vbl.profile(step, 1)))
  for _, part in ipairs {"op", "calls", "forward ms", "backward ms", "share", "gemm", "GFLOP/s", "linear", "rest", "total"} do
    check.ok(text:find(part, 1, true), "the table lacks " .. part)
  end
  check.ok(require "vbl.help" "vbl.profile":find("results of fn", 1, true))
end)

check.group("errors end the profile", function()
  check.error(function() vbl.profile(function() error("boom", 0) end) end, "boom")
  check.error(function() vbl.profile(function() vbl.profile(step, 1) end) end, "do not nest")
  local p = vbl.profile(function() end)
  check.equal(#p, 1)
  check.equal(p[1].name, "rest")
  check.near(p[1].share, 1, 0)
end)

check.done()

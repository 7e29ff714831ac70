-- Scopes, memory and recording: what a scope frees, what leaves it, and that loops hold memory flat.
local check = require "check"
local vbl = require "vbl"

check.group("scope frees what is not returned", function()
  local inner, kept, outer
  local a, list = vbl.scope(function(n)
    inner = vbl.ones(n)
    kept = vbl.ones(n):keep()
    local deep = {x = {vbl.full({n}, 2)}}
    deep.self = deep
    return inner + 1, deep
  end, 3)
  check.equal(a:size(1), 3)
  check.equal(list.x[1][1], 2.0)
  check.equal(kept:size(1), 3)
  check.error(function() return inner + 1 end, "released", "end of its scope", ":keep()")
  vbl.scope(function()
    outer = vbl.scope(function() return vbl.ones(2) end)
    check.equal(outer[1], 1.0)
  end)
  check.error(function() outer:item() end, "released")
end)

check.group("scope passes errors and values on", function()
  local t
  check.error(function() vbl.scope(function() t = vbl.ones(2) error("boom", 0) end) end, "boom")
  check.error(function() t:item() end, "released")
  local object = {}
  local ok, e = pcall(vbl.scope, function() error(object) end)
  check.equal(ok, false)
  check.equal(e, object)
  check.equal(select("#", vbl.scope(function() return nil, nil end)), 2)
  check.equal(select("#", vbl.scope(function() end)), 0)
  local outside = vbl.ones(1)
  vbl.scope(function() return outside end)
  check.equal(outside:item(), 1.0)
end)

check.group("memory is flat over a million tensors in scopes", function()
  collectgarbage()
  local x = vbl.ones(16)
  local before, heap, highest = vbl.memory(), collectgarbage "count", 0
  for _ = 1, 1000 do
    vbl.scope(function()
      for _ = 1, 1000 do vbl.zeros(16) end
    end)
    highest = math.max(highest, collectgarbage "count")
  end
  local after = vbl.memory()
  check.equal(after.live, before.live)
  check.ok(after.allocations - before.allocations >= 1000000)
  check.ok(after.peak - before.live < 2 ^ 20, "peak grew by more than 1 MiB")
  check.ok(highest - heap < 1024, "Lua's own memory grew by more than 1 MiB")
  check.equal(x[1], 1.0)
end)

check.group("the collector feels tensors' bytes", function()
  collectgarbage()
  vbl.reset_peak_memory()
  local before = vbl.memory().live
  for _ = 1, 64 do vbl.empty(8, 2 ^ 20) end     -- 32 MiB each, 2 GiB in all, no scope
  check.ok(vbl.memory().peak - before <= 320 * 2 ^ 20, "garbage tensors were not collected")
  collectgarbage()
  check.equal(vbl.memory().live, before)
end)

check.group("no memory is an error, and the program goes on", function()
  local before = vbl.memory().live
  check.error(function() vbl.empty(2 ^ 23 | 0, 2 ^ 23 | 0) end, "test_lua_scope.lua:", "memory")
  check.equal(vbl.memory().live, before)
  check.equal(vbl.ones(2):sum():item(), 2.0)
end)

check.group("no_grad and enable_grad", function()
  local x = vbl.ones(2, {requires_grad = true})
  check.equal(vbl.no_grad(function() return (x * 2).requires_grad end), false)
  check.equal(vbl.no_grad(function() return vbl.enable_grad(function() return (x * 2).requires_grad end) end), true)
  check.equal((x * 2).requires_grad, true)
  pcall(vbl.no_grad, error)
  check.equal(vbl.is_grad_enabled(), true)
  check.error(function() x:fill_(1) end, "no_grad")
  check.error(function() x[1] = 1 end, "no_grad")
  check.error(function() (x * 2):zero_() end, "detach")
  check.error(function() (x * 2):requires_grad_(false) end, "leaves")
  vbl.no_grad(function() x:fill_(3) end)
  check.equal(x[1], 3.0)
end)

check.done()

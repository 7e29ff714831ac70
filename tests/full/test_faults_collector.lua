-- Lua's collector at every third request for memory: the first try is refused, so that it collects all it can before it asks again, and what C code
-- holds without keeping it alive is gone. And with all finalizers, at every hundredth instruction. Results stay what they are.
local check = require "check"
local faults = require "faults"
local system = require "vbl.system.c"

local tests = {"tensor", "scope", "grad", "functional"}  -- tests/unit/test_lua_NAME.lua: what holds tensors, the tape, ops

check.group("a collection at every third request, or at 500: the tests of tensors, scopes, gradients and ops", function()
  for _, name in ipairs(tests) do
    local path = ("tests/unit/test_lua_%s.lua"):format(name)
    local calm = faults.run {path}
    -- Such a collection runs no finalizers and puts the next ordinary one off: with many of them, what is to be finalized piles up and each takes
    -- longer than the one before.
    local many = calm.count.lua > 100000
    local every = many and calm.count.lua // 500 or 3
    local r = faults.run({path}, {plan = ("lua:200:%d:COLLECT"):format(every)})
    print(("  %s: %d collections at %d requests"):format(name, r.fired, r.count.lua))
    check.ok(r.fired > 100 and r.code == 0 and r.out == calm.out, ("%s: exit code %s: %s"):format(name, r.code, r.err:sub(-1500)))
  end
end)

check.group("a collection at every hundredth instruction, finalizers too", function()
  local hook = 'debug.sethook(function() collectgarbage() end, "", 100)'
  for _, name in ipairs(tests) do
    local path = ("tests/unit/test_lua_%s.lua"):format(name)
    local r = faults.run {"-e", hook, path}
    check.ok(r.code == 0, ("%s: exit code %s: %s"):format(name, r.code, r.err:sub(-1500)))
  end
end)

check.group("training and packing, a collection at every n-th request", function()
  for _, name in ipairs {"pretrain", "finetune", "pack"} do
    local w = faults.workloads[name]()
    for phase = 1, 3 do
      w.begin()
      local r = faults.run(w.words, {plan = ("lua:%d:%d:COLLECT"):format(200 + 7 * phase, name == "pack" and 5 or 499)})
      print(("  %s: %d collections at %d requests"):format(name, r.fired, r.count.lua))
      check.ok(r.code == 0, ("%s: exit code %s: %s"):format(name, r.code, r.err:sub(-1500)))
      check.equal(w.whole(), nil)
    end
  end
end)

faults.finish()

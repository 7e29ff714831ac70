-- vbl.measure.selftest: every measure passes; a broken one is found, and vbl.measure.passed says why.
local vbl = require "vbl"
local check = require "check"
local measure = require "vbl.measure"

check.group("all pass, and the caller's random numbers are left alone", function()
  vbl.manual_seed(9)
  local want = vbl.rand(1):totable()[1]
  vbl.manual_seed(9)
  local result = measure.selftest {quiet = true}
  check.equal(vbl.rand(1):totable()[1], want)
  check.equal(result.failed, 0)
  check.ok(#result.rows >= 39)
  if result.failed > 0 then print(result) end
  check.equal(measure.passed "cka", true)
  check.ok(tostring(result):find "cka +ok +ok +ok +ok +ok")
  check.error(function() measure.passed "ckaa" end, "ckaa")
end)

check.group("a broken measure is found", function()
  local breaks = {
    known = function(value, record) return value + 1e-6, record end,
    degenerate = function(value, record) return value == value and value or 0.0, record end,  -- a stand-in number
  }
  local right = measure.svcca
  for question, spoil in pairs(breaks) do
    rawset(measure, "svcca", function(...) return spoil(right(...)) end)
    local result = measure.selftest {quiet = true}
    local ok, reason = measure.passed "svcca"
    check.equal(ok, false)
    check.ok(reason:find "expected", reason)
    check.ok(tostring(result):find("  " .. question .. ": ", 1, true))
    check.equal(measure.passed "cca", true)
  end
  rawset(measure, "svcca", right)
end)

check.done()

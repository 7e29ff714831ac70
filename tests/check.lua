-- The whole test framework in Lua: check.group("name", function() ... end), check.ok, check.equal, check.near, check.error,
-- check.skip(why), and check.done() as the last line of a test file. check.spin: a loop that
-- never ends, as Lua source, and check.idle: the body of one.
local check = {passed = 0, failed = 0}

-- ThreadSanitizer hands a signal on at the next call into libc; alone, the loop would make none.
local function under_tsan()
  local maps <close> = io.open("/proc/self/maps")
  return maps and maps:read("a"):find("/libtsan", 1, true)
end
check.idle = under_tsan() and "os.time() " or ""
check.spin = "while true do " .. check.idle .. "end"

local function report(ok, message, ...)
  if ok then
    check.passed = check.passed + 1
    return true
  end
  check.failed = check.failed + 1
  local where = debug.getinfo(2, "Sl")  -- the test: every check calls report as a tail call
  io.stderr:write(string.format("%s:%d: ", where.short_src, where.currentline), string.format(message, ...), "\n")
  return false
end

function check.ok(value, message) return report(value, "%s", message or "expected a true value") end

function check.equal(got, want)
  return report(got == want, "got %s, expected %s", tostring(got), tostring(want))
end

-- |got - want| <= tolerance; NaN fails.
function check.near(got, want, tolerance)
  return report(math.abs(got - want) <= tolerance, "got %.12g, expected %.12g +- %g", got, want, tolerance)
end

-- fn must raise an error whose message holds every given plain text.
function check.error(fn, ...)
  local ok, message = pcall(fn)
  if ok then return report(false, "expected an error") end
  for _, part in ipairs {...} do
    if not tostring(message):find(part, 1, true) then
      return report(false, "error lacks %q: %s", part, tostring(message))
    end
  end
  return report(true, "")
end

function check.group(name, fn)
  local failed = check.failed
  local ok, message = xpcall(fn, function(e) return debug.traceback(tostring(e)) end)
  if not ok then
    check.failed = check.failed + 1
    io.stderr:write(name, ": ", message, "\n")
  end
  print((check.failed == failed and "ok    " or "FAIL  ") .. name)
end

-- A test that ends without check.done() would pass whatever it found. (The collector runs once more as the program ends.)
local ended = false
setmetatable(check, {__gc = function()
  if ended then return end
  io.stderr:write("the test ended without check.done()\n")
  os.exit(false)
end})

function check.skip(why)
  print("SKIPPED: " .. why)
  ended = true
  os.exit(77, true)
end

function check.done()
  ended = true
  print(string.format("%d passed, %d failed", check.passed, check.failed))
  os.exit(check.failed == 0 and check.passed > 0, true)
end

return check

-- How the program is linked and compiled (docs/security.md), as readelf and objdump see it.
local check = require "check"
local system = require "vbl.system.c"

if not os.getenv "VBL_HARDENED" then
  print "SKIPPED: this build is not the hardened one (a sanitizer, or no optimisation)"
  os.exit(77)
end
if not system.output {"readelf", "--version"} or not system.output {"objdump", "--version"} then
  print "SKIPPED: readelf and objdump are not installed (package binutils)"
  os.exit(77)
end

local function read(...) return (system.output {...}) end

local program = system.executable()

check.group("lies anywhere, and its tables are read-only once it runs", function()
  check.ok(read("readelf", "-hW", program):find "Type: +DYN")
  local dynamic, segments = read("readelf", "-dW", program), read("readelf", "-lW", program)
  check.ok(dynamic:find "FLAGS_1%)[^\n]*PIE" and dynamic:find "FLAGS_1%)[^\n]*NOW", dynamic)
  check.ok(segments:find "GNU_RELRO", segments)
  check.ok(not dynamic:find "TEXTREL" and not dynamic:find "RPATH" and not dynamic:find "RUNPATH", dynamic)
end)

check.group("no memory is both written and run", function()
  local stack = false
  for line in read("readelf", "-lW", program):gmatch "[^\n]+" do
    local kind, flags = line:match "^ +([%u_]+) +0x.* ([RWE ]+) +0x%x+$"
    if kind == "GNU_STACK" then stack = not flags:find "E" end
    if kind == "LOAD" then check.ok(not (flags:find "W" and flags:find "E"), line) end
  end
  check.ok(stack, "GNU_STACK")
end)

check.group("stack protector, checked string functions, and branch targets are in it", function()
  local symbols = read("readelf", "-sW", "--dyn-syms", program)
  check.ok(symbols:find "__stack_chk_fail")
  check.ok(symbols:find "__memcpy_chk" and symbols:find "__snprintf_chk")
  check.ok(read("objdump", "-d", "--disassemble=main", program):find "endbr64")
end)

check.group("C modules of Lua find its symbols", function()
  local symbols = read("readelf", "-sW", "--dyn-syms", program)
  for _, name in ipairs {"vbl_fail", "vbl_tensor_new"} do check.ok(symbols:find("FUNC +GLOBAL +DEFAULT +%d+ " .. name), name) end
end)

check.done()

-- libvbl_cuda.so as nvcc made it: it can be opened, so every symbol that it needs is there, and it says of this machine what it should.
local check = require "check"
local vbl = require "vbl"

local found, why = vbl.devices()
if found[2] then
  check.ok(found[2].name:find "^cuda:")
else
  print("  no GPU: " .. why)
  check.ok(not why:find "symbol" and not why:find "cannot open", why)
  check.ok(why:find "driver" or why:find "GPU" or why:find "memory", why)
end

check.done()

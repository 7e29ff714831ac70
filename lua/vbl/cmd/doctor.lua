-- vbl doctor: what this machine has, one line each: ok, warn (works, but slow or short) or missing, with what to do.
-- Exit code 1 when something that vbl needs is missing; gnuplot and CUDA are not needed.
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local vbl = require "vbl"

local failed = false

local function line(state, what, text, ...) print(("%-8s %-10s " .. text):format(state, what, ...)) end

local function gib(bytes) return bytes / 2 ^ 30 end

local function processor()
  local cpu = system.cpu()
  line("ok", "processor", "%s, %d cores online, %d threads", cpu.model, cpu.cores, system.threads())
  if cpu.isa == "baseline" then
    line("warn", "kernels", "baseline: this processor (or VBL_ISA) has no AVX2; expect a fraction of the speed")
  else
    line("ok", "kernels", "%s", cpu.isa)
  end
  line("ok", "bf16", "%s", cpu.bf16 and "the processor's own products: precision=bf16 trains faster than f32" or
         "rounded, multiplied as f32: precision=bf16 saves memory and no time here")
end

local function memory()
  local total, available = system.memory_bytes()
  local state = gib(available) < 2 and "warn" or "ok"
  line(state, "memory", "%.1f GiB, %.1f available%s", gib(total), gib(available), state == "warn" and ": enough for tiny models" or "")
  local free = assert(system.disk_free ".")
  state = gib(free) < 5 and "warn" or "ok"
  line(state, "disk", "%.1f GiB free here%s", gib(free), state == "warn" and ": a run of the base model keeps several" or "")
end

local function libraries()
  local found = system.libraries()
  line("ok", "oneDNN", "%s", found.onednn)
  line("ok", "utf8proc", "%s", found.utf8proc)
  local decoder = require("vbl.data.c").jpeg_decoder()
  local turbo = decoder:find "^libjpeg"
  line(turbo and "ok" or "warn", "JPEG", "%s%s", decoder, turbo and "" or ": slower, and up to 3 grey levels off PIL's; build with libjpeg-dev installed")
  if not found.openblas_core then
    failed = true
    line("missing", "OpenBLAS", "%s", found.openblas_error)
  elseif found.openblas_core == "Prescott" and system.cpu().isa ~= "baseline" then
    line("warn", "OpenBLAS", "kernels Prescott (SSE3): set OPENBLAS_CORETYPE=Haswell or SkylakeX; measures run 3 to 5 times faster")
  else
    line("ok", "OpenBLAS", "kernels %s", found.openblas_core)
  end
end

local function gnuplot()
  local text, code = system.output {"gnuplot", "--version"}
  if text and code == 0 then return line("ok", "gnuplot", "%s", (text:gsub("%s+$", ""))) end
  line("missing", "gnuplot", "plots of reports need it: apt-get install gnuplot-nox (everything else works)")
end

local function ranks()
  local ok, text = pcall(require("vbl.dist.c").describe)
  if ok then return line("ok", "MPI", "%s: a run may have several processes (mpirun -n 2 vbl SCRIPT)", text) end
  line("missing", "MPI", "a run on several processes needs it: %s (everything else works)", usage.strip(text))
end

local function devices()
  local names = {}
  local found, why = vbl.devices()
  for i, device in ipairs(found) do names[i] = device.name .. " (" .. device.isa .. ")" end
  local list = table.concat(names, ", ")
  line("ok", "devices", "%s", list)
  if not found[2] then return line("missing", "CUDA", "%s: training runs on the processor", why) end
  for state, what, text in found[2].describe():gmatch "([^\t\n]*)\t([^\t\n]*)\t([^\n]*)" do
    line(state, what, "%s", text)
    failed = failed or state == "missing"
  end
end

return function(...)
  if ... == "--help" then return print "usage: vbl doctor     what this machine and this build have, and whether it works" end
  if select("#", ...) > 0 then usage "doctor takes no arguments" end
  line("ok", "vbl", "%s, %s, %s", vbl.version, _VERSION, system.uname())
  processor()
  memory()
  libraries()
  gnuplot()
  ranks()
  devices()
  return failed and 1 or 0
end

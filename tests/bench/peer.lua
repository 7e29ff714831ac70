-- The PyTorch peer: whether it is here, its settings, and one process of peer_torch.py.
local system = require "vbl.system.c"
local store = require "vbl.store.c"

local peer = {}

-- Settings beyond those that PyTorch ships with. OpenBLAS and ATen may not know a young processor; the rest keeps glibc from giving
-- freed memory back to the system in each step.
local cpu = system.cpu()
local tuned = {"MALLOC_MMAP_MAX_=0", "MALLOC_TRIM_THRESHOLD_=17179869184", "MALLOC_TOP_PAD_=268435456"}
if cpu.isa ~= "baseline" then
  tuned[4] = "OPENBLAS_CORETYPE=" .. (cpu.isa == "avx512" and "SkylakeX" or "Haswell")
  tuned[5] = "ATEN_CPU_CAPABILITY=" .. cpu.isa
end
peer.tuned = table.concat(tuned, " ")

-- The versions as a string, or nil and what is missing.
function peer.find()
  local text, code = system.output {"sh", "-c", [[python3 -c 'import torch, transformers, timm, platform
print("PyTorch %s, Python %s" % (torch.__version__, platform.python_version()))' 2>&1]]}
  if code == 0 then return (text:gsub("%s+$", "")) end
  return nil, (text or ""):match "([^\n]*)%s*$" or "python3 is missing"
end

local function variant(kind, threads, settings) return {name = ("%s-%dt"):format(kind, threads), settings = settings} end

-- Those of the training step: the plain ones as PyTorch ships them too, the others tuned.
function peer.variants(threads)
  local list = {}
  for _, kind in ipairs {"f32-eager-foreach", "bf16-eager-fused"} do list[#list + 1] = variant(kind, threads, "as shipped") end
  for _, kind in ipairs {"f32-eager-foreach", "f32-eager-fused", "f32-compile-fused", "bf16-eager-fused", "bf16-compile-fused"} do
    list[#list + 1] = variant(kind, threads, "tuned")
  end
  return list
end

-- Those of the preset small, whose compilation would take longer than everything else here.
function peer.eager(threads) return {variant("f32-eager-fused", threads, "tuned"), variant("bf16-eager-fused", threads, "tuned")} end

-- One process: peer_torch.py's record, with the settings.
function peer.run(bench, variant, steps, unmeasured)
  local words = {"env", "-u", "OPENBLAS_CORETYPE", "-u", "OPENBLAS_L2_SIZE", "-u", "ATEN_CPU_CAPABILITY"}
  if variant.settings == "tuned" then
    for _, word in ipairs(tuned) do words[#words + 1] = word end
  end
  for _, word in ipairs {"python3", "tests/bench/peer_torch.py", bench, "--only", variant.name, "--steps", steps, "--unmeasured", unmeasured} do
    words[#words + 1] = tostring(word)
  end
  local text, code = system.output(words)
  local record = code == 0 and store.json_decode(text:match "{[^\n]*}")
  if not record or not record.ms then return nil, ("%s failed: %s"):format(variant.name, text or code) end
  record.settings = variant.settings
  return record
end

return peer

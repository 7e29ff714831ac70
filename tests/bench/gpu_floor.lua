-- What a training step does on a GPU, kernel by kernel, counted without one (vbl.count_memory): calls, launches, FLOPs, bytes, and the time that
-- each takes at least at the card's rates. Beside it the floor: the same products on the tensor cores, whose operands are hidden behind them, and what
-- is left in bf16 with everything fused that can be.
--   vbl tests/bench/gpu_floor.lua [model.dropout=0.1 ...] [batch=48] [precision=bf16] [together=true] [sharing=true] [flops=790e12 bytes=4.3e12]
-- The step is gpu.py's: base, interleaved late fusion, MLM, AP and MIM, captions of Flickr8k's lengths, packed. Nothing here is measured.
local vbl = require "vbl"
local gpu_batch = require "gpu_batch"
local gpu_step = require "gpu_step"

local config = vbl.config {
  model = {preset = "base", fusion = "interleaved", dropout = 0},
  batch = 0,               -- samples of a step; 0: 48, 128 and 512
  precision = "bf16",      -- of the products
  together = true,         -- all passes as one batch
  sharing = false,         -- layers that they have in common are computed once
  flops = 790e12,          -- a second, of products in bf16: one of 8192^3 on an H200
  f32 = 60e12,             -- of products in f32 without tensor cores
  tf32 = 395e12,           -- of products in TF32
  bytes = 4.3e12,          -- a second, of the card's memory
}

local RATES = {gemm = "f32", attention = "f32", attention_backward = "f32", gemm_tf32 = "tf32"}

-- The share of a kernel's bytes that is left where everything, the residual stream too, is bf16 and fused: rounding and packing go, and so do sums of
-- gradients and copies, which a kernel before them can write; a bias's gradient is a read of bf16. All others, f32 here: half; of those between
-- bf16 tensors, what is f32 in them half. AdamW's stay, with a gradient of bf16 and the rounded weights, 28 bytes a parameter, and 2 for the norm.
local FUSED = {copy = 0, ["copy to bf16"] = 0, fill = 0, scale_add = 0, binary = 0, dropout_add = 0, ["gemm_bf16 gelu"] = 2 / 3, adamw_pieces = 1,
               ["attention_bf16"] = 1, ["attention_bf16_backward"] = 1, ["gelu bf16"] = 1, ["gelu_backward bf16"] = 1,
               ["column_sum bf16"] = 1, ["scale_add bf16"] = 0, ["dropout_add bf16"] = 0, ["layer_norm bf16"] = 2 / 3, ["residual_norm bf16"] = 2 / 3,
               ["layer_norm_backward parameters bf16"] = 2 / 3, ["adamw_pieces norms"] = 1 / 2, patchify = 3 / 5}
local function fused(kernel)
  if FUSED[kernel] then return FUSED[kernel] end
  return (kernel:find "rounding" or kernel:find "packing") and 0 or 1 / 2
end

-- Rows of `steps` steps of a new model.
local function counted(steps, B)
  local model
  local found = vbl.count_memory({device = "cuda"}, function()
    model = vbl.models.vilbert(config.model, "empty")
    model.sharing = config.sharing
    local batch = gpu_batch(model.config, B)
    batch.images = vbl.empty(B, 3, model.config.image, model.config.image, {dtype = "u8"})
    local run = gpu_step(model, batch, config.precision, vbl.zeros(1):device(), config.together)
    for _ = 1, steps do run.step() end
  end)
  return found, model
end

local function key_of(row)
  return ("%s|%s|%s|%.0f|%.0f|%.0f"):format(row.kernel, row.op, row.backward, row.flops / row.calls, row.read / row.calls, row.written / row.calls)
end

-- The rows of one step in a run of many: those of two less those of one.
local function step_of(B)
  local two, model = counted(2, B)
  local one, rows = {}, {}
  for _, row in ipairs(counted(1, B).kernels) do one[key_of(row)] = row end
  for _, row in ipairs(two.kernels) do
    local before = one[key_of(row)] or {calls = 0, launches = 0, flops = 0, read = 0, written = 0}
    for _, name in ipairs {"calls", "launches", "flops", "read", "written"} do row[name] = row[name] - before[name] end
    if row.calls > 0 then rows[#rows + 1] = row end
  end
  return rows, model, two.peak
end

local function seconds(row)
  local rate = RATES[row.kernel:match "^%S+"] or "flops"
  return math.max(row.flops / config[rate], (row.read + row.written) / config.bytes)
end

local function least(row)
  local once = row.kernel:find "backward own" and 5 / 7 or 1  -- vbl's own attention makes S and dP twice
  if row.flops > 0 then return row.flops * once / config.flops end
  return (row.read + row.written) * fused(row.kernel) / config.bytes
end

local COLUMNS = {"calls", "launches", "flops", "gigabytes", "ms", "least"}

-- Sums of rows by `name_of`, the longest first, and of all. Transfers (no launches) run beside the rest.
local function grouped(rows, name_of)
  local groups, all = {}, {name = "all"}
  local function add(group, row)
    local of = {calls = row.calls, launches = row.launches, flops = row.flops, gigabytes = (row.read + row.written) / 1e9,
                ms = row.launches > 0 and seconds(row) * 1e3 or 0, least = row.launches > 0 and least(row) * 1e3 or 0}
    for _, column in ipairs(COLUMNS) do group[column] = (group[column] or 0) + of[column] end
  end
  for _, row in ipairs(rows) do
    local name = name_of(row)
    if not groups[name] then
      groups[name] = {name = name}
      groups[#groups + 1] = groups[name]
    end
    add(groups[name], row)
    add(all, row)
  end
  table.sort(groups, function(a, b) return a.ms > b.ms or a.ms == b.ms and a.name < b.name end)
  return groups, all
end

local function show(title, groups, all)
  print(("\n| %s | calls | launches | GFLOP | GB | ms | floor, ms | over, ms |\n|---|---|---|---|---|---|---|---|"):format(title))
  local function line(g)
    print(("| %s | %d | %d | %.1f | %.2f | %.2f | %.2f | %.2f |"):format(g.name, g.calls, g.launches, g.flops / 1e9, g.gigabytes, g.ms, g.least, g.ms - g.least))
  end
  for _, g in ipairs(groups) do line(g) end
  line(all)
end

local function of_kernel(row) return row.kernel .. (row.kernel:find "^gemm" and (row.backward and ", backward" or ", forward") or "") end
local function of_op(row) return row.op == "" and "(no op)" or row.op .. (row.backward and ", backward" or "") end

for _, B in ipairs(config.batch > 0 and {config.batch} or {48, 128, 512}) do
  local rows, model, peak = step_of(B)
  print(("\nbatch %d, %s, %s, %d parameters, %.1f GB at the peak"):format(B, config.precision, config.together and "tasks together" or "one task after the other", model:num_parameters(), peak / 1e9))
  local groups, all = grouped(rows, of_kernel)
  show("kernel", groups, all)
  show("op", grouped(rows, of_op))
  print(("\ncounted %.1f ms, of it %.1f for the FLOPs alone; floor %.1f ms"):format(all.ms, all.flops / config.flops * 1e3, all.least))
end

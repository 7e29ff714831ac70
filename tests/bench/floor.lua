-- Where the time of the step of towers.lua goes, beside the counted floor: matrix products at the rate of one large product, everything
-- else at the rate of memory (or of the cache, for what fits there), both measured in this process.
-- floor(steps, precision) -> {rows = {{part, ms, floor, how}, ...}, ms, floor, peak, stream, cache}   rates in GFLOP/s and GB/s
local vbl = require "vbl"
local F = vbl.nn.functional

-- The profiler's rows in each part; what is named nowhere is the rest.
local parts = {
  {"GEMM", "gemm"}, {"attention", "attention", "self_attention"}, {"norms and residuals", "layer_norm", "residual_norm", "dropout_add"},
  {"bias and GELU", "linear", "linear_group"}, {"embedding and patches", "text_embedding", "patchify", "vit_assemble"},
  {"loss", "info_nce", "normalize_rows", "gather_rows"}, {"optimizer", "optimizer"}, {"rest"},
}

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- Seconds of the fastest of a few calls: a rate that this machine has shown.
local function best(times, row, fn)
  local least = math.huge
  for _ = 1, times do
    vbl.scope(function() least = math.min(least, vbl.profile(fn).rows[row].seconds) end)
  end
  return least
end

local function gemm_rate(n, precision)
  local a, b = vbl.randn(n, n), vbl.randn(n, n)
  return 2 * n ^ 3 / best(5, "gemm", function() return vbl.autocast(precision, F.linear, a, b) end) / 1e9
end

-- c = a + b, each of n numbers: two reads and a write.
local function add_rate(n)
  local a, b = vbl.zeros(n), vbl.zeros(n)
  return 12 * n / best(9, "add", function() return a + b end) / 1e9
end

-- Numbers that each part has to move, and the FLOPs of attention, forward and backward, as the kernels' interface has them
-- (kernels/kernels.h). N D is the size of a stream's hidden state.
local function counted(s, parameters, precision)
  local text, image = s.B * s.T * s.D, s.B * s.P * s.D
  -- Forward: x, residual, sum, y; backward: sum, dy, dx, and dsum where the sum goes on (pre-LN). A plain norm: 2 and 3, 4.
  local norm = s.L * (text * 2 * (4 + 3) + image * ((2 + 4) + (4 + 4) + 3)) + text * (2 + 3) + image * (2 + 3)
  -- GELU after a bias: h read and written, g written; h and dg read, dh written. A bias: y read and written; dy read.
  local wide = (text + image) * s.F // s.D
  -- In bf16 both are done within the product; what is left forward is to round the inputs of qkv, projection and fc1.
  local linear = s.L * (wide * (3 + 3) + (text + image) * (3 + 1 + 1) * (2 + 1))
  if precision == "bf16" then linear = s.L * (wide * 3 + (text + image) * (3 * 1.5 + 3 + 1 + 1)) end
  local embed = text * (3 + 1 + 2) + s.B * 3 * 112 * 112 * 2 + image * (2 + 1)
  local attention = 12 * s.L * s.B * s.D * (s.T ^ 2 + s.P ^ 2)  -- two products of 2SSD forward, four backward
  return {norm = norm, linear = linear, embed = embed, attention = attention, optimizer = 8 * parameters}
end

-- Profiles of single steps after two unmeasured ones; medians by part, in ms, and a step's matrix FLOPs.
local function measure(step, steps, precision)
  local part_of, times, totals, flops = {}, {}, {}, 0
  for i, part in ipairs(parts) do
    times[i] = {}
    for j = 2, #part do part_of[part[j]] = i end
  end
  for _ = 1, 2 do vbl.autocast(precision, vbl.scope, step) end
  for n = 1, steps do
    local profile = vbl.profile(vbl.autocast, precision, vbl.scope, step)
    for i = 1, #parts do times[i][n] = 0 end
    for _, row in ipairs(profile) do
      local i = part_of[row.name] or #parts
      times[i][n] = times[i][n] + row.seconds * 1e3
    end
    totals[n], flops = profile.seconds * 1e3, profile.rows.gemm.flops
  end
  for i = 1, #parts do times[i] = median(times[i]) end
  return times, median(totals), flops
end

return function(steps, precision)
  local towers = require "towers"
  local peak, stream, cache = gemm_rate(2048, precision), add_rate(2 ^ 25), add_rate(2 ^ 20)
  local times, total, flops = measure(towers.step, steps, precision)
  local n = 0
  for _, p in ipairs(towers.parameters) do n = n + p.tensor:numel() end
  local c = counted(towers.sizes, n, precision)
  local function compute(x) return x / peak / 1e6, ("%.1f GFLOP"):format(x / 1e9) end
  local function move(x, rate, what) return 4 * x / rate / 1e6, ("%.0f MB at the rate of %s"):format(4 * x / 1e6, what) end
  local floors = {
    {compute(flops)}, {compute(c.attention)}, {move(c.norm, cache, "the cache")}, {move(c.linear, cache, "the cache")},
    {move(c.embed, cache, "the cache")}, {0, ""}, {move(c.optimizer, stream, "memory")}, {0, ""},
  }
  local rows, floor = {}, 0
  for i, part in ipairs(parts) do
    rows[i] = {part = part[1], ms = times[i], floor = floors[i][1], how = floors[i][2]}
    floor = floor + floors[i][1]
  end
  return {rows = rows, ms = total, floor = floor, peak = peak, stream = stream, cache = cache}
end

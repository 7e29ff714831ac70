-- What vbl.count_memory counts of a GPU's kernels: bytes and FLOPs against numbers counted by hand on small shapes, a forward pass against
-- model:flops, a step's products against the profile.
local check = require "check"
local vbl = require "vbl"
local F = vbl.nn.functional

local function counted(fn, precision)
  local found = vbl.count_memory({device = "cuda"}, vbl.autocast, precision or "f32", fn)
  return found.kernels, found
end

-- The one row of a kernel, of an op's forward or backward pass.
local function row(rows, kernel, backward)
  local found
  for _, r in ipairs(rows) do
    if r.kernel == kernel and r.backward == (backward or false) then
      check.ok(not found, "two rows of " .. kernel)
      found = r
    end
  end
  if not found then error("no row of " .. kernel) end
  return found
end

local function says(r, calls, launches, flops, read, written)
  for i, want in ipairs {calls, launches, flops, read, written} do
    local name = ({"calls", "launches", "flops", "read", "written"})[i]
    check.ok(r[name] == want, ("%s: %s: counted %s, by hand %s"):format(r.kernel, name, r[name], want))
  end
end

local function leaf(...) return vbl.randn(...):requires_grad_(true) end

check.group("a linear layer in bf16", function()
  local rows = counted(function()
    local x, w, b = leaf(48, 24), leaf(16, 24), leaf(16)
    F.linear(x, w, b, {gelu = true}):sum():backward()
  end, "bf16")
  -- The weights, 16 x 24, and the bias are rounded once for all, and x, 48 x 24, is kept rounded: a copy each.
  local copies = {}
  for _, r in ipairs(rows) do
    if r.kernel == "copy to bf16" and not r.backward then copies[#copies + 1] = r.read end
  end
  table.sort(copies)
  check.equal(table.concat(copies, " "), "64.0 1536.0 4608.0")
  -- h = x w' + b: 2 * 48 * 16 * 24; bf16 operands 2 * (48 * 24 + 24 * 16), bias 2 * 16; h in bf16 2 * 48 * 16.
  says(row(rows, "gemm_bf16"), 1, 1, 36864, 2 * (1152 + 384) + 32, 1536)
  says(row(rows, "gelu bf16"), 1, 1, 0, 1536, 1536)
  -- The sum's gradient is f32, g bf16.
  says(row(rows, "copy to bf16", true), 1, 1, 0, 3072, 1536)
  -- dh = dg gelu'(h) in bf16 and its columns' sums: one chunk of 48 rows, 16 sums of 4 bytes, then they again.
  says(row(rows, "gelu_backward bf16", true), 1, 1, 0, 2 * 1536, 1536 + 64)
  says(row(rows, "column_sum chunks", true), 1, 1, 0, 64, 64)
  -- dh is read by two products, which have 36864 FLOPs each.
  local flops, products = 0, 0
  for _, r in ipairs(rows) do
    check.ok(not r.kernel:find "rounding", "an operand was rounded by itself")
    if r.kernel == "gemm_bf16" and r.backward then flops, products = flops + r.flops, products + r.calls end
  end
  check.equal(products, 2)
  check.equal(flops, 2 * 36864.0)
end)

check.group("a block's way in bf16: a norm, a product, dropout and the sum with a norm behind it", function()
  local rows = counted(function()
    local x, gamma, beta, w = leaf(100, 8), leaf(8), leaf(8), leaf(8, 8)
    local a = F.linear(F.layer_norm(x, gamma, beta, {narrow = true}), w)
    local sum, y = F.residual_norm(a, x, gamma, beta, {narrow = true})
    local z = F.dropout_add(F.linear(y, w), sum)
    z:sum():backward()
  end, "bf16")
  local n, statistics, affine = 800, 2 * 400, 2 * 32
  says(row(rows, "layer_norm bf16"), 1, 1, 0, 4 * n + affine, 2 * n + statistics)
  says(row(rows, "residual_norm bf16"), 1, 1, 0, 2 * n + 4 * n + affine, 4 * n + 2 * n + statistics)
  says(row(rows, "dropout_add bf16"), 1, 1, 0, 2 * n + 4 * n, 4 * n)
  -- Backward: of the sum f32 to f32 and bf16; of the norm behind it, then that of the first one, which adds to the stream's gradient.
  says(row(rows, "dropout_add bf16", true), 1, 1, 0, 4 * n, 2 * n)
  local found = {}
  for _, r in ipairs(rows) do
    if r.kernel == "layer_norm_backward bf16" then found[#found + 1] = ("%.0f %.0f"):format(r.read, r.written) end
    check.ok(not r.kernel:find "rounding", r.kernel)
  end
  local read, parts = 4 * n + 2 * n + 4 * n + statistics + 32, 2 * 6 * 32
  check.equal(table.concat(found, ", "), ("%d %d, %d %d"):format(read, 6 * n + parts, read, 4 * n + parts))
end)

check.group("a norm", function()
  local rows = counted(function()
    local x, gamma, beta = leaf(100, 8), leaf(8), leaf(8)
    F.layer_norm(x, gamma, beta):sum():backward()
  end)
  says(row(rows, "layer_norm"), 1, 1, 0, 4 * 800 + 2 * 32, 4 * 800 + 2 * 400)
  -- x, dy and the statistics are read once; 100 rows are six chunks, each with a partial sum of each parameter.
  says(row(rows, "layer_norm_backward", true), 1, 1, 0, 2 * 3200 + 800 + 32, 3200 + 2 * 6 * 32)
  says(row(rows, "layer_norm_backward chunks", true), 1, 1, 0, 2 * 6 * 32, 2 * 32)
end)

check.group("attention", function()
  local function attend(longest)
    local qkv, seg = leaf(7, 3 * 16), vbl.tensor({{0, 4}, {4, 3}}, {dtype = "i32"})
    F.self_attention(qkv, seg, seg, {heads = 2, longest_q = longest or 4, longest_k = longest or 4, whole = true}):sum():backward()
  end
  local rows = counted(function() attend(65) end, "bf16")
  -- Two heads of 8 columns, 4 * 4 + 3 * 3 pairs: 4 FLOPs a pair and column forward, 10 backward. 7 rows of 16 numbers.
  says(row(rows, "attention_bf16"), 1, 1, 4 * 16 * 25, 3 * 224, 224 + 56)
  says(row(rows, "attention_bf16_backward", true), 1, 1, 10 * 16 * 25, 5 * 224 + 56, 3 * 224 + 56)
  local packed = 0
  for _, r in ipairs(rows) do packed = packed + (r.kernel == "attention_bf16 packing" and r.read or 0) end
  check.equal(packed, (3 + 5) * 7 * 16 * 2.0)
  -- Short ones are vbl's own kernels', which read them where they lie and make the scores and dP twice.
  rows = counted(attend, "bf16")
  says(row(rows, "attention_bf16 own"), 1, 1, 4 * 16 * 25, 3 * 224, 224 + 56)
  says(row(rows, "attention_bf16_backward own q", true), 1, 1, 6 * 16 * 25, 5 * 224 + 56, 224 + 56)
  says(row(rows, "attention_bf16_backward own kv", true), 1, 1, 8 * 16 * 25, 4 * 224 + 2 * 56, 2 * 224)
  for _, r in ipairs(rows) do check.ok(not r.kernel:find "packing", r.kernel) end
  -- Samples of one length are read and written where they lie.
  rows = counted(function()
    local qkv, seg = leaf(8, 3 * 16), vbl.tensor({{0, 4}, {4, 4}}, {dtype = "i32"})
    F.self_attention(qkv, seg, seg, {heads = 2, longest_q = 4, longest_k = 4, even = true}):sum():backward()
  end, "bf16")
  for _, r in ipairs(rows) do check.ok(not r.kernel:find "packing", r.kernel) end
  rows = counted(attend)
  says(row(rows, "attention"), 1, 1, 4 * 16 * 25, 3 * 448, 448 + 56)
  says(row(rows, "attention_backward q", true), 1, 1, 6 * 16 * 25, 5 * 448 + 56, 448 + 56)
  says(row(rows, "attention_backward kv", true), 1, 1, 8 * 16 * 25, 4 * 448 + 2 * 56, 2 * 448)
end)

check.group("rows and losses", function()
  local rows = counted(function()
    local table_, index = leaf(50, 6), vbl.tensor({3, 7, 3, 3, 49}, {dtype = "i32"})
    local logits = F.gather_rows(table_, index)
    F.cross_entropy(logits, vbl.tensor({0, 1, 2, 3, 4}, {dtype = "i32"}), {divisor = 5}):backward()
  end)
  -- Three different rows of five.
  says(row(rows, "gather_rows"), 1, 1, 0, 3 * 24 + 20, 5 * 24)
  says(row(rows, "scatter_add_rows", true), 1, 1, 0, 5 * 24 + 20 + 3 * 24, 3 * 24)
  says(row(rows, "cross_entropy"), 1, 1, 0, 120 + 20, 40)
  says(row(rows, "cross_entropy_backward", true), 1, 1, 0, 120 + 3 * 20, 120)
end)

check.group("the optimizer", function()
  local rows = counted(function()
    local w = leaf(40000)
    local optimizer = vbl.optim.adamw({{name = "w", tensor = w}}, {lr = 1e-3, clip = 1})
    w:sum():backward()
    optimizer:step(1e-3, {wait = false})
  end)
  -- 40,000 numbers are two chunks (16 bytes each) of one piece (80): 28 bytes a parameter and a norm's 4.
  says(row(rows, "adamw_pieces norms"), 1, 1, 0, 160000 + 80 + 32, 16)
  says(row(rows, "adamw_pieces sums"), 1, 1, 0, 16 + 8, 16)
  says(row(rows, "adamw_pieces scale"), 1, 1, 0, 16, 8 + 4)
  says(row(rows, "adamw_pieces"), 1, 1, 0, 4 * 160000 + 80 + 32 + 8, 3 * 160000)
end)

local function sum(rows, pattern, field)
  local total = 0
  for _, r in ipairs(rows) do total = total + (r.kernel:find(pattern) and r[field] or 0) end
  return total
end

check.group("a model's forward pass and model:flops, a step's products and the profile", function()
  local model, profile
  local function batch_of(T)
    local c = model.config
    return {tokens = vbl.zeros(3, T, {dtype = "i32", device = "cpu"}) + 5, lengths = vbl.tensor({T, T, T}, {dtype = "i32", device = "cpu"}),
            images = vbl.empty(3, 3, c.image, c.image, {dtype = "u8"})}
  end
  for _, fusion in ipairs {"interleaved", "stacked", "single_stream"} do
    for _, precision in ipairs {"f32", "bf16"} do
      local rows = counted(function()
        model = vbl.models.vilbert({preset = "tiny", fusion = fusion, dropout = 0}, "empty")
        vbl.no_grad(function() model:run(batch_of(9)) end)
      end, precision)
      local flops = sum(rows, "^gemm", "flops") + sum(rows, "^attention", "flops")
      check.ok(flops == 3 * model:flops(9), ("%s, %s: counted %.0f, model:flops %.0f"):format(fusion, precision, flops, 3 * model:flops(9)))
    end
  end
  local rows = counted(function()
    model = vbl.models.vilbert({preset = "tiny", dropout = 0.1}, "empty")
    local optimizer = vbl.optim.adamw(model:parameters(), {lr = 1e-3})
    profile = vbl.profile(function()
      local out = model:run(batch_of(7));
      (out.text:sum() + out.vision:sum()):backward()
      optimizer:step(1e-3, {wait = false})
    end)
  end, "bf16")
  check.equal(sum(rows, "^gemm", "flops"), profile.rows.gemm.flops)
  check.equal(sum(rows, "^gemm_bf16$", "calls"), profile.rows.gemm.calls)
end)

check.group("a CPU's kernels are not counted", function()
  check.equal(vbl.count_memory({}, function() return vbl.zeros(3) + 1 end).kernels, nil)
end)

check.done()

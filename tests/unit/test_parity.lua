-- Parity with PyTorch, Hugging Face and timm, from the dumps of tests/golden (make_golden.py): hidden states max |difference| <= 1e-4,
-- losses relative 1e-4, every gradient tensor relative L2 1e-4, ten AdamW steps. On the CPU, or on the device that VBL_TEST_DEVICE names.
local check = require "check"
local vbl = require "vbl"
local F = vbl.nn.functional
local nn = require "vbl.nn"
local fusion = require "vbl.models.fusion"
local layout = require "vbl.models.layout"
local taps = require "vbl.models.taps"

local device = os.getenv "VBL_TEST_DEVICE" or "cpu"
local devices, why = vbl.devices()
if device ~= "cpu" and not devices[2] then check.skip("no device: " .. why) end
vbl.set_device(device)

local function golden(name)
  local file = vbl.load("tests/golden/" .. name)
  for key, value in pairs(file) do file[key] = type(value) == "userdata" and value:to(device) or value end
  return file
end
local notes = golden "golden.json"

local function maximum(a, b) return (a - b):abs():max():item() end

-- Relative L2 distance; a tensor whose true value is 0 (the gradient of a key bias) is held against `scale`.
local function relative(got, want, scale)
  got, want = got:to("cpu"):to("f64"), want:to("cpu"):to("f64")
  local d = (got - want):square():sum():item() ^ 0.5
  local n = want:square():sum():item() ^ 0.5
  return d / math.max(n, scale or 0, 1e-30)
end

local function copy_into(model, file)
  local n = 0
  vbl.no_grad(function()
    for _, p in ipairs(model:parameters()) do
      if file[p.name] then
        p.tensor:copy_(file[p.name])
        n = n + 1
      end
    end
  end)
  return n
end

local function small(extra)
  local c = {}
  for k, v in pairs(notes.bert) do c[k] = v end
  for k, v in pairs(extra or {}) do c[k] = v end
  return vbl.models.vilbert(c)
end

-- Gradients: scale is the largest norm of any gradient, times the error of f32, for those that are exactly zero in exact arithmetic.
local function compare_gradients(model, file, prefix)
  local worst, where, n = 0, "", 0
  for _, p in ipairs(model:parameters()) do
    local want = file[(prefix or "grad.") .. p.name]
    if want then
      check.ok(p.tensor.grad, p.name .. " has no gradient")
      local d = relative(p.tensor.grad, want, p.name:match("key%.bias$") and 1)
      if d > worst then worst, where = d, p.name end
      n = n + 1
    end
  end
  print(string.format("  %d gradients, worst relative L2 %.2e (%s)", n, worst, where))
  check.ok(n > 20)
  check.near(worst, 0, 1e-4)
end

check.group("BERT", function()
  local file, model = golden "bert.safetensors", small()
  check.ok(copy_into(model, file) > 40)
  local lay = layout.text(file["input.tokens"], file["input.lengths"], {0, 1, 2}, 24, true)
  local ctx = {training = false, p = 0}
  local x = model.text:embed(lay, ctx)
  local function hidden(name)
    local d = maximum(taps.unpack(x, lay), file["hidden.text." .. name])
    check.near(d, 0, 1e-4)
    return d
  end
  local worst = hidden "embeddings"
  for i = 0, 2 do
    x = model.text.layers[i + 1]:forward(x, lay, ctx)
    worst = math.max(worst, hidden(tostring(i)))
  end
  print(string.format("  hidden states max |difference| %.2e", worst))
  local loss = (taps.unpack(x, lay) * file["input.weight"]):sum()
  check.near(loss:item(), file.loss:item(), 1e-4 * math.abs(file.loss:item()))
  loss:backward()
  compare_gradients(model, file)
  check.ok(model:parameters()["bert.pooler.dense.weight"].grad == nil)
end)

check.group("ViT", function()
  local file, model = golden "vit.safetensors", small()
  check.ok(copy_into(model, file) > 40)
  local lay = layout.image(2, 17, {0, 1})
  local ctx = {training = false, p = 0}
  local x = model.vision:embed(file["input.images"], nil, lay, ctx)
  local worst = maximum(taps.unpack(x, lay), file["hidden.vision.embeddings"])
  for i = 0, 2 do
    x = model.vision.layers[i + 1]:forward(x, lay, ctx)
    worst = math.max(worst, maximum(taps.unpack(x, lay), file["hidden.vision." .. i]))
  end
  x = model.vision.norm(x)
  worst = math.max(worst, maximum(taps.unpack(x, lay), file["hidden.vision.norm"]))
  print(string.format("  hidden states max |difference| %.2e", worst))
  check.near(worst, 0, 1e-4)
  local loss = (taps.unpack(x, lay) * file["input.weight"]):sum()
  check.near(loss:item(), file.loss:item(), 1e-4 * math.abs(file.loss:item()))
  loss:backward()
  compare_gradients(model, file)
end)

check.group("fusion block", function()
  local file = golden "fusion.safetensors"
  local lengths = file["input.lengths"]:totable()
  -- Packed rows of the text input, and where they come from.
  local index, seg, n = {}, {}, 0
  for b, length in ipairs(lengths) do
    seg[#seg + 1], seg[#seg + 2] = n, length
    for t = 1, length do
      n = n + 1
      index[n] = (b - 1) * 9 + t - 1
    end
  end
  index = vbl.tensor(index, {dtype = "i32"})
  seg = vbl.tensor(seg, {dtype = "i32"}):reshape(3, 2)
  local tl, vl = {seg = seg, keys = seg}, layout.image(3, 17, {0, 1, 2})
  for case, c in pairs(notes.fusion.cases) do
    local list = {}
    local function fan_in(k) return nn.init.fan_in(k) end
    local block = fusion.block(nn.scope(list, "", fan_in, fan_in):child(c.weights), {mlp = 64}, 32, c.coattention, c.heads, c.cross, function() return 0 end)
    local model = {parameters = function() return list end}
    check.equal(copy_into(model, file), 36)
    local text, vision = file["input.text"]:clone():requires_grad_(true), file["input.vision"]:clone():requires_grad_(true)
    local t, v, ctx = F.gather_rows(text:reshape(27, 32), index), vision:reshape(51, 32), {training = false, p = 0}
    local tq, vq = block:project("text", t), block:project("vision", v)
    t, v = block:attend("text", t, tq, vq, tl, vl, ctx), block:attend("vision", v, vq, tq, vl, tl, ctx)
    local text_out, vision_out = F.scatter_rows(t, index, {rows = 27}):reshape(3, 9, 32), v:reshape(3, 17, 32)
    check.near(maximum(text_out, file[case .. ".output.text"]), 0, 1e-4)
    check.near(maximum(vision_out, file[case .. ".output.vision"]), 0, 1e-4)
    local loss = (text_out * file["input.text_weight"]):sum() + (vision_out * file["input.vision_weight"]):sum()
    check.near(loss:item(), file[case .. ".loss"]:item(), 1e-4 * math.abs(file[case .. ".loss"]:item()))
    loss:backward()
    check.near(relative(text.grad, file[case .. ".grad.input.text"]), 0, 1e-4)
    check.near(relative(vision.grad, file[case .. ".grad.input.vision"]), 0, 1e-4)
    print("  " .. case)
    compare_gradients(model, file, case .. ".grad.")
  end
end)

-- The losses of the dump, through the tasks where their corruption can be given, and their sum.
local function losses(model, file)
  local part = {tokens = file["input.tokens"], lengths = file["input.lengths"], images = file["input.images"]}
  local mlm, ap, mim = vbl.tasks.mlm {}, vbl.tasks.ap {}, vbl.tasks.mim {}
  local result = {}
  result.mlm = mlm:forward(model, {n = 4, count = 6, labels = file["input.mlm_labels"],
                                   batch = {tokens = file["input.mlm_tokens"], lengths = part.lengths, images = part.images}}, 1, 4, 0).loss
  result.ap = ap:forward(model, {n = 4, labels = file["input.ap_labels"]:totable(),
                                 batch = {tokens = file["input.ap_tokens"], lengths = file["input.ap_lengths"], images = part.images}}, 1, 4, 0).loss
  local out = model:run(part, {unimodal = true})
  local function cls(rows, lay) return F.normalize_rows(model.cls(rows, lay)) end
  result.contrastive = F.info_nce(cls(out.unimodal.text, out.text_layout), cls(out.unimodal.vision, out.vision_layout), {temperature = 0.07, symmetric = true})
  local keys = mim:forward(model, {n = 4, repeated = {}, mask = file["input.patch_mask"]:to("u8"), batch = part}, 1, 4, 0).keys
  result.mim = mim:join(keys)
  result.total = result.mlm + result.ap + result.contrastive + result.mim
  return result
end

for _, name in ipairs {"vilbert_stacked", "vilbert_interleaved"} do
  check.group(name, function()
    local file, note = golden(name .. ".safetensors"), notes[name]
    local config = {}
    for k, v in pairs(note.config) do config[k] = v end
    local model = vbl.models.vilbert(config)
    copy_into(model, golden "bert.safetensors")
    copy_into(model, golden "vit.safetensors")
    copy_into(model, file)
    local out = vbl.no_grad(function() return model:forward {tokens = file["input.tokens"], lengths = file["input.lengths"], images = file["input.images"]} end)
    check.near(maximum(out.vision, file["output.vision"]), 0, 1e-4)
    -- The dump's rows past a length are not compared: ours are zero.
    for b, n in ipairs(file["input.lengths"]:totable()) do
      check.near(maximum(out.text:narrow(1, b, 1):narrow(2, 1, n), file["output.text"]:narrow(1, b, 1):narrow(2, 1, n)), 0, 1e-4)
    end
    local optimizer = vbl.optim.adamw(model:parameters(), {lr = 1e-3, betas = {0.9, 0.98}, eps = 1e-8, weight_decay = 0.01, clip = 1.0})
    local worst = 0
    for step = 1, 10 do
      optimizer:zero_grad()
      local result = losses(model, file)
      for loss, value in pairs(result) do
        local want = note.steps[loss][step]
        worst = math.max(worst, math.abs(value:item() - want) / math.abs(want))
      end
      result.total:backward()
      if step == 1 then
        compare_gradients(model, file)
        for _, p in ipairs(model:parameters()) do
          local want = note.gradient_norms[p.name]
          if want then
            check.near(p.tensor.grad:square():sum():item() ^ 0.5, want, 1e-4 * math.max(want, p.name:match("key%.bias$") and 1 or 0))
          else
            check.ok(p.tensor.grad == nil, p.name .. " got a gradient in vbl and none in PyTorch")
          end
        end
      end
      local norm = optimizer:step(1e-3)
      check.near(norm, note.steps.grad_norm[step], 1e-4 * note.steps.grad_norm[step])
    end
    print(string.format("  ten AdamW steps, losses' worst relative difference %.2e", worst))
    check.near(worst, 0, 1e-4)
    for _, p in ipairs(model:parameters()) do
      local want = file["final." .. p.name]
      if want then check.near(relative(p.tensor, want), 0, 1e-4) end
    end
  end)
end

check.done()

-- The two-stream model: parameter counts to the unit, placements, configuration errors, taps, padding, freezing.
local check = require "check"
local vbl = require "vbl"
local vilbert = require "vbl.models.vilbert"
local config = require "vbl.models.vilbert_config"

local function tiny(extra)
  local c = {preset = "tiny", dim = 32, layers = 4, attention_heads = 4, mlp = 64, image = 32, patch = 8, vocab = 90, max_positions = 24, dropout = 0}
  for k, v in pairs(extra or {}) do c[k] = v end
  return vbl.models.vilbert(c)
end

local function batch(lengths, T)
  local tokens = {}
  for b, n in ipairs(lengths) do
    tokens[b] = {}
    for t = 1, T do tokens[b][t] = t <= n and (7 * b + 3 * t) % 80 + 5 or 0 end
  end
  return {tokens = vbl.tensor(tokens, {dtype = "i32"}), lengths = vbl.tensor(lengths, {dtype = "i32"}), images = vbl.randn(#lengths, 3, 32, 32)}
end

check.group("as text", function()
  check.ok(tostring(tiny {depth = 1, cross_attention_layers = {0}}):find(", 1 fusion block, ", 1, true))
  check.ok(tostring(tiny {depth = 2, cross_attention_layers = {0}}):find(", 2 fusion blocks, ", 1, true))
end)

check.group("parameter counts", function()
  local heads = {preset = "base", heads = {"mlm", "ap"}, classifier = {hidden = 512, outputs = 1}}
  local function count(extra)
    local c = {}
    for k, v in pairs(heads) do c[k] = v end
    for k, v in pairs(extra) do c[k] = v end
    return vilbert(c, true)
  end
  local function prefix(model, name)
    local n = 0
    for _, p in ipairs(model.list) do if p.name:sub(1, #name) == name then n = n + p.tensor:numel() end end
    return n
  end
  local four = count {fusion = "stacked", depth = 4}
  check.equal(prefix(four, "bert."), 109482240)
  check.equal(prefix(four, "vit."), 85798656)
  check.equal(four:num_parameters(), 276256572)
  check.equal(count {fusion = "stacked", depth = 8}:num_parameters(), 332971836)
  check.equal(count {fusion = "interleaved", placement = "late"}:num_parameters(), 266800956)
end)

check.group("placements", function()
  local function same(list, ...)
    local want = {...}
    check.equal(table.concat(list, ","), table.concat(want, ","))
  end
  same(config.placement("late", 12).text, 9, 10, 11)
  same(config.placement("early", 12).vision, 3, 4, 5)
  same(config.placement("middle", 12).text, 6, 7, 8)
  same(config.placement("none", 12).text)
  same(config.placement("full", 4).text, 0, 1, 2, 3)
  same(config.placement("late", 6).text, 4, 5)
  same(config.placement("early", 6).text, 1, 2)
  same(config.placement("middle", 6).text, 3)
  same(config.placement("asymmetric", 12).vision, 3, 5, 7, 9)
  same(config.placement("optuna2", 12).text, 7, 9, 10, 11)
  check.error(function() config.placement("optuna1", 6) end, "12 layers")
  check.error(function() config.placement("lat", 12) end, "did you mean 'late'")
end)

check.group("configuration errors", function()
  local function fails(given, ...)
    local parts = {...}
    check.error(function() config.resolve(given) end, table.unpack(parts))
  end
  fails({preset = "tiny", droput = 0.1}, "droput", "did you mean 'dropout'")
  fails({preset = "tiny", dropout = "a"}, "dropout", "expected a number")
  fails({preset = "big"}, "preset", "tiny, small, base")
  fails({dim = 30}, "30", "4 attention heads")
  fails({image = 65}, "image = 65", "patch = 8")
  fails({fusion = "stacked", coattention = {text = {1}, vision = {1}}}, "interleaved")
  fails({fusion = "interleaved", coattention = {text = {2, 1}, vision = {1, 2}}}, "rise strictly")
  fails({fusion = "interleaved", coattention = {text = {1}, vision = {1, 2}}}, "same length")
  fails({fusion = "interleaved", depth = 4}, "stacked")
  fails({fusion = "interleaved", coattention = {text = 3, vision = 3}}, "coattention.text: expected a list of layers such as {1, 3}, got 3")
  fails({fusion = "interleaved", coattention = {dim = "x"}}, "coattention.dim: expected a whole number of at least 1, got x")
  fails({fusion = "interleaved", coattention = {heads = 0}}, "coattention.heads: expected a whole number of at least 1, got 0")
  fails({depth = 2.5, cross_attention_layers = {1}}, "depth: expected a whole number of at least 0, got 2.5")
  fails({depth = -1, cross_attention_layers = {}}, "depth: expected a whole number")
  fails({mean = {0.5}}, "mean: expected three numbers such as {0.5, 0.5, 0.5}")
  fails({std = {0.5, 0.5, 0}}, "std: expected three numbers above 0")
  fails({fusion = "stacked", cross_attention_layers = {4}}, "from 0 to 3")
  fails({heads = {"mlmm"}}, "did you mean 'mlm'")
  fails({heads = {"mlm", "ap", "mlm"}}, "heads: 'mlm' is there twice; name each head once")
end)

check.group("forward, padding and taps", function()
  for _, extra in ipairs {{fusion = "stacked"}, {fusion = "interleaved", placement = "full", coattention = {dim = 48, heads = 4}}, {text_norm = "pre"}} do
    local model = tiny(extra):eval()
    local b = batch({12, 5, 1}, 12)
    local out = vbl.no_grad(function() return model:tap({"text.*", "vision.norm", "fusion.*"}):forward(b) end)
    check.equal(table.concat(out.text:shape(), ","), "3,12,32")
    check.equal(table.concat(out.vision:shape(), ","), "3,17,32")
    check.near(out.text:narrow(1, 2, 1):narrow(2, 6, 7):abs():sum():item(), 0, 0)
    check.ok(out.taps["text.embeddings"] and out.taps["text.3"] and out.taps["fusion.0.vision"] and out.taps["vision.norm"])
    check.ok(out.taps["vision.0"] == nil)
    -- A sample alone gives what it gives in a batch, whatever the padding: rows are independent, so only rounding may differ.
    local one = {tokens = b.tokens:narrow(1, 2, 1):narrow(2, 1, 5), lengths = b.lengths:narrow(1, 2, 1), images = b.images:narrow(1, 2, 1)}
    local alone = vbl.no_grad(function() return model:tap():forward(one) end)
    check.near((alone.text - out.text:narrow(1, 2, 1):narrow(2, 1, 5)):abs():max():item(), 0, 1e-5)
    model.config.packed = false
    local padded = vbl.no_grad(function() return model:forward(b) end)
    check.near((padded.text - out.text):abs():max():item(), 0, 1e-5)
    check.near((padded.vision - out.vision):abs():max():item(), 0, 1e-5)
  end
  check.error(function() tiny():tap {"txt.*"} end, "txt.*", "did you mean")
end)

check.group("errors name the module's path and the shapes", function()
  local model = tiny {fusion = "stacked"}
  local b = batch({4, 3}, 6)
  check.error(function() model:forward {tokens = b.tokens, lengths = b.lengths, images = vbl.randn(2, 3, 40, 32)} end, "images: expected [2, 3, 32, 32]", "[2, 3, 40, 32]")
  check.error(function() model:forward {tokens = b.tokens, lengths = vbl.tensor({4, 9}, {dtype = "i32"}), images = b.images} end, "lengths[2]", "got 9")
  local function refused(change, ...)
    local wrong, parts = {tokens = b.tokens, lengths = b.lengths, images = b.images}, {...}
    for key, value in pairs(change) do wrong[key] = value or nil end
    check.error(function() model:forward(wrong) end, table.unpack(parts))
  end
  check.error(function() model:forward() end, "expected a batch {tokens = i32 [B, T]", "got nil")
  check.error(function() model:forward(b.tokens) end, "expected a batch", "images = [B, 3, 32, 32]", "got i32 [2, 6]")
  refused({tokens = false}, "tokens: expected i32 [B, T], got nil")
  refused({lengths = false}, "lengths: expected i32 [2], got nil")
  refused({images = false}, "images: expected u8 or f32 [2, 3, 32, 32], got nil")
  refused({tokens = b.images}, "tokens: expected i32 [B, T], got f32 [2, 3, 32, 32]")
  refused({lengths = vbl.tensor({4}, {dtype = "i32"})}, "tokens hold 2 samples and lengths 1")
  refused({images = vbl.randn(3, 3, 32, 32)}, "tokens hold 2 samples and images 3")
  check.error(function() vbl.models.vilbert "tiny" end, "expected a table of keys such as {preset = \"tiny\"}, got string")
  check.error(function() vbl.models.vilbert {preset = "tiny", hidden = 3} end, "unknown key 'hidden', did you mean 'dim'?", "?vbl.models.vilbert lists them")
  check.error(function() model.text.layers[1].fc1(vbl.randn(5, 31)) end, "bert.encoder.layer.0.intermediate.dense", "32", "31")
  check.error(function() model:forward {tokens = vbl.tensor({{200, 1}}, {dtype = "i32"}), lengths = vbl.tensor({2}, {dtype = "i32"}), images = vbl.randn(1, 3, 32, 32)} end,
              "200")
end)

check.group("freezing", function()
  local model = tiny()
  local all = model:num_parameters()
  model:freeze {"bert.*"}
  check.ok(model:num_parameters("trainable") < all)
  check.equal(model:num_parameters(), all)
  check.ok(not model:parameters()["bert.pooler.dense.bias"].requires_grad)
  model:unfreeze "bert.*"
  check.equal(model:num_parameters("trainable"), all)
  local function refused(globs, ...) check.error(function() model:freeze(globs) end, ...) end
  refused("brt.*", "freeze: no parameter is named 'brt.*', did you mean 'bert.*'?")
  refused({"bert.*", "vit.block.0.*"}, "'vit.block.0.*', did you mean 'vit.blocks.0.*'?")
  refused("*.weigth", "did you mean '*.weight'?")
  refused("bert.encoder.layer.*.output.dense.wieght", "did you mean 'bert.encoder.layer.*.output.dense.weight'?")
  refused("transformer.h.*", "names begin with bert, vit, fusion")
  refused({["bert.*"] = true}, "named by bert.* = true: expected a list of names")
  refused({3}, "expected a list of names")
  refused(3, "freeze: no parameter is named by 3: expected a list of names")
  refused(nil, "freeze: no parameter is named by nil")
  check.equal(model:num_parameters("trainable"), all)  -- the good patterns beside them have frozen nothing
  check.error(function() model:unfreeze "brt.*" end, "unfreeze: no parameter is named 'brt.*'")
  check.error(function() model:ablate {co = "fusion.0"} end, "expected a list of names")
end)

check.group("co-attention off is the encoders alone", function()
  local model = tiny {fusion = "interleaved", placement = "full"}:eval()
  local b = batch({7, 4}, 7)
  local other = {tokens = b.tokens, lengths = b.lengths, images = vbl.randn(2, 3, 32, 32)}
  vbl.no_grad(function()
    local first, second = model:run(b, {cross = false}), model:run(other, {cross = false})
    check.near((first.text - second.text):abs():max():item(), 0, 0)
    local third, fourth = model:run(b, {unimodal = true}), model:run(b)
    check.near((third.unimodal.text - first.text):abs():max():item(), 0, 1e-6)
    check.ok((fourth.text - first.text):abs():max():item() > 1e-3)
  end)
end)

check.done()

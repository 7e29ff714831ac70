-- vbl.analysis: what the features are (against the model run by hand), and each analysis on data whose answer is known.
local vbl = require "vbl"
local check = require "check"
local c = require "vbl.store.c"
local statistics = require "vbl.statistics"
local analysis = vbl.analysis

local root = require "fresh_folder" "analysis"

vbl.manual_seed(3)
local data = vbl.data.open("scenes", {train = 40, test = 40, image = 64, patch = 16})
local model = vbl.models.vilbert {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, depth = 2, cross_attention_layers = {1},
                                  vocab = data.tokenizer:size(), init = "fan_in"}
local train, test = data:split "train", data:split "test"
local features = analysis.features(model, test, {samples = 25, batch = 8, tokens = true, train = train, partners = {"matched", "mismatched", "none"}})

local function same(a, b) return select(2, a:allclose(b, {rtol = 0, atol = 0})) end

check.group("features are the model's own taps", function()
  check.equal(#features.layers, 4)
  check.equal(table.concat(features:coattention(), " "), "3")
  model:eval():tap {"fusion.*", "text.1"}
  local batch = test:range(1, 8)
  local out = vbl.no_grad(function() return model:forward(batch) end)
  model:tap()
  local lengths = batch.lengths:totable()
  check.ok(features:get("matched", 4, "text", "cls"):narrow(1, 1, 8):allclose(out.taps["fusion.1.text"]:select(2, 1)))
  check.ok(features:get("matched", 4, "vision", "mean"):narrow(1, 1, 8):allclose(out.taps["fusion.1.vision"]:narrow(2, 2, 16):mean(2), {atol = 1e-5}))
  local words = out.taps["text.1"]:select(1, 3):narrow(1, 2, lengths[3] - 2):mean(1)  -- neither [CLS] nor [SEP]
  check.ok(features:get("matched", 2, "text", "mean"):select(1, 3):allclose(words, {atol = 1e-5}))
  check.ok(features:get("none", 2, "text", "cls"):allclose(features:get("matched", 2, "text", "cls")))
  for i = 1, 8 do check.equal(features.lengths[i], lengths[i]) end
  check.equal(features.groups, nil)  -- each scene is an image of its own
  check.equal(model.training, false)
end)

check.group("mismatched: text 2 has seen image 3, image 2 has seen text 1", function()
  local batch = test:range(1, 8)
  model:tap {"fusion.1.*"}
  local function alone(text, image)
    local pair = {tokens = batch.tokens:narrow(1, text, 1), lengths = batch.lengths:narrow(1, text, 1), images = batch.images:narrow(1, image, 1)}
    local out = vbl.no_grad(function() return model:forward(pair) end)
    return out.taps["fusion.1.text"]:select(2, 1):select(1, 1), out.taps["fusion.1.vision"]:select(2, 1):select(1, 1)
  end
  local text = alone(2, 3)
  local _, vision = alone(1, 2)
  model:tap()
  check.ok(features:get("mismatched", 4, "text", "cls"):select(1, 2):allclose(text, {atol = 1e-4}))
  check.ok(features:get("mismatched", 4, "vision", "cls"):select(1, 2):allclose(vision, {atol = 1e-4}))
end)

check.group("mismatched where neighbours show one image: another image for every pair", function()
  local f = require("data_files").new()
  local lines = {}
  for i = 1, 8 do f:image(("i/%d.jpg"):format(i), i) end
  for i = 0, 23 do lines[i + 1] = ('{"img": "i/%d.jpg", "text": "question %d about it"}'):format(i // 3 + 1, i) end
  f:write("asked.jsonl", table.concat(lines, "\n") .. "\n")
  local asked = vbl.data.open(f.path .. "/asked.jsonl", {image = 64, max_bad = 0, test_fraction = 0})
  local view = asked:split "train"
  check.ok(view:same_image(1, 3) and not view:same_image(3, 4))
  local own = vbl.models.vilbert {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, depth = 2, cross_attention_layers = {1},
                                  vocab = asked.tokenizer:size(), init = "fan_in"}
  local made = analysis.features(own, view, {samples = 24, batch = 12, partners = {"mismatched"}})
  local batch = view:range(1, 12)
  own:eval():tap {"fusion.1.text"}
  local pair = {tokens = batch.tokens:narrow(1, 1, 1), lengths = batch.lengths:narrow(1, 1, 1), images = batch.images:narrow(1, 4, 1)}
  local text = vbl.no_grad(function() return own:forward(pair) end).taps["fusion.1.text"]:select(2, 1):select(1, 1)
  own:tap()
  check.ok(made:get("mismatched", 4, "text", "cls"):select(1, 1):allclose(text, {atol = 1e-4}))  -- question 1 has seen image 2
  check.error(function() analysis.features(own, view, {samples = 24, batch = 3, partners = {"mismatched"}}) end, "too few different images")
  check.equal(table.concat(made.groups, " ", 1, 7), "1 1 1 2 2 2 3")
  local function null_of(groups)
    local t = analysis.table(made, {"cka"}, {null = 39, interval = false, groups = groups})
    return table.concat(t:column "null_q95", " "), t.note
  end
  local own_groups, note = null_of()
  check.ok(own_groups == null_of(made.groups) and own_groups ~= null_of(false))
  check.ok(note:find "pairs of one image together" and not select(2, null_of(false)):find "together")
  -- An image's pairs are in one part of a probe, and no law of single rows is a chance level of them.
  local about_image = {}
  for i = 1, 24 do about_image[i] = (i - 1) // 3 % 2 end
  local probed = analysis.probing(made, {half = about_image}, {streams = {"vision"}})
  local part = require("vbl.measure.groups").folds(made.groups, 3, 0, {0.6, 0.2, 0.2})
  check.equal(probed.rows[1][5], (vbl.measure.linear_probe(made:get("mismatched", 1, "vision", "cls"), about_image, {part = part})))
  check.ok(probed.note:find("pairs of one image in one of them", 1, true))
  local epochs = analysis.evolution({{epoch = 0, features = made}}, {"mknn", "retrieval"}, {k = 3})
  check.equal(epochs.rows[1][6], "")
  check.near(epochs.rows[2][6], 3 / 24, 1e-12)
  check.ok(epochs.note:find("whole images shuffled", 1, true))
  local lines = analysis.layers(made:pairs "mismatched", {groups = made.groups})
  check.ok(analysis.chance(lines):find("several pairs show one image", 1, true))
  check.ok(analysis.chance(analysis.layers(made:pairs "mismatched")):find "mknn=")
  analysis.save(root .. "/asked.safetensors", made)
  check.equal(table.concat(analysis.load(root .. "/asked.safetensors").groups, " "), table.concat(made.groups, " "))
  for step = 1, 20 do
    for b, from in ipairs(view:swap_captions(view:batch {1, 2, 3, 4, 5, 6}, {seed = 1, step = step, epoch = 0}).from) do
      check.ok(from == b or not view:same_image(from, b))
    end
  end
  f:remove()
end)

check.group("an image that does not decode: the features say whose rows they are", function()
  local f = require("data_files").new()
  local lines = {}
  for i = 1, 12 do
    f:image(("i/%d.png"):format(i), i)
    lines[i] = ('{"id": "pair-%d", "img": "i/%d.png", "text": "the %d. of them"}'):format(i, i, i)
  end
  local bytes = c.read_file(f.path .. "/i/3.png")
  local data_at = bytes:find "IDAT" + 4
  f:write("i/3.png", bytes:sub(1, data_at + 1) .. ("\xff"):rep(8) .. bytes:sub(data_at + 10))
  f:write("all.jsonl", table.concat(lines, "\n") .. "\n")
  local set = vbl.data.open(f.path .. "/all.jsonl", {image = 64, max_bad = 0.2, test_fraction = 0})
  local own = vbl.models.vilbert {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16, depth = 1, cross_attention_layers = {0},
                                  vocab = set.tokenizer:size(), init = "fan_in"}
  local made = analysis.features(own, set:split "train", {samples = 12, batch = 6})
  check.equal(table.concat(made.ids, " ", 2, 4), "pair-2 pair-4 pair-4")
  f:remove()
end)

-- A view of `view` whose pairs 1 .. last but those of `kept` have a caption without a word.
local function wordless(view, last, kept)
  local pad, sep = data.tokenizer:id "[PAD]", data.tokenizer:id "[SEP]"
  local own = setmetatable({}, {__index = function(_, key)
    return type(view[key]) == "function" and function(_, ...) return view[key](view, ...) end or view[key]
  end})
  function own:range(first, count)
    local batch = view:range(first, count)
    local tokens, lengths = batch.tokens:totable(), batch.lengths:totable()
    for i = 1, count do
      if first + i - 1 <= last and not kept[first + i - 1] then
        lengths[i], tokens[i][2] = 2, sep
        for t = 3, #tokens[i] do tokens[i][t] = pad end
      end
    end
    batch.tokens, batch.lengths = vbl.tensor(tokens, {dtype = "i32"}), vbl.tensor(lengths, {dtype = "i32"})
    return batch
  end
  own.same_image = function(_, ...) return view:same_image(...) end
  return own
end

check.group("captions without words: max-sim is the mean over the others, whatever the batch", function()
  local view = wordless(test, 12, {[7] = true, [8] = true})
  local function max_sim(batch, samples) return analysis.features(model, view, {samples = samples, batch = batch, partners = {"none"}}).max_sim.none end
  local whole = max_sim(24, 24)
  for _, size in ipairs {4, 8} do  -- the first four have none
    local parts = max_sim(size, 24)
    -- f32 features of another batch differ by the order of a few hundred terms' sums
    for i, layer in ipairs(whole) do
      for j = 1, 2 do check.near(parts[i][j], layer[j], 1e-5) end
    end
  end
  for j = 1, 2 do check.ok(whole[1][j] == whole[1][j]) end
  view = wordless(test, 12, {})
  local none = max_sim(4, 12)
  check.ok(none[1][1] ~= none[1][1] and none[1][2] ~= none[1][2])
end)

check.group("features in a file", function()
  analysis.save(root .. "/sub/f.safetensors", features)
  local again = analysis.load(root .. "/sub/f.safetensors")
  check.equal(tostring(again), tostring(features))
  check.equal(again.max_sim.matched[2][1], features.max_sim.matched[2][1])
  for name, t in pairs(features.tensors) do check.equal(same(again.tensors[name], t), 0) end
  vbl.save(root .. "/other.safetensors", {x = vbl.ones(2, 2)})
  check.error(function() analysis.load(root .. "/other.safetensors") end, "other.safetensors", "vbl_features")
  check.error(function() features:get("matched", 9, "text", "cls") end, "no layer 9")
  check.error(function() again:get("matchd", 1, "text", "cls") end, "partner 'matchd' is not in them")
end)

check.group("a probe set that was trained on, or is too small", function()
  check.error(function() analysis.features(model, test, {samples = 16, train = test}) end, "of probe pair 1 is training pair 1 too")
  check.error(function() analysis.features(model, test, {samples = 4}) end, "4 pairs", "at least 8")
  check.error(function() analysis.features(model, test, {sample = 16}) end, "features: no option 'sample', did you mean 'samples'? (batch, mean, ")
  check.error(function() analysis.features(model, test, 16) end, "features: expected a table of options, got number")
  check.error(function() analysis.features(model, data, {samples = 16}) end, "expected a split such as data:split \"test\"")
  check.equal(#model.tapped, 0)
end)

check.group("statistics", function()
  check.equal(table.concat(statistics.ranks {3, 1, 3, 2}, " "), "3.5 1.0 3.5 2.0")
  check.near(statistics.spearman({1, 2, 3, 4}, {1, 3, 2, 4}), 0.8, 1e-12)
  check.equal(statistics.spearman({1, 1, 1}, {1, 2, 3}), nil)
  check.near(statistics.fisher_mean({0.5, 0.5}, {4, 4}), 0.5, 1e-12)
  check.equal(statistics.fisher_mean({1, 1}, {4, 12}), 1)
  -- Of 4 values, 1 counts as 0.9: one list of layers that agrees does not outweigh the others.
  check.near(statistics.fisher_mean({1, 0.4, -0.8, 0}, {4, 4, 4, 4}), 0.19671599, 1e-8)
  check.near(statistics.fisher_mean({-1, 0.4}, {4, 4}), -statistics.fisher_mean({1, -0.4}, {4, 4}), 1e-12)
  local q = require("vbl.measure.calibrate").fdr {0.01, 0.04, 0.03, 0.005}
  for i, want in ipairs {0.02, 0.04, 0.04, 0.02} do check.near(q[i], want, 1e-12) end
  local seed, draws = vbl.random_state()
  local a, b, again = statistics.permutation(50, 1, 1), statistics.permutation(50, 1, 2), statistics.permutation(50, 1, 1)
  check.ok(table.concat(a, " ") == table.concat(again, " ") and table.concat(a, " ") ~= table.concat(b, " "))
  table.sort(b)
  check.ok(b[1] == 1 and b[50] == 50)
  local seed2, draws2 = vbl.random_state()
  check.ok(seed == seed2 and draws == draws2, "the script's random stream has moved")
end)

check.group("sheets", function()
  local s = analysis.dimensionality(features, {partners = {"matched"}})
  s:save(root .. "/dim")
  local rows = vbl.load(root .. "/dim.tsv", {header = true})
  check.equal(#rows, 8)
  check.near(tonumber(rows[1].effective_rank), vbl.measure.effective_rank(features:get("matched", 1, "text", "cls")), 1e-12)
  check.equal(#vbl.load(root .. "/dim.json").rows, 8)
  check.ok(tostring(s):find("effective_rank", 1, true))
  check.error(function() s:column "laier" end, "did you mean 'layer'")
  local constant = require("vbl.analysis.sheet").cell(0 / 0, {status = "ZERO_VARIANCE"})
  check.equal(constant, "ZERO_VARIANCE")
end)

check.group("layer x layer", function()
  local s = analysis.matrices(features, "cka", {partners = {"matched"}})
  check.equal(#s.rows, 3 * 16)
  local within, across = s.blocks[2].matrix, s.blocks[1].matrix
  for i = 1, 4 do
    check.near(within[i][i], 1, 1e-9)
    for j = 1, 4 do check.equal(within[i][j], within[j][i]) end
    for j = 1, 4 do
      check.near(across[i][j], vbl.measure.cka(features:get("matched", i, "text", "cls"), features:get("matched", j, "vision", "cls")), 1e-9)
    end
  end
  check.ok(tostring(s):find("3*", 1, true), "the co-attending layer is not marked")
end)

check.group("per-layer table: both partners, chance, p", function()
  local s = analysis.table(features, {"cka", "mknn"}, {null = 19, interval = false})
  check.equal(#s.rows, 4 * 2 + 4)
  check.near(s:values({layer = "layer3", measure = "mknn"}, "mismatched")[1],
             vbl.measure.mknn(features:get("mismatched", 4, "text", "cls"), features:get("mismatched", 4, "vision", "cls")), 1e-12)
  check.near(s:values({layer = "layer0", measure = "mknn"}, "chance")[1], 10 / 24, 1e-12)
  local p = s:values({layer = "layer3", measure = "cka"}, "matched_p")[1]
  check.ok(p >= 1 / 20 and p <= 1)
  check.ok(tostring(s):find("mismatched", 1, true) and tostring(s):find("max", 1, true))
end)

check.group("per-layer table: a measure that is undefined with one partner leaves the others' rows where they are", function()
  local x, y, flat = vbl.randn(20, 4), vbl.randn(20, 4), vbl.ones(20, 4)
  local made = setmetatable({n = 20, layers = {{name = "layer0"}}, partners = {"matched", "mismatched"}, max_sim = {matched = {}, mismatched = {}}, tensors = {
    ["matched/layer0/text.cls"] = x, ["matched/layer0/vision.cls"] = y, ["mismatched/layer0/text.cls"] = flat, ["mismatched/layer0/vision.cls"] = y}},
    getmetatable(features))
  local s = analysis.table(made, {"cka", "cosine"}, {null = 19, interval = false})
  check.equal(s:values({layer = "max", measure = "cosine"}, "mismatched")[1], s:values({layer = "layer0", measure = "cosine"}, "mismatched")[1])
  local undefined = s:values({layer = "max", measure = "cka"}, "mismatched")[1]
  check.ok(undefined ~= undefined)
  check.ok(tostring(s):find("ZERO_VARIANCE", 1, true))
end)

check.group("evolution, and other pairs at another epoch", function()
  local list = {{epoch = 0, features = features}, {epoch = 2, features = features}}
  local s = analysis.evolution(list, {"cka"})
  check.equal(#s.rows, 2 * 3 * 4)
  check.equal(s:values({epoch = 2, partner = "none", layer = 1})[1],
              (vbl.measure.cka(features:get("none", 2, "text", "cls"), features:get("none", 2, "vision", "cls"))))
  local other = analysis.features(model, train, {samples = 25})
  check.error(function() analysis.evolution({list[1], {epoch = 1, features = other}}, {"cka"}) end, "different probe pairs")
  check.equal(#analysis.matrices_over(list, "cka", {partners = {"matched"}}).blocks, 2)
end)

check.group("pooling, neighbouring layers, baseline", function()
  local s = analysis.pooling(features, {"mknn"}, {k = 5})
  check.equal(s:values({layer = 1, partner = "matched", measure = "mknn"}, "mean")[1],
              (vbl.measure.mknn(features:get("matched", 2, "text", "mean"), features:get("matched", 2, "vision", "mean"), {k = 5})))
  check.equal(s:values({layer = 1, partner = "matched", measure = "max_sim_pt"}, "tokens")[1], features.max_sim.matched[2][2])
  local tokens = analysis.adjacent({features, features}, "cka", {pool = "tokens", partners = {"matched"}})
  check.equal(#tokens.rows, 6)
  check.equal(tokens.rows[1][5], 0)  -- the deviation of two equal runs
  local b = analysis.baseline(features, features, {"cka"})
  check.near(b:values({layer = 0}, "difference")[1], 0, 1e-12)
  check.ok(b:values({layer = 3}, "difference")[1] > 0.05, "co-attention shows nothing beyond the encoders")
end)

check.group("correlation within models, distances turned", function()
  local models = {{cka = {0.1, 0.2, 0.3, 0.4}, modality_gap = {4, 3, 2, 1}, mknn = {1, 2, 3, 0 / 0}},
                  {cka = {10.1, 10.2, 10.3, 10.4}, modality_gap = {-4, -5, -6, -7}, mknn = {3, 2, 1, 5}}}
  local s = analysis.correlation(models, {"cka", "modality_gap", "mknn"})
  check.near(s.matrix[1][2], 1, 1e-6)
  check.near(s.matrix[1][3], statistics.fisher_mean({1, 0.2}, {3, 4}), 1e-9)
  check.equal(table.concat(analysis.correlation(models, {"cka", "mknn"}, {unit = "epochs"}).columns, " "), "measure other spearman epochs layers")
  check.equal(s.rows[1][4], 2)
end)

check.group("a measure and a score: within groups, not between them", function()
  -- Large models score higher and align more; within a size the relation is the other way round (Simpson).
  local rows = {}
  for group = 1, 3 do
    for i = 1, 6 do rows[#rows + 1] = {model = group .. "-" .. i, group = "size" .. group, cka = 10 * group + i, mknn = i % 2, score = 10 * group - i} end
  end
  rows[#rows + 1] = {model = "single", group = "other", cka = 1, mknn = 1, score = 1}
  local s = analysis.downstream(rows, {"cka", "mknn"}, {permutations = 999})
  check.near(s.rows[1][2], -1, 1e-12)
  check.near(s.rows[1][3], 1 / 1000, 2e-3)
  check.ok(s.rows[2][3] > 0.05 and s.rows[2][4] >= s.rows[2][3])
  check.equal(s.rows[1][5], 18)
  check.equal(s.rows[1][6], 3)
  check.error(function() analysis.downstream({{model = "a", cka = 1}}, {"cka"}) end, "row 1 ('a') has no score")
  -- Four clusters of five seeds each: 4! orders of the clusters, of which this one and its reverse are as far from none. As 20 models of
  -- their own they would have p near 1e-4.
  rows = {}
  for cluster = 1, 4 do
    for seed = 1, 5 do rows[#rows + 1] = {model = cluster .. "-" .. seed, cluster = cluster, cka = cluster + seed / 100, score = cluster + seed / 100} end
  end
  s = analysis.downstream(rows, {"cka"})
  check.near(s.rows[1][2], 1, 1e-12)
  check.near(s.rows[1][3], 1 / 24, 5 * math.sqrt(1 / 24 / 10000))
  check.ok(s.note:find("24 orders: p is at least 0.042", 1, true), s.note)
  for _, row in ipairs(rows) do row.lower = true end
  check.near(analysis.downstream(rows, {"cka"}, {permutations = 1}).rows[1][2], -1, 1e-12)  -- the score is a loss
  rows = {}
  for i = 1, 70 do rows[i] = {model = i, cka = i, score = i} end
  s = analysis.downstream(rows, {"cka"}, {permutations = 99})
  check.ok(not s.note:find("orders", 1, true), s.note)
  -- A measure without a p is no test among others.
  for _, row in ipairs(rows) do row.mknn = 1 end
  local both = analysis.downstream(rows, {"mknn", "cka"}, {permutations = 99})
  check.equal(both.rows[2][4], s.rows[1][4])
  check.equal(both.rows[1][4], "")
end)

check.group("stability: shuffled rows follow the chance laws", function()
  vbl.manual_seed(5)
  local x, y = vbl.randn(256, 32), vbl.randn(256, 32)
  local biased = {"cka", label = "biased", opts = {estimator = "biased"}}
  local s = analysis.stability({{name = "a", x = x, y = y}}, {biased, "mknn"}, {n = {64, 256}, k = {5, 50}, draws = 4})
  for _, n in ipairs {64, 256} do
    -- Isotropic data of width d: d / (n + d), within 3 standard errors of 4 draws (sd about 0.02 at n = 64).
    check.near(s:values({by = "n", at = n, measure = "biased"}, "null")[1], 32 / (n + 32), 0.03)
    check.near(s:values({by = "n", at = n, measure = "mutual k-NN"}, "chance")[1], 10 / (n - 1), 1e-12)
  end
  check.near(s:values({by = "k", at = 50, measure = "mutual k-NN"}, "value")[1], 50 / 255, 0.03)
  -- Layers that are undefined (more dimensions than rows) have no place in an order.
  local wide = {}
  for i = 1, 4 do wide[i] = {name = "l" .. i, x = vbl.randn(96, 100), y = vbl.randn(96, 100)} end
  for _, row in ipairs(analysis.stability(wide, {"cca"}, {n = {64, 96}, draws = 2}).rows) do check.equal(row[9], "") end
  check.error(function() analysis.stability({{name = "a", x = x, y = y}}, {"cka"}, {n = {512}}) end, "n = 512", "16 to 256")
  check.error(function() analysis.stability({{name = "a", x = x, y = y}}, {"cka"}, {n = {64}, draws = 0}) end, "test_analysis.lua:", "stability: draws: expected a number of subsets, from 1, got 0")
  check.error(function() analysis.stability({{name = "a", x = x, y = y}}, {"cka"}, {n = {}, k = {}}) end, "no number of items or neighbours")
end)

check.group("probing", function()
  local labels = analysis.scene_labels(test, 25)
  check.equal(labels.color[3], test:scene(3)[1].color)
  local perfect = {}
  for i = 1, 25 do perfect[i] = i % 2 end
  local rows = vbl.randn(25, 4)
  for i = 1, 25 do rows[{i, 1}] = perfect[i] * 10 end
  local fake = setmetatable({n = 25, layers = {{name = "layer0"}}, partners = {"matched"}, tensors = {["matched/layer0/text.cls"] = rows}, max_sim = {matched = {}}},
                            getmetatable(features))
  local s = analysis.probing(fake, {bit = perfect}, {streams = {"text"}})
  check.equal(s.rows[1][5], 1)
  c.write_atomic(root .. "/labels.tsv", "scene-1\tcat\nscene-2\tdog\n")
  check.equal(table.concat(analysis.file_labels(root .. "/labels.tsv", {"scene-2", "scene-1"}).label, " "), "1 0")
  check.error(function() analysis.file_labels(root .. "/labels.tsv", {"scene-3"}) end, "labels.tsv", "no label for 'scene-3'")
end)

check.group("a measure that fails its self-test prints nothing", function()
  local passed = vbl.measure.passed
  vbl.measure.passed = function(name)
    if name == "mknn" then return false, "known: 0.5, expected 0.375" end
    return passed(name)
  end
  local calls = {
    function() analysis.table(features, {"cka", "mknn"}, {null = 0}) end, function() analysis.matrices(features, "mknn") end,
    function() analysis.evolution({{epoch = 0, features = features}}, {"mknn"}) end, function() analysis.pooling(features, {"mknn"}) end,
    function() analysis.adjacent({features}, "mknn") end, function() analysis.baseline(features, features, {"mknn"}) end,
    function() analysis.stability(features:pairs "matched", {"mknn"}, {k = {5}}) end, function() analysis.layers(features:pairs "matched") end,
    function() analysis.correlation({}, {"mknn"}) end, function() analysis.downstream({}, {"mknn"}) end,
    function() analysis.matrices_over({{epoch = 0, features = features}}, "mknn") end,
  }
  calls[#calls + 1] = function() analysis.table(features, "mknn", {null = 0}) end
  for _, call in ipairs(calls) do check.error(call, "mknn fails its self-test", "expected 0.375") end
  check.equal(#analysis.matrices(features, "cka", {partners = {"matched"}}).blocks, 3)
  check.equal(analysis.matrices(features, "cka", {partners = {"matched"}, blocks = {"vision - vision"}}).blocks[1].block, "vision - vision")
  check.error(function() analysis.matrices(features, "cka", {blocks = {"text"}}) end, "no block 'text'", "text - vision")
  vbl.measure.passed = passed
end)

check.group("an option that is none is an error of every analysis", function()
  local wrong = {nul = 3}
  local calls = {
    ["table"] = function() analysis.table(features, "cka", wrong) end, matrices = function() analysis.matrices(features, "cka", wrong) end,
    matrices_over = function() analysis.matrices_over({{epoch = 0, features = features}}, "cka", wrong) end,
    evolution = function() analysis.evolution({{epoch = 0, features = features}}, {"cka"}, wrong) end,
    pooling = function() analysis.pooling(features, {"cka"}, wrong) end, adjacent = function() analysis.adjacent({features}, "cka", wrong) end,
    stability = function() analysis.stability(features:pairs "matched", {"cka"}, wrong) end, downstream = function() analysis.downstream({}, {}, wrong) end,
    probing = function() analysis.probing(features, {}, wrong) end, dimensionality = function() analysis.dimensionality(features, wrong) end,
    scatter = function() analysis.scatter(features, 3, wrong) end, baseline = function() analysis.baseline(features, features, {"cka"}, wrong) end,
  }
  for name, call in pairs(calls) do check.error(call, "test_analysis.lua:", ("analysis.%s: no option 'nul'"):format(name)) end
  check.error(calls.table, "did you mean 'null'?")
end)

check.group("principal components", function()
  local x <close> = vbl.measure.prepare(vbl.tensor {{3, 0}, {-3, 0}, {0, 1}, {0, -1}})
  local scores, shares = x:components(2)
  check.near(shares[1], 0.9, 1e-12)
  check.near(math.abs(scores[{1, 1}]), 3, 1e-12)
  check.near(scores[{3, 1}], 0, 1e-12)
  check.error(function() x:components(3) end, "rank, 2")
  local s = analysis.scatter(features, 3, {partners = {"matched"}})
  check.equal(#s.rows, 50)
end)

check.done()

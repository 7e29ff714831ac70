-- Downstream tasks: losses against PyTorch, class weights, what a division of a view keeps apart, baselines, predictions and their scores.
local check = require "check"
local c = require "vbl.store.c"
local downstream = require "vbl.tasks.downstream"
local labels = require "vbl.tasks.labels"
local predictions = require "vbl.tasks.predictions"
local scoring = require "vbl.tasks.scoring"
local shuffled = require "vbl.data.shuffled"
local start = require "vbl.train.start"
local vbl = require "vbl"

local golden = vbl.load((debug.getinfo(1, "S").source:match "^@(.*)/unit/") .. "/golden/finetune.json")

-- f32 sums of at most 20 terms of size 1 to 8 in double-rounded inputs: an error of a few times 2^-24 relative to the largest.
local TOLERANCE = 20 * 8 * 2 ^ -24

check.group("losses and gradients equal PyTorch's", function()
  for _, case in ipairs(golden.cases) do
    local logits = vbl.tensor(case.logits):requires_grad_(true)
    local targets = vbl.tensor(case.targets, {dtype = case.kind == "multiclass" and "i32" or "f32"})
    local weights, total = {}, 0
    for i, known in ipairs(case.known) do
      local class = case.kind == "binary" and case.targets[i][1] or case.targets[i]
      weights[i] = known == 0 and 0 or case.weights ~= c.null and case.weights[math.tointeger(class) + 1] or 1
      total = total + weights[i]
    end
    local loss = labels[case.kind].loss(logits, targets, weights, total)
    check.near(loss:item(), case.loss, TOLERANCE)
    loss:backward()
    local want = vbl.tensor(case.gradient)
    check.near((logits.grad - want):abs():max():item(), 0, TOLERANCE)
  end
end)

local questions = vbl.data.open("scenes", {train = 600, test = 64, questions = true, seed = 3})

check.group("scenes as questions: the answer is what the picture shows", function()
  local kind, names = questions:labels()
  local view, seen, of = questions:split "train", {}, {color = 0, shape = 8, size = 12, where = 14}
  check.equal(kind, "class")
  check.equal(#names, 23)
  for i = 1, view:size() do
    local text, object = view:caption(i), view:scene(i)[1]
    local asked = text:find "where" and "where" or text:match "color" or text:match "shape" or text:match "size"
    check.ok(asked ~= nil, text)
    seen[asked] = true
    local value = asked == "where" and object.place or object[asked]
    if view:label(i) ~= of[asked] + value then check.equal(view:label(i), of[asked] + value) end
  end
  check.ok(seen.color and seen.shape and seen.size and seen.where)
  check.ok(questions:hash() ~= vbl.data.open("scenes", {train = 600, test = 64, seed = 3}):hash())
end)

check.group("a held-out share: whole images, the same for every order, apart from the rest", function()
  local view = questions:split "train"
  local kept, held = view:divide(0.2)
  check.equal(kept:size() + held:size(), 600)
  check.ok(held:size() > 80 and held:size() < 160, ("%d held out"):format(held:size()))
  local ids = {}
  for i = 1, held:size() do ids[held:image_id(i)] = true end
  for i = 1, kept:size() do check.ok(not ids[kept:image_id(i)]) end
  local other = select(2, vbl.data.open("scenes", {train = 600, test = 10, questions = true, seed = 99}):split("train"):divide(0.2))
  check.equal(other:size(), held:size())  -- by ids alone, which all seeds share
  check.equal(kept:part(3, 2):image_id(1), kept:image_id(3))
  check.equal(kept:part(3, 2):size(), 2)
  check.error(function() kept:part(kept:size(), 2) end, "2 samples from")
  check.error(function() view:divide(1) end, "share")
  check.error(function() view:part(1, 1):divide(0.5) end, "both parts need some")
end)

check.group("tasks by the kind of labels, and those that do not fit", function()
  local train = questions:split "train"
  local task = downstream.new("scenes", questions, train)
  check.equal(task.kind .. task.outputs, "multiclass23")
  check.equal(downstream.name_for(questions), "scenes")
  check.error(function() downstream.new("hateful_memes", questions, train) end, "task hateful_memes: needs binary labels; scenes has multiclass ones")
  check.error(function() downstream.row "easy_vqs" end, "no task 'easy_vqs'", "easy_vqa")
  check.error(function() downstream.metric(task, "acuracy") end, "no metric 'acuracy', did you mean 'accuracy'?")
  check.equal(downstream.metric(task, "auto"), "accuracy")
  local captions = vbl.data.open("scenes", {train = 64, test = 8})
  check.equal(downstream.name_for(captions), "itm")
  check.equal(downstream.new("itm", captions, captions:split "train").kind, "binary")
  check.error(function() downstream.new("jsonl", captions, captions:split "train") end, "scenes has none")
end)

check.group("balanced weights: every class has the same sum", function()
  local train = questions:split "train"
  local task = downstream.new("scenes", questions, train, {class_weights = "balanced"})
  local sums, total = {}, 0
  for i = 1, train:size() do
    local class = train:label(i)
    sums[class] = (sums[class] or 0) + task.class_weights[class + 1]
    total = total + task.class_weights[class + 1]
  end
  for _, sum in pairs(sums) do check.near(sum, 600 / 23, 1e-9) end
  local work = task:prepare(train, train:range(1, 50), {seed = 0, step = 1, epoch = 1})
  local want = 0
  for i = 1, 50 do want = want + task.class_weights[train:label(i) + 1] end
  check.near(work.count, want, 1e-9)
end)

check.group("baselines: what each sees", function()
  local function model(classifier, fusion)
    vbl.manual_seed(1)
    local c = {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, vocab = 106, heads = {}, init = "fan_in", dropout = 0}
    for key, value in pairs(fusion) do c[key] = value end
    c.classifier = classifier
    return vbl.models.vilbert(c):eval()
  end
  local a, b = questions:split("train"):range(1, 4), questions:split("train"):range(5, 4)
  local function logits(m, text, image) return m:classify {tokens = text.tokens, lengths = text.lengths, images = image.images} end
  local function differ(x, y) return (x - y):abs():max():item() end
  local none = {fusion = "interleaved", placement = "none"}
  local text, image = model({outputs = 3, reads = "text"}, none), model({outputs = 3, reads = "vision"}, none)
  check.equal(differ(logits(text, a, a), logits(text, a, b)), 0)
  check.ok(differ(logits(text, a, a), logits(text, b, a)) > 1e-4)
  check.equal(differ(logits(image, a, a), logits(image, b, a)), 0)
  check.ok(differ(logits(image, a, a), logits(image, a, b)) > 1e-4)
  for _, fusion in ipairs {"concat", "sum", "product"} do
    local m = model({outputs = 3, fusion = fusion}, {fusion = "single_stream"})
    check.ok(differ(logits(m, a, a), logits(m, a, b)) > 1e-4 and differ(logits(m, a, a), logits(m, b, a)) > 1e-4)
  end
  -- One stream alone is what the whole model gives without fusion.
  local out = text:run(a)
  local whole = text.classifier(text.cls(out.text, out.text_layout), nil, {training = false, samples = {0, 1, 2, 3}})
  check.near(differ(whole, logits(text, a, a)), 0, 1e-6)
  check.error(function() model({outputs = 3, fusion = "hardamard"}, none) end, "classifier.fusion: expected one of concat, sum, product")
  check.error(function() model({outputs = 3, hiden = 5}, none) end, "unknown key 'hiden', did you mean 'hidden'?")
end)

check.group("single stream: padding changes nothing, gradients are right", function()
  vbl.manual_seed(2)
  local m = vbl.models.vilbert {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 32, vocab = 30, heads = {}, init = "fan_in", dropout = 0,
                                fusion = "single_stream", classifier = {outputs = 2, hidden = 8}}
  local images = vbl.rand(2, 3, 64, 64)
  local function run(T)
    local tokens = {{2, 5, 7, 3}, {2, 9, 3}}
    for b = 1, 2 do for t = #tokens[b] + 1, T do tokens[b][t] = 0 end end
    return m:classify {tokens = vbl.tensor(tokens, {dtype = "i32"}), lengths = vbl.tensor({4, 3}, {dtype = "i32"}), images = images}
  end
  check.near((run(4) - run(7)):abs():max():item(), 0, 1e-6)
  local packed = run(6)
  m.config.packed = false
  check.near((packed - run(6)):abs():max():item(), 0, 1e-5)
  m.config.packed = true
  -- A directional derivative against central differences, in f32: the loss is about 1, its rounding 1e-7 / step.
  run(4):square():sum():backward()
  local p = m:parameters()["vit.blocks.0.attn.qkv.weight"]
  local direction, step = p.grad / p.grad:square():sum():sqrt(), 1e-2
  local slope = (p.grad * direction):sum():item()
  local function at(by) return vbl.no_grad(function()
    p:copy_(p + direction * by)
    local value = run(4):square():sum():item()
    p:copy_(p - direction * by)
    return value
  end) end
  check.near((at(step) - at(-step)) / (2 * step), slope, 0.02 * math.abs(slope) + 1e-4)
end)

check.group("co-attention off by name, in eval mode only", function()
  vbl.manual_seed(3)
  local m = vbl.models.vilbert {preset = "tiny", dim = 16, layers = 4, attention_heads = 2, mlp = 32, patch = 16, vocab = 106, heads = {}, init = "fan_in", dropout = 0,
                                fusion = "interleaved", placement = "full", classifier = {outputs = 2}}
  local batch = questions:split("train"):range(1, 4)
  local function logits() return m:classify(batch) end
  local on = logits()
  m:ablate {"fusion.1"}
  check.equal((logits() - on):abs():max():item(), 0)  -- in training nothing is off
  m:eval()
  check.ok((logits() - on):abs():max():item() > 1e-4)
  m:ablate {"fusion.*"}
  local out = m:run(batch, {cross = false})
  local off = m.classifier(m.cls(out.text, out.text_layout), m.cls(out.vision, out.vision_layout), {training = false, samples = {0, 1, 2, 3}})
  check.near((logits() - off):abs():max():item(), 0, 1e-6)
  m:ablate()
  check.equal((logits() - on):abs():max():item(), 0)
  check.error(function() m:ablate {"fusion.9"} end, "ablate: no co-attending block is named 'fusion.9'", "fusion.")
end)

check.group("shuffled pairs: texts and labels stay, images are others'", function()
  local view = questions:split "test"
  local mixed = shuffled(view)
  local a, b = view:range(1, 4), mixed:range(1, 4)
  local n = view:size()
  check.equal(a.tokens:ne(b.tokens):to("f32"):sum():item(), 0)
  check.equal((view:range(1 + n // 2, 4).images:to "f32" - b.images:to "f32"):abs():max():item(), 0)
  check.equal(mixed:label(b.index[2]), view:label(2))
  local loader <close> = mixed:loader()
  loader:submit({3, 9}, 1)
  local c2 = loader:next()
  check.equal(c2.index[2], 9)
  check.equal((view:batch({3 + n // 2}).images:to "f32" - c2.images:narrow(1, 1, 1):to "f32"):abs():max():item(), 0)
end)

-- A view of samples that show these images.
local function view_of(images)
  local view = {}
  function view.size() return #images end
  function view.image_key(_, i) return images[i] end
  function view.image_id(_, i) return "s" .. i end
  function view.same_image(_, i, j) return images[i] == images[j] end
  return view
end

check.group("shuffled pairs: no sample keeps its image, wherever its records stand; half the view further on where each has one", function()
  for _, images in ipairs {{1, 2, 3, 4, 5, 1, 2, 3, 4, 5}, {7, 7, 7, 8, 8, 9}, {1, 2, 1, 3, 1, 2, 4}, {5, 6}} do
    local view = view_of(images)
    local mixed, seen = shuffled(view), {}
    for i = 1, #images do
      local from = mixed:shifted({i})[1]
      check.ok(not view:same_image(i, from), ("sample %d of %s has the image of %d"):format(i, table.concat(images, " "), from))
      check.equal(mixed:image_key(i), images[from])
      check.ok(not seen[from])
      seen[from] = true
    end
  end
  check.equal(table.concat(shuffled(view_of {4, 9, 2, 6, 3}):shifted {1, 2, 3, 4, 5}, " "), "3 4 5 1 2")
  check.error(function() shuffled(view_of {4}) end, "1 of the 1 samples show one image (the first: s1)")
  check.error(function() shuffled(view_of {1, 2, 2, 2, 3}) end, "3 of the 5 samples show one image (the first: s2)")
end)

local function predicted(kind, classes, logits, targets, known)
  local p, ids, list = predictions.new(kind, classes), {}, {}
  for i = 1, #targets do ids[i], list[i] = "s" .. i, targets[i] end
  p:add(ids, vbl.tensor(logits), vbl.tensor(targets, {dtype = kind == "multiclass" and "i32" or "f32"}), known or {}, list)
  for i = 1, #targets do p.known[i] = p.known[i] or 1 end
  return p:close()
end

check.group("scores: worked by hand, unknown labels left out, thresholds", function()
  local p = predicted("multiclass", {"a", "b", "c"}, {{2, 0, 0}, {0, 2, 0}, {0, 2, 0}, {0, 0, 2}}, {0, 1, 2, 2}, {1, 1, 1, 0})
  local values, shares = scoring.values(p)
  check.near(values.accuracy, 2 / 3, 1e-12)
  check.equal(shares.accuracy[2], 3)
  local low, high = vbl.metrics.wilson(2, 3)
  local intervals = scoring.intervals(p, values, shares)
  check.ok(intervals.accuracy[1] == low and intervals.accuracy[2] == high)
  check.ok(intervals.f1_macro[1] <= values.f1_macro and intervals.f1_macro[2] >= values.f1_macro)
  -- Logits whose best threshold for F1 is not 0.5: positives at 0.3 and above.
  p = predicted("multilabel", {"x", "y"}, {{-0.8, 1}, {-0.7, -1}, {-2, 1}, {-3, -1}}, {{1, 1}, {1, 0}, {0, 1}, {0, 0}})
  check.near(scoring.values(p).f1_macro, 0.5, 1e-12)
  local thresholds = scoring.tune(p)
  check.ok(thresholds[1] < 0.31 and thresholds[2] == 0.5)
  check.near(scoring.values(p, thresholds).f1_macro_tuned, 1, 1e-12)
  check.equal(scoring.tune(predicted("multiclass", {"a", "b", "c"}, {{1, 0, 0}}, {0})), nil)
  p = predicted("soft", {"a", "b"}, {{1, 0}, {0, 1}}, {{0.3, 1}, {0, 0.6}})
  check.near(scoring.values(p).vqa_accuracy, (0.3 + 0.6) / 2, 1e-6)
end)

check.group("ranks are those of the logits, where the scores of large ones are all 1", function()
  local p = predicted("binary", {"no", "yes"}, {{18}, {25}, {30}, {17.5}}, {{0}, {1}, {1}, {0}})
  check.equal(p.scores:min():item(), 1.0)
  local values = scoring.values(p)
  check.equal(values.auroc .. " " .. values.average_precision, "1.0 1.0")
  p = predicted("multilabel", {"x", "y"}, {{20, -1}, {19, 1}, {21, -2}}, {{1, 0}, {0, 1}, {1, 0}})
  check.equal(scoring.values(p).average_precision, 1.0)
  check.equal(scoring.intervals(p, {average_precision = 1}, {}).average_precision[1], 1.0)
end)

check.group("predictions as they are written", function()
  local path = os.tmpname()
  local p = predicted("binary", {"no", "yes"}, {{0.5}, {-3}}, {{1}, {0}})
  p.labels = {1, 0}
  p:write(path, {task = "t", split = "val", kind = "binary", classes = p.classes, thresholds = {0.25}, checkpoint = {epoch = 2}})
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = c.json_decode(line) end
  os.remove(path)
  check.equal(lines[1].thresholds[1], 0.25)
  check.equal(lines[2].id .. lines[2].label, "s11")
  check.near(lines[2].scores, 1 / (1 + math.exp(-0.5)), 1e-7)
  check.equal(lines[2].logits .. " " .. lines[3].logits, "0.5 -3")
end)

check.group("a tuned threshold decides as it was tuned: a last score that it lies just below counts", function()
  local predictions = require "vbl.tasks.predictions"
  local p = predictions.new("multilabel", {"a", "b"})
  p:add({"x", "y", "z"}, vbl.tensor {{-3, -3}, {-2, -4}, {-2.5, -2}}, vbl.tensor {{1, 1}, {1, 0}, {1, 1}}, {1, 1, 1}, {{0, 1}, {0}, {0, 1}})
  p:close()
  check.near(scoring.values(p, scoring.tune(p)).f1_macro_tuned, 1, 1e-12)
  check.ok(select(2, vbl.metrics.wilson(40, 40)) <= 1 and vbl.metrics.wilson(0, 40) >= 0)
end)

-- Predictions of retrieval of vectors [n, D]; images[i]: the image that sample i shows. In two parts, as batches come.
local function retrieved(text, vision, images)
  local view, collector, index = view_of(images), require("vbl.tasks.retrieval").new({name = "r"}):collector(), {}
  for i = 1, #images do index[i] = i end
  local half = #images // 2
  for _, part in ipairs {{1, half}, {half + 1, #images}} do
    local function rows(x) return x:narrow(1, part[1], part[2] - part[1] + 1) end
    collector.add(view, {index = table.move(index, part[1], part[2], 1, {})}, nil, 1, part[2] - part[1] + 1, {vectors = {rows(text), rows(vision)}})
  end
  return collector.finish()
end

check.group("retrieval of images with one record: the values of vbl.measure.retrieval", function()
  vbl.manual_seed(4)
  local x = vbl.randn(300, 6)  -- more than a block
  local y = x + vbl.randn(300, 6) * 0.7
  local unit, images = vbl.nn.functional.normalize_rows, {}
  for i = 1, 300 do images[i] = i end
  local p = retrieved(unit(x), unit(y), images)
  local values, shares = scoring.values(p)
  local _, record = vbl.measure.retrieval(unit(x), unit(y))
  for _, name in ipairs {"r1", "r5", "r10", "median_rank", "mrr"} do
    check.equal(values[name .. "_t2i"], record[name])
    check.equal(values[name .. "_i2t"], record[name .. "_yx"])
  end
  check.ok(values.r1_t2i > 0.1 and values.r1_t2i < 0.9)
  check.equal(shares.r5_t2i[2], 300)
end)

check.group("retrieval of images with several records: a text looks among images, an image for any of its texts", function()
  -- Images 1, 2, 3 are the axes; 1 and 2 have two texts each. Text 2 lies nearest image 3, text 5 as near image 1 as its own.
  local axes = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
  local images, vision = {1, 1, 2, 2, 3}, {}
  for i, image in ipairs(images) do vision[i] = axes[image] end
  local p = retrieved(vbl.tensor {{0.9, 0.1, 0}, {0.3, 0.2, 0.8}, {0.2, 0.9, 0}, {0, 0.7, 0.1}, {0.5, 0, 0.5}}, vbl.tensor(vision), images)
  check.equal(table.concat(p.ranks.t2i, " "), "1.0 2.0 1.0 1.0 1.5")
  check.equal(table.concat(p.ranks.i2t, " "), "1.0 1.0 2.0")
  local values, shares = scoring.values(p)
  check.near(values.r1_t2i, 3 / 5, 1e-12)
  check.near(values.r1_i2t, 2 / 3, 1e-12)
  check.equal(shares.r1_i2t[1] .. "/" .. shares.r1_i2t[2], "2/3")
  check.equal(values.median_rank_i2t, 1)
  check.near(values.mrr_t2i, (3 + 1 / 2 + 1 / 1.5) / 5, 1e-12)
  local path = os.tmpname()
  p:write(path, {task = "r", split = "val", kind = "retrieval"})
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = c.json_decode(line) end
  os.remove(path)
  check.equal(lines[2].ranks.t2i .. " " .. lines[2].ranks.i2t, "1 1")
  check.equal(lines[3].ranks.i2t, nil)
  check.equal(lines[6].ranks.t2i .. " " .. lines[6].ranks.i2t, "1.5 2")
  -- A perfect model finds everything; one that gives one vector to all finds what chance does; NaN finds nothing.
  local two = {}
  for i = 1, 40 do two[i] = (i - 1) % 20 + 1 end
  local v = vbl.nn.functional.normalize_rows(vbl.randn(20, 6))
  v = vbl.cat({v, v}, 1)
  values = scoring.values(retrieved(v, v, two))
  check.near(values.r1_t2i, 1, 1e-12)
  check.near(values.r1_i2t, 1, 1e-12)
  values = scoring.values(retrieved(vbl.ones(40, 6), vbl.ones(40, 6), two))
  check.equal(values.median_rank_t2i, 10.5)
  check.equal(values.median_rank_i2t, 20)
  values = scoring.values(retrieved(vbl.full({40, 6}, 0 / 0), v, two))
  check.equal(values.median_rank_t2i, 21)
  check.equal(values.median_rank_i2t, 41)
end)

check.group("layer-wise rates: from the heads down", function()
  local m = vbl.models.vilbert({preset = "tiny", layers = 4, vocab = 50, fusion = "interleaved", placement = "late", heads = {}, classifier = {outputs = 2}}, true)
  local scale = start.layer_scales(m, 0.5)
  check.equal(scale["classifier.fc1.weight"], 1)
  check.equal(scale["bert.encoder.layer.3.output.dense.weight"], 0.5)
  check.equal(scale["vit.blocks.0.attn.qkv.weight"], 1 / 16)
  check.equal(scale["fusion.0.text.query.weight"], 0.5)  -- it stands before layer 3
  check.equal(scale["bert.embeddings.word_embeddings.weight"], 1 / 32)
  check.equal(start.layer_scales(m, 1), nil)
end)

check.group("matching files: the clean ones first, other lines are bad records", function()
  local files = require("data_files").new()
  for i = 1, 3 do files:image(("%d.jpg"):format(i), i) end
  files:write("itm_train.tsv", "1.jpg\ta dog\t1\n1.jpg\ta cat\t0\n2.jpg\ta bird\t1\n2.jpg\tno label\n")
  files:write("itm_test.tsv", "1.jpg\ta dog\t1\n")
  files:write("itm_test_clean.tsv", "3.jpg\ta fish\t0\n3.jpg\ta frog\t1\n")
  local data = vbl.data.open("itm:" .. files.path, {max_bad = 0.5})
  local train, test = data:split "train", data:split "test"
  check.equal(train:size() .. " " .. test:size(), "3 2")
  check.equal(train:caption(2) .. train:label(2) .. test:image_id(1), "a cat03.jpg#test-1")
  check.ok(train:same_image(1, 2) and not train:same_image(1, 3))
  check.ok(data:describe():find "itm_train.tsv:?.*4")
  check.equal(downstream.new(downstream.name_for(data), data, train).name, "itm")
  files:remove()
end)

check.done()

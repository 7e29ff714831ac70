-- Sets where several samples show one image (questions, records of pairs): such samples are no negatives of each other in a contrastive term,
-- and no other images to each other.
local check = require "check"
local evaluate = require "vbl.train.evaluate"
local held_out = require "vbl.train.held_out"
local mismatch = require "vbl.data.mismatch"
local predict = require "vbl.train.predict"
local tasks = require "vbl.tasks"

local f = require("data_files").new()
local lines = {}
for i = 1, 6 do f:image(("i/%d.png"):format(i), i) end
for i = 0, 17 do lines[i + 1] = ('{"img": "i/%d.png", "text": "question %d about it"}'):format(i // 3 + 1, i) end
f:write("asked.jsonl", table.concat(lines, "\n") .. "\n")
local data = vbl.data.open(f.path .. "/asked.jsonl", {image = 32, patch = 8, max_bad = 0, test_fraction = 0})
local view = data:split "train"
local model = vbl.models.vilbert {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, image = 32, patch = 8, depth = 2,
                                  cross_attention_layers = {1}, vocab = data.tokenizer:size(), heads = {"mlm", "ap", "ap_similarity"}, init = "fan_in"}
local order = {1, 4, 2, 7, 3, 5, 6, 10, 18, 17, 16, 8}  -- images 1 2 1 3 1 2 2 4 6 6 6 3
local batch = view:batch(order)

check.group("samples of one image: the first is taken", function()
  check.equal(view:image_key(1), view:image_key(3))
  check.ok(view:image_key(3) ~= view:image_key(4))
  local repeated, seen = tasks.repeats(view, order), {}
  for b = 1, #order do seen[b] = repeated[b] and "r" or "-" end
  check.equal(table.concat(seen), "--r-rrr--rrr")
  repeated = tasks.repeats(view, order, {0, 1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1})
  for b = 1, #order do seen[b] = repeated[b] and "r" or "-" end
  check.equal(table.concat(seen), "----r-r----r")
  local scenes = vbl.data.open("scenes", {image = 32, train = 8, test = 2}):split "train"
  check.equal(next(tasks.repeats(scenes, {1, 2, 3, 4})), nil)
end)

-- The rows of keys over parts of a batch, in order.
local function rows_of(task, work, size)
  local rows = {}
  for lo = 1, work.n, size do
    local keys = vbl.no_grad(function() return task:forward(model:eval(), work, lo, math.min(lo + size - 1, work.n), 0) end).keys
    for _, row in ipairs(keys and keys[2]:totable() or {}) do rows[#rows + 1] = row end
  end
  return rows
end

local function equal(a, b)
  if #a ~= #b then return false end
  for i, row in ipairs(a) do
    for j, value in ipairs(row) do
      if math.abs(value - b[i][j]) > 1e-5 then return false end
    end
  end
  return true
end

check.group("ap: no two pairs of the contrastive term show one image", function()
  local ap = tasks.ap {contrastive = {}}
  for step = 1, 8 do
    local work = ap:prepare(view, batch, {seed = 1, step = step, epoch = 0})
    local out = vbl.no_grad(function() return model:eval():run(tasks.part(work.batch, 1, 12), {pass = 0, unimodal = true, fuse = false}) end)
    local vision = vbl.nn.functional.normalize_rows(model.cls(out.unimodal.vision, out.vision_layout)):totable()
    local want, seen = {}, {}
    for b, i in ipairs(order) do
      if work.labels[b] == 1 and not seen[(i - 1) // 3] then
        want[#want + 1], seen[(i - 1) // 3] = vision[b], true
      end
    end
    check.ok(#want >= 2 and #want <= 5, #want)
    check.ok(equal(rows_of(ap, work, 12), want))
    check.ok(equal(rows_of(ap, work, 5), want))  -- whatever the micro-batches
  end
end)

check.group("mim: the patches of an image are candidates once", function()
  local mim = tasks.mim {}
  local work = mim:prepare(view, batch, {seed = 1, step = 1, epoch = 0})
  local visible = 0
  for b, row in ipairs(work.mask:totable()) do
    for _, hidden in ipairs(row) do visible = visible + (({[1] = 1, [2] = 1, [4] = 1, [8] = 1, [9] = 1})[b] and 1 - hidden or 0) end
  end
  check.equal(#rows_of(mim, work, 12), visible)
  check.ok(equal(rows_of(mim, work, 12), rows_of(mim, work, 5)))
  check.ok(visible < 12 * 16)
end)

check.group("retrieval: the samples of one image are no negatives in the test loss, and all are ranked", function()
  local task, losses = require("vbl.tasks.retrieval").new {name = "r"}, {}
  local function predicted(micro)
    return predict({tasks = {task}, model = model, micro = micro, config = {batch = 6, flags = {seed = 1}}}, view)
  end
  for first = 1, 18, 6 do  -- images 1 1 1 2 2 2, ...
    vbl.no_grad(function()
      local pair = view:batch {first, first + 3}
      local keys = task:forward(model:eval(), task:prepare(view, pair), 1, 2, 0).keys
      losses[#losses + 1] = task:join(keys):item()
    end)
  end
  local found, loss = predicted(6)
  check.near(loss, (losses[1] + losses[2] + losses[3]) / 3, 1e-5)
  check.equal(#found.ranks.t2i .. " " .. #found.ranks.i2t, "18 6")
  check.near(select(2, predicted(4)), loss, 1e-5)
end)

-- The loss of the first 18 samples in batches of `size`, the images of each batch moved on by moves[k]; false: it is left out.
local function loss_with_images_moved(mlm, size, moves)
  local sum, count = 0, 0
  for k, by in ipairs(moves) do
    local first = 1 + (k - 1) * size
    local b = view:range(first, math.min(size, 18 - first + 1))
    local work = mlm:prepare(view, b, {seed = 5, step = held_out.STEP - first, epoch = 0, test = true})
    local index = {}
    for i = 1, b.n do index[i] = b.index[(i + (by or 0) - 1) % b.n + 1] end
    work.batch.images = view:batch(index).images
    local out = by and vbl.no_grad(function() return mlm:forward(model:eval(), work, 1, work.n, 0) end)
    if out then sum, count = sum + out.loss:item() * work.count, count + work.count end
  end
  return sum / count
end

check.group("images shuffled: no caption keeps its image; batches of too few images are left out and counted", function()
  local mlm = tasks.mlm {probability = 1}
  local function values(size) return (evaluate.run(model, {mlm}, view, {batch = size, micro = size, samples = 18, seed = 5})) end
  local v = values(6)  -- images 1 1 1 2 2 2, ...
  check.near(v["loss.mlm_shuffled"], loss_with_images_moved(mlm, 6, {3, 3, 3}), 1e-5)
  check.equal(v["left_out.mlm_shuffled"], nil)
  v = values(4)  -- 1 1 1 2, 2 2 3 3, 3 4 4 4, 5 5 5 6, 6 6
  check.near(v["loss.mlm_shuffled"], loss_with_images_moved(mlm, 4, {false, 2, false, false, false}), 1e-5)
  check.equal(v["left_out.mlm_shuffled"], 4)
  v = values(3)
  check.equal(v["loss.mlm_shuffled"], nil)
  check.equal(v["left_out.mlm_shuffled"], 6)
  local scenes = vbl.data.open("scenes", {image = 32, patch = 8, train = 8, test = 12}):split "test"
  check.equal(mismatch.distance(scenes, {3, 4, 5, 6}), 1)
  check.equal(mismatch.distance(view, {7}), nil)
end)

check.group("a split without one masked token has no MLM loss, not one of 0", function()
  local v, _, errors = evaluate.run(model, {tasks.mlm {probability = 1e-9}}, view, {batch = 6, micro = 6, samples = 18, seed = 5})
  check.equal(v["loss.mlm"], nil)
  check.equal(v["loss.mlm_shuffled"], nil)
  check.equal(v["left_out.mlm_shuffled"], nil)
  check.equal(errors["loss.mlm"], nil)
end)

f:remove()

check.done()

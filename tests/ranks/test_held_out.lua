-- Under mpirun: what is found on held-out pairs whose batches the ranks share is what one process finds; batches that are smaller than the ranks are many, too.
local check = require "check"
local data_files = require "data_files"
local dist = require "vbl.dist"
local evaluate = require "vbl.train.evaluate"
local own_images = require "vbl.data.own_images"
local predict = require "vbl.train.predict"
local sorted_keys = require "vbl.sorted_keys"
local vbl = require "vbl"

dist.start()

local function model_for(set)
  vbl.manual_seed(3)
  return vbl.models.vilbert {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, image = set.image, patch = set.patch, vocab = set.tokenizer:size(),
                             heads = {"mlm", "ap"}, init = "fan_in", classifier = {hidden = 8, outputs = 1}}
end

-- Images that do not decode have other samples in their place.
local function captions(broken)
  local c, rows = data_files.new(), {}
  for i = 1, 12 do
    c:image(("i/%d.png"):format(i), i)
    rows[i] = ("i/%d.png\tpicture %d, of colour %d\n"):format(i, i, 13 - i)
  end
  c:write("captions.tsv", table.concat(rows))
  local store = require "vbl.store.c"
  for _, i in ipairs(broken) do
    local bytes = store.read_file(("%s/i/%d.png"):format(c.path, i))
    c:write(("i/%d.png"):format(i), bytes:sub(1, 60) .. ("\0"):rep(#bytes - 80) .. bytes:sub(-20))
  end
  return vbl.data.open("captions:" .. c.path .. "/captions.tsv", {image = 32, patch = 8, max_bad = 0.5, test_fraction = 0, seed = 1}), c
end

-- Another order of the sums over a batch: 2e-6, as of unit/test_accumulate.
local function same(set, view, batch, samples)
  local tasks = {vbl.tasks.mlm {}, vbl.tasks.ap {contrastive = {weight = 1}}, vbl.tasks.mim {}}
  local model, opts = model_for(set), {batch = batch, micro = 2, samples = samples, seed = 5}
  local expected = dist.alone(evaluate.run, model, tasks, view, opts)
  local values = evaluate.run(model, tasks, view, opts)
  check.equal(table.concat(sorted_keys(values), " "), table.concat(sorted_keys(expected), " "))
  for name, v in pairs(expected) do check.near(values[name] or 0 / 0, v, 2e-6 * math.max(1, math.abs(v))) end
  return values
end

check.group("losses", function()
  local set = vbl.data.open("scenes", {image = 32, patch = 16, train = 8, test = 24, seed = 3})
  for _, case in ipairs {{8, 19}, {24, 24}, {7, 23}} do  -- the last batch has 3, 24 and 2 samples
    local values = same(set, set:split "test", case[1], case[2])
    check.ok(values["loss.mlm"] and values["loss.mlm_shuffled"] and values["accuracy.ap_one_attribute"] and values["loss.mim"])
  end
end)

check.group("losses beside images that do not decode", function()
  for _, broken in ipairs {{}, {4}, {1, 2, 11}} do
    local set, files = captions(broken)
    same(set, set:split "train", 5, 12)
    files:remove()
  end
end)

check.group("predictions, their loss and its chance level", function()
  local set, files = captions {1, 2, 11}
  local view, model = set:split "train", model_for(set)
  for _, task in ipairs {require("vbl.tasks.retrieval").new {name = "r"}, require("vbl.tasks.downstream").new("itm", set, view, {class_weights = "none"})} do
    local job = {tasks = {task}, model = model, micro = 2, config = {batch = 5, flags = {seed = 5}}}
    local expected, found = {dist.alone(predict, job, view)}, {predict(job, view)}
    check.equal(table.concat(found[1].ids, " "), table.concat(expected[1].ids, " "))
    check.equal(found[1].n, 9)
    if found[1].logits then check.near((found[1].logits - expected[1].logits):abs():max():item(), 0, 2e-6) end
    for i = 2, 4 do check.near(found[i] or 0, expected[i] or 0, 2e-6 * math.max(1, math.abs(expected[i] or 0))) end
  end
  files:remove()
end)

check.group("a rank reads no more than it needs", function()
  local set = vbl.data.open("scenes", {image = 32, patch = 16, train = 8, test = 24, seed = 3})
  local most, plain = 0, own_images.new
  own_images.new = function(rows, ranges)
    most = math.max(most, rows:size(1))
    return plain(rows, ranges)
  end
  local function most_of(task)
    most = 0
    evaluate.run(model_for(set), {task}, set:split "test", {batch = 24, micro = 8, samples = 24, seed = 5})
    return most
  end
  local share = dist.largest(24)
  check.equal(most_of(vbl.tasks.mim {}), share)
  check.ok(most_of(vbl.tasks.mlm {}) <= 2 * share, ("%d of 24 images"):format(most))  -- its own, and those that its captions meet when shuffled
  own_images.new = plain
end)
check.done()

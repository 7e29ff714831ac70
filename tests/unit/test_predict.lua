-- What a fine-tuned model is scored on: every caption, the same drawn pairs whatever the seed and the batch, no sample in another's place.
local check = require "check"
local data_files = require "data_files"
local predict = require "vbl.train.predict"

require("vbl.dist").start()  -- under mpirun too: the ranks share the batches

-- Nine images with one, two or three captions each, as a set of captions; the third image is damaged where `broken`.
local function captioned(broken)
  local c = data_files.new()
  local rows = {}
  for i = 1, 9 do
    c:image(("i/%d.png"):format(i), i)
    for k = 1, 1 + i % 3 do rows[#rows + 1] = ("i/%d.png\tcaption %d of picture %d\n"):format(i, k, i) end
  end
  c:write("captions.tsv", table.concat(rows))
  if broken then
    local store = require "vbl.store.c"
    local bytes = store.read_file(c.path .. "/i/3.png")
    c:write("i/3.png", bytes:sub(1, 60) .. ("\0"):rep(#bytes - 80) .. bytes:sub(-20))
  end
  return c
end

local function job_of(task, seed, batch_size, m, micro)
  return {tasks = {task}, model = m, micro = micro or batch_size, config = {batch = batch_size, flags = {seed = seed}}}
end

local function open_captions(c, seed)
  return vbl.data.open("captions:" .. c.path .. "/captions.tsv", {image = 32, patch = 8, max_bad = 0.5, test_fraction = 0, seed = seed})
end

local function model_for(set)
  vbl.manual_seed(3)
  return vbl.models.vilbert {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, image = 32, patch = 8, depth = 1, cross_attention_layers = {0},
                             vocab = set.tokenizer:size(), init = "fan_in", classifier = {hidden = 8, outputs = 1}}
end

check.group("retrieval: every caption is scored, whatever the seed, the batch and the micro-batch", function()
  local c = captioned()
  local texts
  for seed = 0, 2 do
    local set = open_captions(c, seed)
    local shown = set:split "train"
    local p = predict(job_of(require("vbl.tasks.retrieval").new {name = "r"}, seed, 3 + seed, model_for(set), 2), shown)
    local count = 0
    for i = 1, shown:size() do count = count + shown:captions(i) end
    check.equal(p.n, count)
    check.equal(#p.ranks.t2i .. " " .. #p.ranks.i2t, count .. " 9")
    check.equal(table.concat(p.ids, " ", 1, 5), "i/1.png i/1.png#2 i/2.png i/2.png#2 i/2.png#3")
    local found = table.concat(p.ranks.t2i, " ") .. "/" .. table.concat(p.ranks.i2t, " ")
    texts = texts or found
    check.equal(found, texts)
    -- By hand: caption k of sample i against all images, an image against all captions.
    local vectors, images = {}, {}
    local m = model_for(set):eval()
    vbl.no_grad(function()
      local task = require("vbl.tasks.retrieval").new {name = "r"}
      for i = 1, shown:size() do
        for k = 1, shown:captions(i) do
          local batch_of_one = shown:batch({i}, {caption = k})
          local out = task:forward(m, task:prepare(shown, batch_of_one), 1, 1, 0)
          vectors[#vectors + 1] = {i, out.vectors[1]:to "f64"}
          images[i] = out.vectors[2]:to "f64"
        end
      end
    end)
    for at, text in ipairs(vectors) do
      local own, better = (text[2] * images[text[1]]):sum():item(), 0
      for i, image in ipairs(images) do better = better + (i ~= text[1] and (text[2] * image):sum():item() > own and 1 or 0) end
      check.equal(p.ranks.t2i[at], 1.0 + better)
    end
  end
  c:remove()
end)

check.group("matching of drawn pairs: the scored ones are the same whatever the seed and the batch, half of them matched", function()
  local c, first = captioned(), nil
  for seed = 0, 2 do
    local set = open_captions(c, seed)
    local task = require("vbl.tasks.downstream").new("itm", set)
    local p = predict(job_of(task, seed, 3 + seed, model_for(set)), set:split "train")
    local labels, matched = table.concat(p.labels, " "), 0
    for _, label in ipairs(p.labels) do matched = matched + label end
    check.ok(matched == 4 or matched == 5)
    first = first or {labels, p.scores}
    check.equal(labels, first[1])
    check.ok(p.scores:allclose(first[2], {atol = 1e-5, rtol = 0}))
  end
  c:remove()
end)

check.group("an image that cannot be decoded is left out of what is scored, and no neighbour counts twice", function()
  local c = captioned(true)
  local set = open_captions(c, 0)
  local shown = set:split "train"
  check.equal(shown:size(), 9)
  local p = predict(job_of(require("vbl.tasks.downstream").new("itm", set), 0, 4, model_for(set)), shown)
  check.equal(p.n, 8)
  check.ok(not table.concat(p.ids, " "):find("i/3.png", 1, true))
  c:remove()
end)

check.done()

-- Image-text retrieval by the CLS vectors of the two streams as they are before any co-attention: trained with InfoNCE in both directions
-- over the effective batch (Radford et al. 2021), scored by the ranks both ways over the whole split, as on Flickr30k (Karpathy and Fei-Fei
-- 2015): of every caption, the rank of its image among the different images; of each image, the best rank of one of its captions among all.
-- Of the samples of a batch that show one image only the first takes part in the loss: the others are no negatives of it. (A fused vector has already
-- seen its partner: with it every pair would find itself.)
--   retrieval.new{name =} -> a task
local contrast = require "vbl.tasks.contrast"
local predictions = require "vbl.tasks.predictions"
local store = require "vbl.store.c"
local tasks = require "vbl.tasks"
local vbl = require "vbl"
local F = require "vbl.nn.functional"

local Task = {}
Task.__index = Task

local retrieval = {}

function retrieval.new(opts) return setmetatable({name = opts.name, weight = 1, kind = "retrieval", classes = {}, temperature = 0.07}, Task) end

function Task:check(model)
  if model.config.fusion == "single_stream" then
    error("task retrieval: compares two streams; a single stream has no vector of the text or of the image alone", 0)
  end
end

function Task:prepare(view, batch)
  return {n = batch.n, repeated = tasks.repeats(view, batch.index),
          batch = {tokens = batch.tokens, lengths = batch.lengths, images = batch.images}}
end

function Task:forward(model, work, lo, hi, pass)
  local out = model:run(tasks.part(work.batch, lo, hi), {pass = pass, unimodal = true, fuse = false})
  local vectors = {F.normalize_rows(model.cls(out.unimodal.text, out.text_layout)), F.normalize_rows(model.cls(out.unimodal.vision, out.vision_layout))}
  local kept = {}
  for b = lo, hi do
    if not work.repeated[b] then kept[#kept + 1] = b - lo end
  end
  if #kept == 0 then return {vectors = vectors, stats = {}} end
  local rows = vbl.tensor(kept, {dtype = "i32"})
  return {keys = {F.gather_rows(vectors[1], rows), F.gather_rows(vectors[2], rows)}, vectors = vectors, stats = {}}
end

Task.joins_own = true

function Task:join(keys, _, own)
  local loss = contrast(keys[1], keys[2], {temperature = self.temperature, symmetric = true}, own)
  return loss, {["loss." .. self.name] = loss, ["chance." .. self.name] = math.log(keys[1]:size(1))}
end

local BLOCK = 256  -- queries whose scores are there at once

-- Of each row of scores, whose first is query `first`: the best right answer's, and how many right answers have it.
local function best_right(scores, first, right)
  local index, best, equal, at = {}, {}, {}, 0
  for i = 1, scores:size(1) do
    for _, k in ipairs(right[first + i - 1]) do index[#index + 1] = (i - 1) * scores:size(2) + k - 1 end
  end
  local found = F.gather_rows(scores:reshape(-1, 1), vbl.tensor(index, {dtype = "i32", device = "cpu"})):reshape(-1):totable()
  for i = 1, scores:size(1) do
    best[i], equal[i] = -math.huge, 0
    for _ = 1, #right[first + i - 1] do
      at = at + 1
      if found[at] > best[i] then best[i], equal[i] = found[at], 0 end
      if found[at] == best[i] then equal[i] = equal[i] + 1 end
    end
  end
  return best, equal
end

-- The rank of each query's best right answer: 1 + the wrong answers that are better + half of those that tie. queries, answers f64 [n, D],
-- [m, D] on the CPU; right[i]: numbers of the right answers of query i. Of scores that are NaN a right answer's is the worst, a wrong one's the best.
local function ranks_of(queries, answers, right)
  local ranks, n, m = {}, queries:size(1), answers:size(1)
  for first = 1, n, BLOCK do
    vbl.scope(function()
      local count = math.min(BLOCK, n - first + 1)
      local scores = queries:narrow(1, first, count):matmul(answers:transpose(1, 2)):contiguous()
      local best, equal = best_right(scores, first, right)
      local mine = vbl.tensor(best, {dtype = "f64", device = "cpu"}):reshape(-1, 1)
      local worse, tied = scores:lt(mine):sum(2):totable(), scores:eq(mine):sum(2):totable()
      for i = 1, count do ranks[first + i - 1] = 1 + (m - worse[i] - tied[i]) + (tied[i] - equal[i]) / 2 end
    end)
  end
  return ranks
end

-- texts: {{sample =, key = of its image, id =}, ...}, a sample's captions one behind the other. -> first[k]: the first text of image k,
-- texts_of[k]: all of them, image[i]: {the image of text i}
local function images_of(texts)
  local first, texts_of, image, number = {}, {}, {}, {}
  for i, text in ipairs(texts) do
    if not number[text.key] then
      first[#first + 1] = i
      number[text.key], texts_of[#first] = #first, {}
    end
    image[i] = {number[text.key]}
    table.insert(texts_of[number[text.key]], i)
  end
  return first, texts_of, image
end

local Ranks = {}
Ranks.__index = Ranks

function Ranks:known_rows() return self end

-- A line a caption; an image's own rank stands with the first of its captions.
function Ranks:write(path, header)
  local lines, of_image = {predictions.header(header)}, {}
  for k, i in ipairs(self.first) do of_image[i] = (',"i2t":%.9g'):format(self.ranks.i2t[k]) end
  for i, id in ipairs(self.ids) do
    lines[i + 1] = ('{"id":%s,"ranks":{"t2i":%.9g%s}}\n'):format(store.json_encode(id), self.ranks.t2i[i], of_image[i] or "")
  end
  store.write_atomic(path, table.concat(lines))
end

-- Rows of x by number, from 1.
local function rows_of(x, numbers)
  local index = {}
  for k, i in ipairs(numbers) do index[k] = i - 1 end
  return F.gather_rows(x, vbl.tensor(index, {dtype = "i32", device = x:device()}))
end

-- Parts [n, D] as unit rows on the CPU, in f64: in f32 vectors tie that lie close together, as they do before training.
local function joined(parts) return F.normalize_rows(vbl.cat(parts, 1):to("cpu"):to("f64")) end

local function gathered(x, list) return #list == x:size(1) and x or rows_of(x, list) end

-- The texts in the order of their samples, with the rows of their vectors.
local function in_order(texts)
  local order, sorted = {}, {}
  for i = 1, #texts do order[i] = i end
  table.sort(order, function(a, b)
    local x, y = texts[a], texts[b]
    return x.sample < y.sample or x.sample == y.sample and x.caption < y.caption
  end)
  for i, at in ipairs(order) do sorted[i] = texts[at] end
  return sorted, order
end

-- add: the batch's captions of that number (1), with their images; of a further one those samples' that have as many. Its id: ID#2, ID#3, ...
function Task:collector()
  local texts, text, vision, image_row, images = {}, {}, {}, {}, 0
  local collector = {}
  local function take(view, sample, caption)
    texts[#texts + 1] = {sample = sample, caption = caption, key = view:image_key(sample), id = view:image_id(sample) .. (caption > 1 and ("#%d"):format(caption) or "")}
  end
  function collector.add(view, batch, _, lo, hi, out, caption)
    local kept = {}
    for i = lo, hi do
      local sample = batch.index[i]
      if not caption then images, image_row[sample] = images + 1, images + 1 end
      if not caption or caption <= view:captions(sample) then
        kept[#kept + 1] = i - lo + 1
        take(view, sample, caption or 1)
      end
    end
    if #kept > 0 then text[#text + 1] = gathered(out.vectors[1]:detach(), kept):keep() end
    if not caption then vision[#vision + 1] = out.vectors[2]:detach():keep() end
  end
  function collector.finish()
    local sorted, order = in_order(texts)
    local first, texts_of, image = images_of(sorted)
    local ids, shown = {}, {}
    for i, one in ipairs(sorted) do ids[i] = one.id end
    for k, i in ipairs(first) do shown[k] = image_row[sorted[i].sample] end
    local t, v = rows_of(joined(text), order), rows_of(joined(vision), shown)
    return setmetatable({kind = "retrieval", n = #ids, ids = ids, first = first, ranks = {t2i = ranks_of(t, v, image), i2t = ranks_of(v, t, texts_of)}}, Ranks)
  end
  return collector
end

-- How many captions a sample of the batch has, at most: each is scored.
function Task:captions(view, batch)
  local most = 1
  for _, sample in ipairs(batch.index) do most = math.max(most, view:captions(sample)) end
  return most
end

return retrieval

-- Image-text retrieval by the CLS vectors of the two streams as they are before any co-attention: trained with InfoNCE in both directions
-- over the effective batch (Radford et al. 2021), scored by recall at 1, 5 and 10 both ways over the whole split (vbl.measure.retrieval), a
-- sample's first caption against its image. In training, of samples that show one image the first alone takes part: the others are no
-- negatives of it. (A fused vector has already seen its partner: with it every pair would find itself.)
--   retrieval.new{name =} -> a task
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

function Task:prepare(view, batch, key)
  return {n = batch.n, repeated = key.test and {} or tasks.repeats(view, batch.index),
          batch = {tokens = batch.tokens, lengths = batch.lengths, images = batch.images}}
end

function Task:forward(model, work, lo, hi, pass)
  local out = model:run(tasks.part(work.batch, lo, hi), {pass = pass, unimodal = true, fuse = false})
  local kept = {}
  for b = lo, hi do
    if not work.repeated[b] then kept[#kept + 1] = b - lo end
  end
  if #kept == 0 then return {stats = {}} end
  local function rows(x, layout) return F.gather_rows(F.normalize_rows(model.cls(x, layout)), vbl.tensor(kept, {dtype = "i32"})) end
  return {keys = {rows(out.unimodal.text, out.text_layout), rows(out.unimodal.vision, out.vision_layout)}, stats = {}}
end

function Task:join(keys)
  local loss = F.info_nce(keys[1], keys[2], {temperature = self.temperature, symmetric = true})
  return loss, {["loss." .. self.name] = loss, ["chance." .. self.name] = math.log(keys[1]:size(1))}
end

-- Rank of each row's own partner among all: 1 + those that are better + half of those that tie.
local function ranks_of(x, y)
  local ranks, n = {}, x:size(1)
  for first = 1, n, 256 do
    vbl.scope(function()
      local count, own = math.min(256, n - first + 1), {}
      local scores = x:narrow(1, first, count):matmul(y:transpose(1, 2)):contiguous()
      for i = 1, count do own[i] = (i - 1) * n + first + i - 2 end
      local mine = F.gather_rows(scores:reshape(-1, 1), vbl.tensor(own, {dtype = "i32"}))
      local better, tied = scores:gt(mine):sum(2):totable(), scores:eq(mine):sum(2):totable()
      for i = 1, count do ranks[first + i - 1] = 1 + better[i] + (tied[i] - 1) / 2 end
    end)
  end
  return ranks
end

local Ranks = {}
Ranks.__index = Ranks

function Ranks:known_rows() return self end

function Ranks:write(path, header)
  local lines = {predictions.header(header)}
  for i, id in ipairs(self.ids) do
    lines[i + 1] = ('{"id":%s,"ranks":{"t2i":%.9g,"i2t":%.9g}}\n'):format(store.json_encode(id), self.ranks.t2i[i], self.ranks.i2t[i])
  end
  store.write_atomic(path, table.concat(lines))
end

local function recalls(record, suffix)
  return {r1 = record["r1" .. suffix], r5 = record["r5" .. suffix], r10 = record["r10" .. suffix], median_rank = record["median_rank" .. suffix],
          mrr = record["mrr" .. suffix]}
end

function Task:collector()
  local ids, text, vision = {}, {}, {}
  local collector = {}
  function collector.add(view, batch, _, lo, hi, out)
    for i = lo, hi do ids[#ids + 1] = view:image_id(batch.index[i]) end
    text[#text + 1], vision[#vision + 1] = out.keys[1]:detach():keep(), out.keys[2]:detach():keep()
  end
  function collector.finish()
    local t, v = vbl.cat(text, 1), vbl.cat(vision, 1)
    local _, record = vbl.measure.retrieval(t, v)
    local p = {kind = "retrieval", n = #ids, ids = ids, found = {t2i = recalls(record, ""), i2t = recalls(record, "_yx")},
               ranks = {t2i = ranks_of(t, v), i2t = ranks_of(v, t)}}
    return setmetatable(p, Ranks)
  end
  return collector
end

return retrieval

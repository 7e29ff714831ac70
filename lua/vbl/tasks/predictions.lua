-- Predictions of a split, gathered batch by batch.
--   local p = predictions.new(kind, classes)      kind: vbl.tasks.labels, classes: names
--   p:add(ids, logits, targets, known, list)      list: each sample's label as it is written
--   p:close()     what was gathered, on the CPU whatever the model is on: p.n, p.ids, p.known {0 or 1}, p.targets and
--     p.scores    f32 [n, outputs]; nil where there are too many classes
--     p.logits    f32 [n, outputs], binary and multilabel: ranks are made of them, as in f32 the scores of all logits above 17 are 1
--     p.chosen    f32 [n], multiclass and soft: the class with the largest score
--     p.credit    f32 [n], soft: the chosen class's weight
--   p:known_rows(), p:resample(draw) -> predictions of some rows
--   p:write(path, header)     SPLIT.jsonl: the header, then {"id", "label", "scores"} a line, in the split's order; binary and multilabel: {"logits"} too
local labels = require "vbl.tasks.labels"
local merged = require "vbl.merged"
local random = require "vbl.data.c"
local store = require "vbl.store.c"
local vbl = require "vbl"
local F = require "vbl.nn.functional"

local Predictions = {}
Predictions.__index = Predictions

local predictions = {}

local MOST, TOP = 1000, 10  -- of more classes only the largest TOP scores of a sample are kept

function predictions.new(kind, classes)
  return setmetatable({kind = kind, classes = classes, n = 0, ids = {}, labels = {}, known = {}, top = {}, parts = {}}, Predictions)
end

-- The largest probabilities of each row as class -> probability.
local function top_of(scores)
  local list = {}
  for i, row in ipairs(scores:totable()) do
    local order, kept = {}, {}
    for k = 1, #row do order[k] = k end
    table.sort(order, function(a, b) return row[a] > row[b] or row[a] == row[b] and a < b end)
    for k = 1, TOP do kept[("%d"):format(order[k] - 1)] = row[order[k]] end
    list[i] = kept
  end
  return list
end

local function rows(x, index) return F.gather_rows(x:ndim() == 1 and x:reshape(-1, 1) or x, index) end

function Predictions:add(ids, logits, targets, known, list)
  local scores, part = labels[self.kind].probabilities(logits), {}
  for i = 1, #ids do
    local at = self.n + i
    self.ids[at], self.labels[at], self.known[at] = ids[i], list[i], known[i]
  end
  local many = #self.classes > MOST and self.kind ~= "multilabel"
  if many then table.move(top_of(scores), 1, #ids, self.n + 1, self.top) else part.scores = scores end
  if self.kind == "multiclass" or self.kind == "soft" then
    local _, best = scores:max(2)
    part.chosen = best:to("f32")
    if self.kind == "soft" then
      local at, C = best:totable(), scores:size(2)
      for i, class in ipairs(at) do at[i] = (i - 1) * C + class end
      part.credit = rows(targets:contiguous():reshape(-1), vbl.tensor(at, {dtype = "i32", device = targets:device()})):reshape(-1)
    end
  end
  if self.kind == "binary" or self.kind == "multilabel" then part.logits = logits end
  if self.kind ~= "soft" then part.targets = targets:to("f32") end
  for name, x in pairs(part) do part[name] = x:detach():to("cpu"):contiguous():keep() end
  self.n = self.n + #ids
  self.parts[#self.parts + 1] = part
end

local fields = {"scores", "logits", "chosen", "targets", "credit"}

function Predictions:close()
  for _, name in ipairs(fields) do
    local list = {}
    for i, part in ipairs(self.parts) do list[i] = part[name] end
    if #list > 0 then self[name] = vbl.cat(list, 1):keep() end
  end
  self.parts = nil
  return self
end

-- index: numbers from 0.
function Predictions:rows_at(index)
  local part, at = predictions.new(self.kind, self.classes), vbl.tensor(index, {dtype = "i32", device = "cpu"})
  part.n, part.known, part.all = #index, self.known, true
  for _, name in ipairs(fields) do
    local x = self[name]
    if x then
      local picked = rows(x, at)
      part[name] = x:ndim() == 1 and picked:reshape(-1) or picked
    end
  end
  return part
end

function Predictions:known_rows()
  if self.all then return self end
  local index = {}
  for i, known in ipairs(self.known) do
    if known == 1 then index[#index + 1] = i - 1 end
  end
  if #index == self.n then
    self.all = true
    return self
  end
  return #index > 0 and self:rows_at(index) or predictions.new(self.kind, self.classes)
end

-- n rows drawn with replacement.
function Predictions:resample(draw)
  local index, n = {}, self.n
  for i = 1, n do index[i] = math.floor(random.uniform(draw, "measure", i) * n) end
  return self:rows_at(index)
end

local function number(x) return ("%.9g"):format(x) end

-- Scores or logits as JSON: a number (binary), a list, or class -> probability of the largest.
local function score_text(p, i, row)
  if not row then return store.json_encode(p.top[i]) end
  local words = {}
  for k, x in ipairs(row) do words[k] = number(x) end
  return p.kind == "binary" and words[1] or "[" .. table.concat(words, ",") .. "]"
end

local function label_text(p, i)
  local label = p.labels[i]
  if label == nil then return "null" end
  if type(label) ~= "table" then return ("%d"):format(label) end
  local words = {}
  if p.kind == "multilabel" then
    for k, class in ipairs(label) do words[k] = ("%d"):format(class) end
    return "[" .. table.concat(words, ",") .. "]"
  end
  for class, weight in pairs(label) do words[#words + 1] = ('"%d":%s'):format(class, number(weight)) end
  table.sort(words)
  return "{" .. table.concat(words, ",") .. "}"
end

-- The header's `null` where it has no thresholds.
function predictions.header(header)
  return store.json_encode(merged({thresholds = store.null}, header), {order = {"task", "split", "data_split", "kind", "classes", "thresholds", "checkpoint"}}) .. "\n"
end

function Predictions:write(path, header)
  local lines, rows_of, logits_of = {predictions.header(header)}, self.scores and self.scores:totable(), self.logits and self.logits:totable()
  for i, id in ipairs(self.ids) do
    local logits = logits_of and (',"logits":%s'):format(score_text(self, i, logits_of[i])) or ""
    lines[i + 1] = ('{"id":%s,"label":%s,"scores":%s%s}\n'):format(store.json_encode(id), label_text(self, i), score_text(self, i, rows_of and rows_of[i]), logits)
  end
  store.write_atomic(path, table.concat(lines))
end

return predictions

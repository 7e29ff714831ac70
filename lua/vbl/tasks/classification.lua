-- Fine-tuning on labels: the classifier's logits against the labels of the data set, of whichever kind they are (vbl.tasks.labels). Where a
-- set has none, image-text matching draws its own: half of the pairs get another image's caption, as alignment prediction does.
--   classification.new{name =, kind =, classes =, weights = {by class} or nil, drawn = bool} -> a task (vbl.tasks)
local vbl = require "vbl"
local labels = require "vbl.tasks.labels"
local predictions = require "vbl.tasks.predictions"
local tasks = require "vbl.tasks"
local usage = require "vbl.usage"

local Task = {}
Task.__index = Task

local classification = {}

function classification.new(opts)
  local self = setmetatable({name = opts.name, weight = 1, kind = opts.kind, classes = opts.classes, class_weights = opts.weights, drawn = opts.drawn}, Task)
  self.row = labels[self.kind]
  self.outputs = self.row.outputs(#self.classes)
  return self
end

function Task:check(model)
  local c = model.config.classifier
  if not c or c.outputs ~= self.outputs then
    error(("task %s: needs a classifier of %d outputs, the model has %s"):format(self.name, self.outputs, c and c.outputs or "none"), 0)
  end
end

-- labels of a drawn batch, and what the model sees.
local function draw(view, batch, key)
  local ok, swapped = pcall(key.test and view.fixed_swaps or view.swap_captions, view, batch, key)
  if not ok then error("task itm: " .. usage.strip(swapped), 0) end
  return vbl.tensor(swapped.labels, {dtype = "i32", device = "cpu"}), {tokens = swapped.tokens, lengths = swapped.lengths, images = batch.images}
end

function Task:prepare(view, batch, key)
  local y, seen
  if self.drawn then y, seen = draw(view, batch, key) else y, seen = view:labels(batch.index), batch end
  local targets, known = self.row.targets(y)
  local weights, total = {}, 0
  local class = self.class_weights and y:totable()
  for i, k in ipairs(known) do
    weights[i] = k == 0 and 0 or class and self.class_weights[class[i] + 1] or 1
    total = total + weights[i]
  end
  return {n = batch.n, count = total, targets = targets, known = known, weights = weights, drawn = self.drawn and y,
          batch = {tokens = seen.tokens, lengths = seen.lengths, images = seen.images}}
end

-- {rows whose largest logit is the label's, rows with a label}; nil for kinds that have no such thing.
local function right(kind, logits, targets, known)
  if kind ~= "binary" and kind ~= "multiclass" then return nil end
  local x, n = logits:detach(), 0
  local guess = kind == "binary" and x:reshape(-1):gt(0) or select(2, x:max(2)):to "f32"
  for _, k in ipairs(known) do n = n + k end
  return {(guess:eq(targets:reshape(-1):to("f32"):to(x:device())) * vbl.tensor(known)):sum(), n}
end

function Task:forward(model, work, lo, hi, pass)
  local logits = model:classify(tasks.part(work.batch, lo, hi), {pass = pass})
  local n = hi - lo + 1
  local targets, known = work.targets:narrow(1, lo, n):contiguous(), table.move(work.known, lo, hi, 1, {})
  local loss
  if work.count > 0 then loss = self.row.loss(logits, targets, table.move(work.weights, lo, hi, 1, {}), work.count) end
  return {loss = loss, logits = logits, stats = {["loss." .. self.name] = {loss or 0, 0}, ["accuracy." .. self.name] = right(self.kind, logits, targets, known)}}
end

-- A collector of the predictions of a split: add(view, batch, work, lo, hi, out), then finish().
function Task:collector()
  local task, p = self, predictions.new(self.kind, self.classes)
  local collector = {}
  function collector.add(view, batch, work, lo, hi, out)
    local ids, list, drawn = {}, {}, work.drawn and work.drawn:totable()
    for i = lo, hi do
      ids[#ids + 1] = view:image_id(batch.index[i])
      if task.drawn then list[i - lo + 1] = drawn[i] else list[i - lo + 1] = view:label(batch.index[i]) end
    end
    p:add(ids, out.logits, work.targets:narrow(1, lo, hi - lo + 1), table.move(work.known, lo, hi, 1, {}), list)
  end
  function collector.finish() return p:close() end
  return collector
end

return classification

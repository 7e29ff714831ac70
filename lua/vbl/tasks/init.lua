-- vbl.tasks: what a model is trained for: tasks.mlm, tasks.ap, tasks.mim to pretrain on, and those to fine-tune for, tasks.downstream.
--
-- A task is a table with name (of its own within a run), weight (number, or function(step, total_steps) -> number; nil = 1), batch (how many of the step's samples it
-- uses; nil = all), passes (how many numbers of passes it needs; nil = 2), all_images (true where it looks at the images of samples other than those that
-- `forward` is given; else each of several ranks reads its own samples' only, vbl.data.own_images) and three functions. With `batch` a step's whole effective batch {tokens, lengths, images, index, n}:
--   task:prepare(data, batch, key) -> work       draws the task's corruption for the effective batch. key: {seed=, step=, epoch=}
--                                                 (Philox counters: the draw depends on nothing else); test = true: held-out pairs. work: {n=, views of the batch}
--   task:forward(model, work, lo, hi, pass) -> {loss=, keys=, stats=}
--                                                 samples lo..hi; pass: the number to run the model with ({pass = pass}), for dropout's
--                                                 masks; the task's further passes are pass + 1 to pass + passes - 1. loss: their share of the batch's loss (already divided by the whole
--                                                 batch's count), a scalar tensor or nil. keys: list of tensors whose rows, joined over the
--                                                 parts of the batch, make the terms that need the whole batch. stats: name -> {sum, count};
--                                                 a sum is a number, or a tensor of one element: then no device is waited for. Of a task
--                                                 named NAME loss.NAME is what a run tells; chance.NAME is the loss of a model that knows nothing.
--   task:join(keys, model, own) -> loss, {name -> number or tensor}    those terms (InfoNCE) from the joined keys; absent where there are none. A task that
--                                                 says joins_own = true gets `own` where there are several ranks, {first =, count =} of this one's rows, and gives
--                                                 its share (vbl.tasks.contrast): the losses, and the values that are tensors, are added up over the ranks; numbers
--                                                 are alike on all. Else each rank joins all.
--   task:check(model, data)                       raises where the task cannot be trained with them; may be absent
-- What a task is and what its functions return is checked (vbl.tasks.checked): a mistake is a sentence that names the task.
-- With these the trainer accumulates micro-batches to exactly the big batch's gradient, contrastive terms included.
local augment = require("vbl.data.augment").schema

local tasks = {}

-- Options by task (and by table in a task's options): {type, meaning, optional = whether `false` is a value}; each task's file gives the defaults and says more.
tasks.schema = {
  mlm = {
    weight = {"number", "weight of the loss"}, batch = {"number", "samples of the step that the task uses (all)"},
    probability = {"number", "share of the tokens to predict (0.15)"},
  },
  ap = {
    weight = {"number", "weight of the loss"}, batch = {"number", "samples of the step that the task uses (all)"},
    head = {"string", "concat: on the fused CLS vectors; similarity: on the product of the unimodal ones; auto: concat on scenes, else similarity (concat)"},
    contrastive = {"table", "InfoNCE over the matched pairs; {} for its defaults, false leaves it out (none)", optional = true},
    augment = {"table", "of the training images: vbl.data.augment (none)"},
  },
  ["ap.contrastive"] = {
    weight = {"number", "weight of the term (1)"}, temperature = {"number", "of InfoNCE (0.07)"},
    learnable = {"boolean", "whether the temperature is learnt (false)"}, on = {"string", "unimodal or fused CLS vectors (unimodal)"},
  },
  mim = {
    weight = {"number", "weight of the loss"}, batch = {"number", "samples of the step that the task uses (all)"},
    probability = {"number", "share of the patches to hide (0.3)"}, positions = {"string", "unmasked, masked or all (unmasked)"},
    target = {"string", "grad, or stop: no gradient into the clean view (grad)"}, temperature = {"number", "of InfoNCE (0.07)"},
    augment = {"table", "crop and flip of both views; clean = {...}, masked = {...} the colours of each: vbl.data.augment (none)"},
  },
  ["ap.augment"] = augment,
  ["mim.augment"] = {
    strength = augment.strength, crop = augment.crop, ratio = augment.ratio, flip = augment.flip,
    clean = {"table", "colours and blur of the clean view (none)"}, masked = {"table", "colours and blur of the masked view (none)"},
  },
  ["mim.augment.clean"] = augment, ["mim.augment.masked"] = augment,
}

-- Samples lo..hi of a batch of tensors, with their numbers in the effective batch.
function tasks.part(batch, lo, hi)
  local n = hi - lo + 1
  local samples = {}
  for i = 1, n do samples[i] = lo + i - 2 end
  return {
    tokens = batch.tokens:narrow(1, lo, n), lengths = batch.lengths:narrow(1, lo, n), images = batch.images:narrow(1, lo, n),
    mask = batch.mask and batch.mask:narrow(1, lo, n), samples = samples,
  }
end

-- Samples of a batch that show the image of an earlier one (questions about it, several records of it): of these a contrastive term takes
-- the first alone, because the others are no negatives of it. takes: {[b] = 1 where sample b takes part at all}; nil: all do.
-- -> {[b] = true where the image was seen}
function tasks.repeats(view, index, takes)
  local seen, repeated = {}, {}
  for b, i in ipairs(index) do
    if not takes or takes[b] == 1 then
      local key = view:image_key(i)
      repeated[b], seen[key] = seen[key], true
    end
  end
  return repeated
end

-- The options of a task, checked: known = {key = default}; a key that is not there is an error.
function tasks.options(name, given, known)
  local nearest = require "vbl.nearest"
  local all = {weight = 1}
  for k, v in pairs(known) do all[k] = v end
  for k, v in pairs(given or {}) do
    if known[k] == nil and k ~= "weight" and k ~= "batch" then
      error(string.format("task %s: unknown option '%s'%s", name, tostring(k), nearest.hint(k, setmetatable({batch = 1, weight = 1}, {__index = known}))), 0)
    end
    local want = known[k]
    if type(want) == "number" and type(v) ~= "number" then
      error(string.format("task %s: option '%s': expected a number, got %s", name, k, tostring(v)), 0)
    end
    all[k] = v
  end
  if type(all.weight) ~= "function" and not (type(all.weight) == "number" and all.weight >= 0 and all.weight < math.huge) then
    error(string.format("task %s: option 'weight': expected a number of at least 0, or function(step, total_steps), got %s", name, tostring(all.weight)), 0)
  end
  if all.probability and not (all.probability > 0 and all.probability <= 1) then
    error(string.format("task %s: option 'probability': expected a number above 0 and up to 1, got %s", name, tostring(all.probability)), 0)
  end
  if all.temperature and not (all.temperature > 0) then
    error(string.format("task %s: option 'temperature': expected a number above 0, got %s", name, tostring(all.temperature)), 0)
  end
  all.name = name
  return all
end

return setmetatable(tasks, {__index = function(t, name)
  if name == "mlm" or name == "ap" or name == "mim" or name == "downstream" then
    t[name] = require("vbl.tasks." .. name)
    return t[name]
  end
end})

-- What a key of a run's config or manifest does to its numbers, and from which moment on: for vbl.runs.why.
--   causes.of(key[, a, b]) -> {moment =, does = text, rounding =, later =, task =, split =}, nil for a key that changes no number; a, b: the records
--   causes.of_config(key[, a, b]) -> the same, where a key that is not known here is a script's own and may do anything
-- moment: 0 the first evaluation, before training; 1 the losses of the first step; 1.5 its gradient; 2 what the first update does. rounding:
-- it moves last bits only. later: what it does may begin, or be met, in the middle of a run (one sample that is another, a weight that hardly counts).
-- task: only of this one; split: only numbers of such splits.
local query = require "vbl.runs.query"

local causes = {}

-- A function as a rule's `later` decides by the two records.
local function either(key, is)
  return function(a, b)
    for _, record in ipairs {a, b} do
      local value = query.get(record, key)
      if value ~= nil and is(value) then return true end
    end
    return false
  end
end

-- Where not every step takes every task, a task's option waits for that task's turn.
local in_turn = either("config.mix.how", function(how) return how ~= "joint" end)

local weights, from = either("config.model.weights", function() return true end), either("config.from", function(path) return path ~= "" end)

-- Weights that are read are the same with every seed, and so is what is evaluated before training.
local function weights_given(a, b) return weights(a, b) or from(a, b) end

-- The first pattern that fits decides.
local rules = {
  {"^seed$", 0, "other initial weights, order, masks and dropout", later = weights_given},
  {"^data_hash$", 0, "other data", later = true},
  {"^data$", 0, "another data set", later = true},
  {"^scenes%.", 0, "other scenes", later = true},
  {"^captions%.", 0, "another reading of the data", later = true},
  {"^splits", 0, "other splits", later = true},
  {"_pairs$", 0, "other splits", later = true},
  {"^model%.dropout$", 1, "other dropout; evaluations have none"},
  {"^model%.weights", 0, "other weights to start from", later = true},
  {"^model%.packed$", 0, "sums are in another order", rounding = true},
  {"^model%.%a+_eps$", 0, "another eps; it acts where a variance is small", later = true},
  {"^model%.max_positions$", 0, "longer captions", later = true},
  {"^model%.", 0, "another model"},
  {"^from$", 0, "other weights to start from", later = true},
  {"^weights_hash$", 0, "other weights to start from", later = true},
  {"^baseline$", 0, "another model"},
  {"^head%.dropout$", 1, "other dropout; evaluations have none"},
  {"^head%.", 0, "another classifier"},
  {"^task$", 0, "another task"},
  {"^task_names$", 0, "other tasks", later = true},
  {"^val", 0, "another split to validate on"},
  {"^train_samples$", 0, "other training samples", later = true},
  {"^test$", 0, "another split to test on", split = "^test", later = true},
  {"^metric$", 2, "another epoch is the best one, which is tested and analysed at the end", split = "^[pt][re][os]", later = true},
  {"^class_weights$", 0, "other weights of the classes in the loss"},
  {"^precision$", 0, "operands rounded otherwise"},
  {"^tasks%.%w+$", 0, "other tasks: other gradients, and other draws of dropout", later = true},
  {"^tasks%.(%w+)%.weight$", 1.5, "another weight of its loss in the gradient", later = in_turn},
  {"^tasks%.(%w+)%.contrastive%.weight$", 1.5, "another weight of its loss in the gradient", later = in_turn},
  {"^tasks%.(%w+)%.contrastive%.learnable$", 1.5, "the temperature has a gradient, or none", later = in_turn},
  {"^tasks%.(%w+)%.target$", 1.5, "another gradient of the same loss", later = in_turn},
  {"^tasks%.(%w+)%.batch$", 1, "other samples of the step", later = in_turn},
  {"^tasks%.(%w+)%.augment", 1, "other augmentation of training images; what is drawn may leave one as it is", later = true},
  {"^tasks%.(%w+)", 0, "another task"},
  {"^own%.", 0, "another hyper-parameter of the script's own", later = true},
  {"^batch$", 0, "other batches: order, masks and negatives", later = true},  -- predictions of labels do not hang on it
  {"^mix%.", 1, "tasks share a step otherwise", later = true},
  {"^freeze$", 1.5, "other parameters trained"},
  {"^lr$", 2, "another learning rate"},
  {"^warmup$", 2, "another warm-up", later = true},
  {"^min_lr_fraction$", 2, "another end of the learning rate's cosine", later = true},
  {"^epochs$", 2, "another number of steps, and so another schedule of the learning rate", later = true},
  {"^weight_decay$", 2, "another decay", later = true},
  {"^betas$", 2, "other moments; of the first update but rounding does not hang on them", later = true},
  {"^clip$", 2, "another limit of the gradient's norm; it acts where the norm is larger", later = true},
  {"^layer_decay$", 1.5, "other rates by layer, and another order of the norm's sum", later = true},
  {"^ema$", 1, "another average of the weights is evaluated; the steps are the same", split = "^[tpv]", later = true},
  {"^threads$", 0, "sums are in another order", rounding = true},
  {"^ranks$", 0, "sums are in another order", rounding = true},
  {"^isa$", 0, "other kernels", rounding = true},
  {"^cpu$", 0, "other kernels in the libraries", rounding = true},
  {"^libraries%.onednn$", 0, "matrix products by another library", rounding = true},
  {"^libraries%.openblas$", 0, "decompositions by other kernels", rounding = true, split = "^probe"},
  {"^libraries%.jpeg$", 0, "other grey levels of JPEG images"},
  {"^libraries%.utf8proc$", 0, "other tables of Unicode in the tokenizer"},
  {"^device$", 0, "other kernels", rounding = true},
  {"^micro_batch$", 0, "sums are in another order", rounding = true},
  {"^tasks_together$", 0, "sums are in another order", rounding = true},
  {"^checkpointing$", 0, "tasks that go together are computed one by one", rounding = true},
  {"^deterministic$", 0, "other kernels", rounding = true},
  {"^cuda_graph$", 0, "other kernels", rounding = true},
  {"^build$", 0, "another build of the program", later = true},
  {"^vbl$", 0, "another version of the program", later = true},
  {"^test_samples$", 0, "other held-out pairs in the evaluation", split = "^t[er]", later = true},
  {"^probe_samples$", 0, "other pairs in the layer analysis", split = "^probe", later = true},
  {"^log_every$", 1, "other steps in an epoch's means of norms and shares", split = "^train%.[ns]", later = true},
  {"^partners$", 0, "other partners in the layer analysis", split = "^probe", later = true},
}

-- Keys of the trainer that change no number that is logged: what is kept, when it ends, what is evaluated besides.
local quiet = {checkpoint_every = true, patience = true, ablate = true}

function causes.of(key, a, b)
  for _, rule in ipairs(rules) do
    local start, _, task = key:find(rule[1])
    if start then
      local later = rule.later
      if type(later) == "function" then later = a ~= nil and later(a, b) end
      return {moment = rule[2], does = rule[3], rounding = rule.rounding, later = later, task = task, split = rule.split}
    end
  end
end

function causes.of_config(key, a, b)
  local found = causes.of(key, a, b)
  if found or quiet[key:match "^[^.]*"] then return found end
  return {moment = 0, does = "a key of the script's own: only its code says what it does", later = true}
end

return causes

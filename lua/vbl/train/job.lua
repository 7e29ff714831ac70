-- A job: everything that a run is made of, built from the config and nothing else.
local vbl = require "vbl"
local options = require "vbl.train.options"
local pretrained = require "vbl.train.pretrained"
local tasks = require "vbl.tasks"
local sched = require "vbl.sched"
local mix = require "vbl.train.mix"
local summary = require "vbl.models.summary"
local nearest = require "vbl.nearest"
local system = require "vbl.system.c"
local usage = require "vbl.usage"

local job = {}

-- The number, as an integer where it has to be whole.
local function check_number(key, value, row)
  local low, high = row.from or -math.huge, row.to or math.huge
  if value >= low and value <= high and math.abs(value) < math.huge and (not row.whole or math.tointeger(value)) then
    return row.whole and math.tointeger(value) or value
  end
  error(string.format("config: %s: expected a %snumber %s, got %s", key, row.whole and "whole " or "",
                      row.to and string.format("from %g to %g", low, high) or string.format("of at least %g", low), tostring(value)), 0)
end

local partners = {"matched", "mismatched", "none"}

local precisions = {"f32", "bf16"}

local function check_precision(c)
  for _, name in ipairs(precisions) do
    if c.precision == name then return end
  end
  error(string.format("config: precision: expected f32 or bf16, got '%s'%s", c.precision, nearest.hint(c.precision, precisions)), 0)
end

local function check_lists(c)
  for i = 1, 2 do
    local b = c.betas[i]
    if #c.betas ~= 2 or type(b) ~= "number" or not (b >= 0 and b < 1) then
      error("config: betas: expected two numbers from 0 to below 1 such as {0.9, 0.98}", 0)
    end
  end
  for i, partner in ipairs(c.partners) do
    local known = false
    for _, name in ipairs(partners) do known = known or name == partner end
    if not known then error(string.format("config: partners[%d]: '%s' is none%s", i, tostring(partner), nearest.hint(partner, partners)), 0) end
  end
  if #c.partners == 0 then error("config: partners: expected at least one of matched, mismatched, none (probe_samples=0 leaves out the analysis)", 0) end
end

local function preset_of(config)
  local given = config.model and config.model.preset
  if given and given ~= "auto" then return given end
  return config.data == "scenes" and "tiny" or "small"
end

-- Peak learning rates by preset. A wider and deeper model wants a smaller one: at 1e-3 the contrastive term of `small` stays at
-- chance for good, ln(pairs), on photographs.
local rates = {tiny = 1e-3, small = 3e-4, base = 1e-4}

local function complete(config)
  local c = setmetatable({flags = config.flags, name = config.name}, getmetatable(config))
  config.lr = (config.lr or "auto") == "auto" and (rates[preset_of(config)] or rates.tiny) or config.lr
  for key, row in pairs(options) do
    if config[key] == nil then c[key] = row[2] else c[key] = config[key] end
    if type(c[key]) ~= row[1] then error(string.format("config: %s: expected a %s, got %s (%s)", key, row[1], type(c[key]), tostring(c[key])), 0) end
    if row[1] == "number" then c[key] = check_number(key, c[key], row) end
  end
  for key in pairs(config) do
    if not options[key] and key ~= "flags" and key ~= "name" then
      error(string.format("config: the trainer has no key '%s'%s", tostring(key), nearest.hint(key, options)), 0)
    end
  end
  check_precision(c)
  check_lists(c)
  return c
end

local function task_list(config)
  local list, ap = {}, config.tasks.ap
  -- On photographs the similarity head is above chance after one epoch from scratch.
  if type(ap) == "table" and ap.head == "auto" then ap.head = config.data == "scenes" and "concat" or "similarity" end
  for _, name in ipairs {"mlm", "ap", "mim"} do
    if config.tasks[name] then list[#list + 1] = tasks[name](config.tasks[name]) end
  end
  for name in pairs(config.tasks) do
    if not tasks[name] then error(string.format("config: tasks: unknown task '%s'%s", name, nearest.hint(name, {"mlm", "ap", "mim"})), 0) end
  end
  if #list == 0 then error("config: tasks: none is left to train; there are mlm, ap and mim", 0) end
  for _, task in ipairs(list) do
    local n = task.batch or 1
    if type(n) ~= "number" or not math.tointeger(n) or n < 1 or n > config.batch then
      error(string.format("config: tasks.%s.batch: expected a whole number from 1 to batch = %d, got %s", task.name, config.batch, tostring(n)), 0)
    end
  end
  return list
end

-- As many samples as half of the free memory holds, halving from the whole batch.
local function fit_micro_batch(config, model, T)
  if config.micro_batch > 0 then return math.min(config.micro_batch, config.batch) end
  local one = summary.activation_bytes(model, T) * 2
  local micro, _, free = config.batch, system.memory_bytes()
  while micro > 1 and micro * one > free / 2 do micro = (micro + 1) // 2 end
  return micro
end

local function heads_for(list)
  local heads = {}
  for _, task in ipairs(list) do
    if task.name == "mlm" then heads[#heads + 1] = "mlm" end
    if task.name == "ap" then
      heads[#heads + 1] = task.head == "concat" and "ap" or "ap_similarity"
      if task.contrastive and task.contrastive.learnable then heads[#heads + 1] = "temperature" end
    end
  end
  return heads
end

local function open_data(name, options)
  local ok, result = pcall(vbl.data.open, name, options)
  return ok and result or error(usage.strip(result), 0)
end

local function build(config, parts, dry)
  parts = parts or {}
  local self = {config = complete(config)}
  config = self.config
  local seed = config.flags.seed
  vbl.manual_seed(seed)
  self.tasks = parts.tasks or task_list(config)
  local model_config = {}
  for k, v in pairs(config.model) do model_config[k] = v end
  model_config.preset, model_config.weights = preset_of(config), config.flags.weights or model_config.weights
  local preset = require("vbl.models.vilbert_config").presets[model_config.preset]
  local from = pretrained.of(model_config)
  local sizes = {image = model_config.image or from.image or preset and preset.image, patch = model_config.patch or from.patch or preset and preset.patch,
                 seed = seed}
  local options = config.data == "scenes" and config.scenes or config.captions
  pretrained.fill(sizes, options, from, model_config, config.data)
  self.data = parts.data or open_data(config.data, setmetatable(sizes, {__index = options}))
  self.test_split = self.data:held_out()
  if not self.test_split then error(string.format("data %s: no split to evaluate on beside train", config.data), 0) end
  self.train, self.test = self.data:split("train"), self.data:split(self.test_split)
  self.data:apart("train", self.test_split)
  pretrained.check(from, model_config, self.data)
  model_config.vocab = model_config.vocab or self.data.tokenizer:size()
  model_config.heads = model_config.heads or heads_for(self.tasks)
  self.model = parts.model or vbl.models.vilbert(model_config, dry)
  self.model.rng.seed = seed
  local positions, longest = self.model.config.max_positions, self.data:max_tokens()
  if longest > positions then
    error(string.format("config: captions have up to %d tokens, more than model.max_positions = %d%s", longest, positions,
                        config.data == "scenes" and "" or string.format("; captions.max_tokens=%d cuts them", positions)), 0)
  end
  for _, task in ipairs(self.tasks) do task:check(self.model, self.data) end
  if #config.freeze > 0 then self.model:freeze(config.freeze) end
  if config.epochs > 0 and self.model:num_parameters("trainable") == 0 then error("config: freeze: no parameter is left to train (epochs=0 only evaluates)", 0) end
  self.epoch_steps = math.max(1, (self.train:size() + config.batch - 1) // config.batch)
  self.total_steps = self.epoch_steps * config.epochs
  self.warmup = math.max(0, math.min(math.floor(config.warmup * self.total_steps), self.total_steps - 1))
  self.schedule = self.total_steps > 0 and sched.warmup_cosine(self.total_steps, self.warmup, config.min_lr_fraction) or sched.constant()
  -- Kept in the config: what fits now must not decide how a resumed run rounds.
  self.micro = fit_micro_batch(config, self.model, self.data:mean_length())
  config.micro_batch = self.micro
  if dry or parts.frozen then return self end
  self.mix = mix.new(self.tasks, self.model, config.mix, seed)
  self.optimizer = vbl.optim.adamw(self.model:parameters(), {
    lr = config.lr, betas = config.betas, eps = 1e-8, weight_decay = config.weight_decay, clip = config.clip,
  })
  return self
end

-- parts: {data=, model=, tasks=} to use in place of what the config would build; frozen: no optimizer, to look at the model only. dry: a job to be counted (--plan), not run.
-- What is wrong with the config is one sentence.
function job.new(config, parts, dry)
  local ok, result = xpcall(build, usage.explain, config, parts, dry)
  return ok and result or usage(tostring(result))
end

return job

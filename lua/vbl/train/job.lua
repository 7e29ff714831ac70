-- A job: everything that a run is made of, built from the config and nothing else.
--   job.new(config, parts, dry) -> {kind, config, tasks, data, train, test, model, micro, at_once, total_steps, schedule, mix, optimizer, ...}
-- What kind of run it is (parts.kind: vbl.train.pretraining, the default, or vbl.train.finetuning) decides about the tasks, the splits, the heads and
-- what is evaluated:
--   kind.name                                   "pretrain" or "finetune"
--   kind.keep_epochs                            whether each epoch's weights are kept as a checkpoint
--   kind.begin(job, parts) -> data options      before the data is opened
--   kind.divide(job)                            sets job.train and job.test, the held-out view that each epoch evaluates
--   kind.model(job, model_config)               completes the model's config
--   kind.built(job)                             the model is there
--   kind.rate(job, preset) -> number            the peak learning rate that lr = "auto" stands for
--   kind.manifest(job) -> name -> value         what the run's manifest.json says besides
--   kind.opening(job) -> {line, ...}            more lines of the log's beginning; may be missing
--   kind.evaluate(job, s) -> found, losses      of the model as it is, after s.step steps; nothing is written. losses: task -> loss, to be finite
--   kind.probes(s)                              whether the layer analysis is due; what it gives is found.layers
--   kind.report(run, job, s, epoch, found)      what is logged of it
--   kind.score(job, found) -> {metric=, value=, score=}     the larger the score, the better the epoch
--   kind.finish(job, run, s)                    after the last step
--   kind.values(job, s) -> name -> value        for result.json
local merged = require "vbl.merged"
local updates = require "vbl.train.updates"
local vbl = require "vbl"
local checked = require "vbl.tasks.checked"
local checks = require "vbl.train.checks"
local dist = require "vbl.dist"
local memory = require "vbl.train.memory"
local mix = require "vbl.train.mix"
local pretrained = require "vbl.train.pretrained"
local rates = require "vbl.train.rates"
local sched = require "vbl.sched"
local summary = require "vbl.models.summary"
local system = require "vbl.system.c"
local usage = require "vbl.usage"

local job = {}

-- The largest part of the batch whose steps fit into the device, and whether its tasks go as one batch.
local function fit_device(self, device)
  local limit = vbl.memory().device_limit
  local micro, _, at_once = memory.fit(self, limit)
  if micro then return micro, at_once end
  local least = memory.of(self, "cuda", 1)
  error(("config: a step takes at least %.0f MB, in micro-batches of 1, and %s has %.0f MB for it: %sprecision=bf16, a smaller batch, image or model.preset need less")
        :format(least.peak / 1e6, device, limit / 1e6, self.model.checkpointing and "" or "checkpointing=true, "), 0)
end

-- Of a batch that is taken in parts of `micro`, whether its tasks go as one.
local function goes_at_once(self, device, micro)
  local choice = self.config.tasks_together
  if choice ~= "auto" then return choice == "yes" end
  if device == "cpu" or micro ~= dist.largest(self.config.batch) or self.config.epochs == 0 then return false end
  return memory.whole(self, vbl.memory().device_limit) ~= nil
end

-- On the CPU as many samples as half of the free memory holds, halving from the whole batch, or a rank's share of it.
local function fit_micro_batch(self, device)
  local config = self.config
  if config.micro_batch > 0 then return math.min(config.micro_batch, dist.largest(config.batch)) end
  if device ~= "cpu" and config.epochs > 0 then return fit_device(self, device) end
  if device == "cpu" and config.flags.device ~= "cpu" then return nil end  -- a plan for a GPU that is not here
  local one = summary.activation_bytes(self.model, self.data:mean_length()) * 2
  local micro, _, free = dist.largest(config.batch), system.memory_bytes()
  while free > 0 and micro > 1 and micro * one > free / 2 / dist.here() do micro = (micro + 1) // 2 end  -- below 0: unknown
  return micro
end

local function open_data(name, opts)
  local ok, result = pcall(vbl.data.open, name, opts)
  return ok and result or error(usage.strip(result), 0)
end

function job.preset_of(config)
  local given = config.model and config.model.preset
  if given and given ~= "auto" then return given end
  return config.data == "scenes" and "tiny" or "small"
end

-- The model's config as far as the user and the weights' files say it, and the data set that fits it.
local function data_and_model_config(self, parts)
  local config = self.config
  local given, model_config = self.kind.begin(self, parts), merged(config.model)
  model_config.preset, model_config.weights = job.preset_of(config), config.flags.weights or self.start or model_config.weights
  local preset = require("vbl.models.vilbert_config").presets[model_config.preset]
  local from = pretrained.of(model_config)
  local sizes = {image = model_config.image or from.image or preset and preset.image, patch = model_config.patch or from.patch or preset and preset.patch,
                 seed = given.seed or config.flags.seed}
  pretrained.fill(sizes, given, from, model_config, config.data)
  self.data = parts.data or open_data(config.data, setmetatable(sizes, {__index = given}))
  return model_config, from
end

local function check_vocabulary(self)
  local rows, size = self.model.config.vocab, self.data.tokenizer:size()
  if rows < size then
    error(("config: the data's vocabulary has %d tokens, more than model.vocab = %d; without model.vocab the model takes the data's"):format(size, rows), 0)
  end
end

local function check_positions(self)
  local positions, longest = self.model.config.max_positions, self.data:max_tokens()
  if longest > positions then
    error(string.format("config: captions have up to %d tokens, more than model.max_positions = %d%s", longest, positions,
                        self.config.data == "scenes" and "" or string.format("; captions.max_tokens=%d cuts them", positions)), 0)
  end
end

local LEAST_PROBE = 8  -- pairs, as vbl.analysis.features takes them

local function check_probe(self)
  local wanted, held = self.config.probe_samples, self.test:size()
  if wanted == 0 or math.min(wanted, held) >= LEAST_PROBE then return end
  local more = held >= LEAST_PROBE and "" or self.config.data == "scenes" and "scenes.test=N holds out more, " or "captions.test_fraction=0.2 holds out more, "
  error(("config: probe_samples: the layer analysis needs %d held-out pairs, and takes %d of %d here; %sprobe_samples=0 leaves it out"):format(
    LEAST_PROBE, math.min(wanted, held), held, more), 0)
end

local function plan_steps(self)
  local config = self.config
  self.epoch_steps = math.max(1, (self.train:size() + config.batch - 1) // config.batch)
  self.total_steps = self.epoch_steps * config.epochs
  self.warmup = math.max(0, math.min(math.floor(config.warmup * self.total_steps), self.total_steps - 1))
  self.schedule = self.total_steps > 0 and sched.warmup_cosine(self.total_steps, self.warmup, config.min_lr_fraction) or sched.constant()
  -- Kept in the config: what fits now must not decide how a resumed run rounds.
  local device = vbl.zeros(1):device()
  self.micro, self.at_once = fit_micro_batch(self, device)
  self.micro = self.micro and math.tointeger(dist.least(self.micro))
  if self.micro and self.at_once == nil then self.at_once = goes_at_once(self, device, self.micro) end
  if self.micro then self.at_once = not dist.any(not self.at_once) end
  config.micro_batch = self.micro or 0
  if self.micro and config.tasks_together then config.tasks_together = self.at_once and "yes" or "no" end
end

local switched = false  -- whether it was a job that switched vbl.deterministic on

-- What a job's config switches on holds until the next job; what a script has switched on by itself stays.
function job.set_deterministic(on)
  if on == vbl.deterministic() or not on and not switched then return end
  vbl.deterministic(on)
  switched = on
end

local function build(config, parts, dry)
  parts = parts or {}
  dist.start()
  local kind = parts.kind or require "vbl.train.pretraining"
  local self = {kind = kind, config = checks.complete(kind.name, config)}
  config = self.config
  mix.check(config.mix or {})
  job.set_deterministic(config.deterministic)
  vbl.manual_seed(config.flags.seed)
  local model_config, from = data_and_model_config(self, parts)
  kind.divide(self)
  checked.list(self.tasks, config.batch)
  if not parts.frozen then check_probe(self) end
  pretrained.check(from, model_config, self.data)
  model_config.vocab = model_config.vocab or self.data.tokenizer:size()
  local width_given = parts.model or model_config.weights
  kind.model(self, model_config)
  self.model = parts.model or vbl.models.vilbert(model_config, dry)
  self.model.rng.seed, self.model.checkpointing = config.flags.seed, config.checkpointing
  check_vocabulary(self)
  check_positions(self)
  for _, task in ipairs(self.tasks) do if task.check then task:check(self.model, self.data) end end
  if next(config.freeze) ~= nil then self.model:freeze(config.freeze) end
  kind.built(self)
  if config.lr == "auto" then config.lr = kind.rate(self, width_given and rates.preset_of(self.model.config.dim) or model_config.preset) end
  if config.epochs > 0 and config.lr == 0 and not parts.frozen then
    error("config: lr: at a rate of 0 no weight moves; expected a number above 0 or auto (epochs=0 only evaluates)", 0)
  end
  if config.epochs > 0 and self.model:num_parameters("trainable") == 0 then
    error("config: freeze: no parameter is left to train (epochs=0 only evaluates)", 0)
  end
  plan_steps(self)
  if dry or parts.frozen then return self end
  self.mix = mix.new(self.tasks, self.model, config.mix or {}, config.flags.seed)
  self.mix.at_once = self.at_once
  self.optimizer = updates.optimizer(self)
  self.average = updates.average(self)
  collectgarbage()  -- what drawing the parameters left behind
  return self
end

-- parts: {data=, model=, tasks=} to use in place of what the config would build; kind; frozen: no optimizer, the model is only looked at.
-- dry: the job is counted (--plan), not run. What is wrong with the config is one sentence.
function job.new(config, parts, dry)
  local ok, result = xpcall(build, usage.explain, config, parts, dry)
  return ok and result or usage(tostring(result))
end

return job

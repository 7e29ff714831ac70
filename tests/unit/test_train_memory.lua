-- A run's memory is flat: the bytes of live tensors after step 50 are those after step 100, in every way of mixing tasks and with micro-batches.
local check = require "check"
local trainer = require "trainer"

local script = trainer.write("memory.lua", [[
local config = vbl.config({scenes = {train = 440, test = 16}, tasks = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {}},
  model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"},
  epochs = 1, batch = 4, probe_samples = 0, log_every = 7, checkpoint_every = 30}, vbl.train.schemas())
local task = vbl.tasks.mlm()
local prepare, seen = task.prepare, {}
local tasks = {task, vbl.tasks.ap(config.tasks.ap), vbl.tasks.mim(config.tasks.mim)}
-- The state after a step is the one before the next, less the next batch's tokens, whose size differs (blocks are multiples of 64 bytes).
function task:prepare(data, batch, key)
  seen[key.step] = vbl.memory().live - (batch.tokens:numel() * 4 + 63) // 64 * 64
  return prepare(self, data, batch, key)
end
vbl.train.pretrain(config, {tasks = tasks})
for _, step in ipairs {49, 52, 55, 97, 100, 103} do print("live after step", step, seen[step]) end
]])

local function flat(name, ...)
  local words = {script, script = true, "--threads", "1", ...}
  check.group(name, function()
    local _, text = trainer.expect(0, words)
    local values = {}
    for step, bytes in text:gmatch "live after step\t(%d+)\t(%d+)" do values[#values + 1] = {tonumber(step), tonumber(bytes)} end
    check.ok(#values == 6, text:sub(-500))
    for i = 2, #values do check.equal(values[i][2], values[1][2]) end
  end)
end

flat("joint", "mix.how=joint")
flat("micro-batches", "micro_batch=1")
flat("alternating, uncertainty", "mix.how=alternating", "mix.weighting=uncertainty")  -- every third step is MLM's: 49, 52, ...
flat("gradient weighting, interleaved", "mix.weighting=gradient", "model.fusion=interleaved", "model.placement=full")

trainer.finish()

-- The exponential moving average of the weights: the formula, what it does to a run's checkpoints and evaluations, and that a run with it goes on bit for bit.
local check = require "check"
local system = require "vbl.system.c"
local store = require "vbl.store.c"
local trainer = require "trainer"
local vbl = require "vbl"

local device = os.getenv "VBL_TEST_DEVICE"
local found, why = vbl.devices()
if device and not found[2] then check.skip("no device: " .. why) end

local function parameters(dtype)
  local list = {}
  for i, shape in ipairs {{3}, {2, 4}, {5}, {0}, {7}} do
    list[i] = {name = "p" .. i, tensor = vbl.randn(shape, {dtype = dtype, device = device}):keep():requires_grad_(i ~= 3)}
  end
  return list
end

check.group("the average after n steps is that of the formula; what is not trained is its own", function()
  for _, dtype in ipairs(device and {"f32"} or {"f32", "f64"}) do
    for _, packed in ipairs {false, true} do
      local list = parameters(dtype)
      if packed then vbl.optim.pack(list) end
      local average = vbl.optim.ema(list, 0.8)
      local expected = {}
      for i, p in ipairs(list) do expected[i] = p.tensor:to("cpu"):to("f64"):detach():clone() end
      for step = 1, 60 do
        local d = math.min(0.8, (1 + step) / (10 + step))
        for i, p in ipairs(list) do
          if i ~= 3 then
            vbl.no_grad(function() p.tensor:copy_(p.tensor * 0.9 + step / 60) end)
            expected[i] = expected[i] * d + p.tensor:to("cpu"):to("f64"):detach() * (1 - d)
          end
        end
        average:update(step)
      end
      -- Each step rounds products and a sum, of numbers below 2: three units of 2^-24 each, and what is old decays with 1 / (1 - d) = 5.
      local bound = dtype == "f64" and 1e-14 or 5 * 3 * 2 * 2 ^ -24
      for i, p in ipairs(list) do
        check.equal(average.list[i].name, p.name)
        if i ~= 4 then check.near((average.list[i].tensor:to("cpu"):to("f64") - expected[i]):abs():max():item(), 0, bound) end
      end
      check.equal(average.list[3].tensor:data_ptr(), list[3].tensor:data_ptr())
    end
  end
end)

local function text_of(list)
  local lines = {}
  for i, p in ipairs(list) do lines[i] = table.concat(p.tensor:reshape(-1):totable(), " ") end
  return table.concat(lines, "\n")
end

check.group("during: the averages are in the parameters, and the weights again after it, an error or not", function()
  local list = parameters "f32"
  local average = vbl.optim.ema(list, 0.5)
  vbl.no_grad(function() list[1].tensor:copy_(vbl.ones(3)) end)
  average:update(20)
  local weights, averages = text_of(list), text_of(average.list)
  check.ok(weights ~= averages)
  check.equal(average:during(function(x) check.equal(text_of(list), averages) return x + 1 end, 4), 5)
  check.equal(text_of(list), weights)
  check.error(function() average:during(error, "no", 0) end, "no")
  check.equal(text_of(list), weights)
  check.equal(text_of(average.list), averages)
  average:apply()
  average:apply()
  check.equal(text_of(list), averages)
  average:restore()
  average:restore()
  check.equal(text_of(list), weights)
end)

check.group("what is refused", function()
  for _, decay in ipairs {1, -0.1, "0.9", 0 / 0} do check.error(function() vbl.optim.ema(parameters "f32", decay) end, "decay", "from 0 to below 1") end
  check.error(function() vbl.optim.ema({{name = "p", tensor = vbl.ones(2)}}, 0.9) end, "no parameter is trained")
  check.error(function() vbl.optim.ema(parameters "f32", 0.9):update(0) end, "the step's number")
  trainer.expect(1, {"ema=1"}, "ema")
end)
if device then return trainer.finish() end

local words = {"--threads", "1", "ema=0.6"}
local function with(...)
  local all = {table.unpack(words)}
  for _, word in ipairs {...} do all[#all + 1] = word end
  return all
end

local whole = trainer.expect(0, with(), "moving average of the weights, ema 0.6")

local function same(a, b)
  trainer.same(a, b)
  for _, kind in ipairs {"last", "best", "epoch-1"} do
    local file = ("/checkpoints/%s/training.safetensors"):format(kind)
    check.ok(store.read_file(a .. file) == store.read_file(b .. file), b .. file .. " differs")
  end
end

check.group("the steps are those of a run without it; the checkpoint's model is what was evaluated", function()
  local plain = trainer.expect(0, {"--threads", "1"})
  local weights, average = vbl.load(plain .. "/checkpoints/last/model.safetensors"), vbl.load(whole .. "/checkpoints/last/model.safetensors")
  local training, differ = vbl.load(whole .. "/checkpoints/last/training.safetensors"), 0
  for name, t in pairs(weights) do
    check.equal((training[name] - t):abs():max():item(), 0)
    if (average[name] - t):abs():max():item() > 0 then differ = differ + 1 end
  end
  check.ok(differ > 20, differ)
  check.ok(not system.exists(plain .. "/checkpoints/last/training.safetensors"))
  -- epoch 2's test losses, from the file
  local job = vbl.train.open(whole)
  local found = job.kind.evaluate(job, {step = 0})
  local seen = 0
  for _, row in ipairs(vbl.load(whole .. "/metrics.jsonl")) do
    if row.split == "test" and row.epoch == 2 and row.name == "loss.mlm" then
      check.near(found.values["loss.mlm"], row.value, 1e-6 * row.value)
      seen = seen + 1
    end
  end
  check.equal(seen, 1)
end)

check.group("stopped in a step, in an evaluation, twice at once, killed: it goes on bit for bit", function()
  for _, moment in ipairs {"prepare 8 INT", "prepare 17 TERM", "forward 2 INT INT", "prepare 19 INT INT", "tensors 5 KILL", "forward 40 KILL"} do
    local _, code, run = trainer.run {"--threads", "1", "ema=0.6", env = {MOMENT = moment}}
    check.ok(code ~= 0, moment)
    trainer.expect(0, {"--threads", "1", "--resume", run})
    same(whole, run)
  end
end)

check.group("a fine-tuning run scores the average of its best epoch, and another begins from it", function()
  local run = trainer.expect(0, {trainer.finetune, script = true, "--threads", "1", "ema=0.6"}, "moving average")
  local result, seen = vbl.load(run .. "/result.json"), 0
  for _, row in ipairs(vbl.load(run .. "/metrics.jsonl")) do
    if row.split == "val" and row.epoch == result.best.epoch and row.name:match "^loss" then
      check.near(result.values["val.loss"], row.value, 1e-6 * row.value)
      seen = seen + 1
    end
  end
  check.ok(seen > 0, "no loss of the validation split")
  trainer.expect(0, {trainer.finetune, script = true, "--threads", "1", "epochs=0", "from=" .. run}, "epoch 0")
end)
trainer.finish()

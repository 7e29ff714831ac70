-- The text stream beside the image stream, on two branches of a device (vbl.side_by_side): losses, gradient norms and weights are those of one after the
-- other, bit for bit, forward and backward. On the emulated device of the tier unit, which refuses what one branch touches and the other may not be
-- done with; there every wait of the branches is left out once, to see that it is missed where it is needed.
local vbl = require "vbl"
local check = require "check"
local F = require "vbl.nn.functional"

local found, why = vbl.devices()
if not found[2] then check.skip("no device: " .. why) end

local side_by_side = vbl.side_by_side
local function one_after_the_other(f, g) return f(), g() end

local sizes = {preset = "tiny", dim = 16, mlp = 24, layers = 3, attention_heads = 2, image = 32, patch = 16, vocab = 50, dropout = 0.1, heads = {"mlm"}}

local function model_of(fusion)
  local given = {}
  for _, t in ipairs {sizes, fusion} do
    for key, value in pairs(t) do given[key] = value end
  end
  vbl.manual_seed(3)
  return vbl.models.vilbert(given)
end

local interleaved = {fusion = "interleaved", coattention = {text = {1, 2}, vision = {0, 2}, dim = 16, heads = 2}}
local runs = {
  {"interleaved", interleaved, "f32", 1},
  {"interleaved, micro-batches", interleaved, "bf16", 2},
  {"stacked", {depth = 2, layers = 2, cross_attention_layers = {1}}, "bf16", 1},
  {"no fusion, norms before", {fusion = "interleaved", placement = "none", layers = 2, text_norm = "pre"}, "f32", 1},
}

-- Two steps of `micro` parts: losses and norms, and the model.
local function train(fusion, precision, micro)
  vbl.set_device "cuda"
  local model, numbers = model_of(fusion), {}
  local optimizer = vbl.optim.adamw(model:parameters(), {lr = 1e-2, clip = 0.5})
  local lengths = {{4, 3}, {2, 5}}
  local images = vbl.randn(2, 3, 32, 32, {device = "cpu"})
  for step = 1, 2 do
    optimizer:zero_grad()
    for part = 1, micro do
      vbl.autocast(precision, vbl.scope, function()
        model.rng.seed, model.rng.step = 5, step
        local batch = {tokens = vbl.tensor({{2, 9, 8, 3, 4}, {2, 7, 3, 9, 9}}, {dtype = "i32", device = "cpu"}),
                       lengths = vbl.tensor(lengths[step], {dtype = "i32", device = "cpu"}), images = images:send "cuda"}
        local out = model:run(batch, {pass = part})
        local labels, n = {}, out.text:size(1)
        for i = 1, n do labels[i] = i % 3 == 0 and -100 or i end
        local loss = F.cross_entropy(model.heads.mlm(out.text), vbl.tensor(labels, {dtype = "i32"}), {divisor = n}) + out.vision:square():mean()
        loss:backward()
        numbers[#numbers + 1] = loss:item()
      end)
    end
    numbers[#numbers + 1] = optimizer:step()
  end
  vbl.set_device "cpu"
  return numbers, model
end

-- A process of its own, for the waits that are left out.
if arg[1] == "once" then
  train(interleaved, "f32", 1)
  os.exit(0)
end

for _, run in ipairs(runs) do
  check.group(run[1] .. " in " .. run[3], function()
    vbl.side_by_side = side_by_side
    local beside, model = train(table.unpack(run, 2))
    vbl.side_by_side = one_after_the_other
    local after, same = train(table.unpack(run, 2))
    check.equal(#beside, 2 * (run[4] + 1))
    for i, number in ipairs(beside) do
      check.equal(number, after[i])
      check.ok(number - number == 0)
    end
    for i, p in ipairs(model.list) do check.ok(same.list[i].tensor:allclose(p.tensor, {rtol = 0, atol = 0}), p.name) end
  end)
end
vbl.side_by_side = side_by_side

check.group("what is beside", function()
  vbl.set_device "cuda"
  local x = vbl.full({3}, 2):requires_grad_(true)
  -- What a branch reads of the other's is there, though nobody says that it waits; sums meet in one leaf.
  local y
  local a, b = vbl.side_by_side(function()
    y = x * x
    return y + 1
  end, function() return y * x end)
  ;(a + b):sum():backward()
  check.equal(b[1], 8)
  check.equal(x.grad[2], 2 * 2 + 3 * 4)
  -- An error ends it, and what comes after is right.
  check.error(function()
    vbl.side_by_side(function() return x * 2 end, function() error("no text", 0) end)
  end, "no text")
  check.equal((x * 3):sum():item(), 18)
  -- Within another one, and with what no op tells of: an element, a change in place.
  local inner, number = vbl.side_by_side(function() return (vbl.side_by_side(function() return x + 1 end, function() return x + 2 end)) end, function()
    local z = (x * 5):detach()
    z[1] = 7
    return z:sum():item() + y[2]
  end)
  check.equal(inner[3], 3)
  check.equal(number, 7 + 20 + 4)
  check.error(function() vbl.side_by_side(function() end) end, "function expected")
  vbl.set_device "cpu"
end)

check.group("a wait that is left out", function()
  if not os.getenv "VBL_EMU_CACHE" then return end  -- a GPU forgets none
  local missed, tried = 0, 0
  for n = 4, 60, 10 do
    local command = ("VBL_EMU_DEAF=%d %s %s once 2>&1"):format(n, arg[-1], arg[0])
    local pipe = assert(io.popen(command))
    if pipe:read "a":find("that another stream may still be", 1, true) then missed = missed + 1 end
    pipe:close()
    tried = tried + 1
  end
  check.ok(missed >= tried // 4, missed)  -- the others are one half of a meeting that only the other branch needs
end)

check.done()

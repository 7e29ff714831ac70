-- Sets where several samples show one image (questions, records of pairs): such samples are no negatives of each other in a contrastive term.
local check = require "check"
local tasks = require "vbl.tasks"

local f = require("data_files").new()
local lines = {}
for i = 1, 6 do f:image(("i/%d.png"):format(i), i) end
for i = 0, 17 do lines[i + 1] = ('{"img": "i/%d.png", "text": "question %d about it"}'):format(i // 3 + 1, i) end
f:write("asked.jsonl", table.concat(lines, "\n") .. "\n")
local data = vbl.data.open(f.path .. "/asked.jsonl", {image = 32, patch = 8, max_bad = 0, test_fraction = 0})
local view = data:split "train"
local model = vbl.models.vilbert {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, image = 32, patch = 8, depth = 2,
                                  cross_attention_layers = {1}, vocab = data.tokenizer:size(), heads = {"mlm", "ap", "ap_similarity"}, init = "fan_in"}
local order = {1, 4, 2, 7, 3, 5, 6, 10, 18, 17, 16, 8}  -- images 1 2 1 3 1 2 2 4 6 6 6 3
local batch = view:batch(order)

check.group("samples of one image: the first is taken", function()
  check.equal(view:image_key(1), view:image_key(3))
  check.ok(view:image_key(3) ~= view:image_key(4))
  local repeated, seen = tasks.repeats(view, order), {}
  for b = 1, #order do seen[b] = repeated[b] and "r" or "-" end
  check.equal(table.concat(seen), "--r-rrr--rrr")
  repeated = tasks.repeats(view, order, {0, 1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1})
  for b = 1, #order do seen[b] = repeated[b] and "r" or "-" end
  check.equal(table.concat(seen), "----r-r----r")
  local scenes = vbl.data.open("scenes", {image = 32, train = 8, test = 2}):split "train"
  check.equal(next(tasks.repeats(scenes, {1, 2, 3, 4})), nil)
end)

-- The rows of keys over parts of a batch, in order.
local function rows_of(task, work, size)
  local rows = {}
  for lo = 1, work.n, size do
    local keys = vbl.no_grad(function() return task:forward(model:eval(), work, lo, math.min(lo + size - 1, work.n), 0) end).keys
    for _, row in ipairs(keys and keys[2]:totable() or {}) do rows[#rows + 1] = row end
  end
  return rows
end

local function equal(a, b)
  if #a ~= #b then return false end
  for i, row in ipairs(a) do
    for j, value in ipairs(row) do
      if math.abs(value - b[i][j]) > 1e-5 then return false end
    end
  end
  return true
end

check.group("ap: no two pairs of the contrastive term show one image", function()
  local ap = tasks.ap {contrastive = {}}
  for step = 1, 8 do
    local work = ap:prepare(view, batch, {seed = 1, step = step, epoch = 0})
    local out = vbl.no_grad(function() return model:eval():run(tasks.part(work.batch, 1, 12), {pass = 0, unimodal = true, fuse = false}) end)
    local vision = vbl.nn.functional.normalize_rows(model.cls(out.unimodal.vision, out.vision_layout)):totable()
    local want, seen = {}, {}
    for b, i in ipairs(order) do
      if work.labels[b] == 1 and not seen[(i - 1) // 3] then
        want[#want + 1], seen[(i - 1) // 3] = vision[b], true
      end
    end
    check.ok(#want >= 2 and #want <= 5, #want)
    check.ok(equal(rows_of(ap, work, 12), want))
    check.ok(equal(rows_of(ap, work, 5), want))  -- whatever the micro-batches
  end
end)

check.group("mim: the patches of an image are candidates once", function()
  local mim = tasks.mim {}
  local work = mim:prepare(view, batch, {seed = 1, step = 1, epoch = 0})
  local visible = 0
  for b, row in ipairs(work.mask:totable()) do
    for _, hidden in ipairs(row) do visible = visible + (({[1] = 1, [2] = 1, [4] = 1, [8] = 1, [9] = 1})[b] and 1 - hidden or 0) end
  end
  check.equal(#rows_of(mim, work, 12), visible)
  check.ok(equal(rows_of(mim, work, 12), rows_of(mim, work, 5)))
  check.ok(visible < 12 * 16)
end)

f:remove()

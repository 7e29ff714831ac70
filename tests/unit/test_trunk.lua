-- What the passes of a step compute alike is computed once (vbl.models.trunk): losses and gradients are those of each pass by itself, to rounding, and
-- nothing goes through the layers before the fusion twice, whether the tasks go as one batch or in turn.
local check = require "check"
local system = require "vbl.system.c"
local together = require "together"
local vbl = require "vbl"

local with, interleaved = together.with, together.interleaved
local key = {seed = 3, step = 1, epoch = 1}

-- A step, and what its trunks went over: array of {texts, images}.
local function spied(job, works, at_once, micro)
  local seen, plain = {}, job.model.trunk
  rawset(job.model, "trunk", function(model, batch)
    seen[#seen + 1] = {batch.tokens:size(1), batch.images:size(1)}
    return plain(model, batch)
  end)
  local result, grads, runs = together.step(job, works, at_once, micro)
  rawset(job.model, "trunk", nil)
  return result, grads, runs, seen
end

-- How many captions of the works differ.
local function different_texts(works)
  local seen, n = {}, 0
  for _, work in pairs(works) do
    local tokens, lengths = work.batch.tokens:totable(), work.batch.lengths:totable()
    for b, length in ipairs(lengths) do
      local text = table.concat(tokens[b], ",", 1, length)
      n, seen[text] = n + (seen[text] and 0 or 1), true
    end
  end
  return n
end

-- images: how many go through the trunk of all tasks.
local function compare(name, images, model, tasks, more)
  check.group(name, function()
    local job = together.job_of(with({dropout = 0}, model), tasks, more)
    local works = together.works_of(job, key)
    for _, task in ipairs(job.tasks) do  -- as the step narrows a batch for a task that takes fewer samples
      if task.batch then
        local some = job.train:range(1, task.batch)
        some.images = works.mlm.batch.images:narrow(1, 1, task.batch)
        works[task.name] = task:prepare(job.train, some, key)
      end
    end
    job.model.sharing = false
    local apart, wanted, _, none = spied(job, works, false)
    check.equal(#none, 0)
    job.model.sharing = nil
    for _, at_once in ipairs {true, false} do
      local all, grads, runs, seen = spied(job, works, at_once)
      together.check_same(job, apart, wanted, all, grads)
      check.equal(#seen, 1)
      check.equal(seen[1][1], different_texts(works))
      check.equal(seen[1][2], images)
      check.ok(at_once or runs >= 3, "a task at a time")
    end
    local all, grads, _, seen = spied(job, works, false, 5)  -- parts of 5, 5 and 2 samples, for their keys first
    together.check_same(job, apart, wanted, all, grads)
    local parts = {}
    for i = #seen - 2, #seen do parts[#parts + 1] = seen[i][2] end
    check.ok(parts[1] + parts[2] + parts[3] == images, table.concat(parts, " "))
  end)
end

local three = {mlm = {}, ap = {}, mim = {}}
compare("interleaved, the first block after a layer", 24, {fusion = "interleaved", coattention = {text = {1}, vision = {1}, dim = 32, heads = 4}}, three)
compare("interleaved, other depths of the streams", 24, {layers = 3, fusion = "interleaved", coattention = {text = {2}, vision = {1}, dim = 32, heads = 4}}, three)
compare("interleaved, from the embeddings on", 24, interleaved, three)
compare("interleaved, without blocks", 24, {fusion = "interleaved", placement = "none"}, three)
compare("interleaved, a second way through the layers", 24, {fusion = "interleaved", coattention = {text = {1}, vision = {1}, dim = 32, heads = 4}},
        {mlm = {}, ap = {contrastive = {}}, mim = {}})
compare("stacked, alignment without the fusion", 24, {depth = 2, cross_attention_layers = {0, 1}}, {mlm = {}, ap = {head = "similarity", contrastive = {}}, mim = {}})
compare("stacked, unimodal vectors of a fused pass", 24, {depth = 2, cross_attention_layers = {1}, text_norm = "pre"}, {mlm = {}, ap = {contrastive = {}}, mim = {}})
compare("a task of fewer samples, a mask token", 12 + 7, {depth = 1, cross_attention_layers = {0}, mask_token = true}, {mlm = {}, ap = {}, mim = {batch = 7}})
compare("checkpointed layers", 24, {depth = 1, cross_attention_layers = {0}}, three, {checkpointing = true})
compare("a target without a gradient", 24, {depth = 1, cross_attention_layers = {0}}, {mlm = {}, ap = {}, mim = {target = "stop"}})
compare("views of their own", 12 * 4, {depth = 1, cross_attention_layers = {0}},
        {mlm = {}, ap = {augment = {blur = 1}}, mim = {augment = {clean = {blur = 1}, masked = {blur = 1}}}})

check.group("checkpointed layers: the same bits", function()
  local grads = {}
  for _, on in ipairs {false, true} do
    local job = together.job_of(with(interleaved, {dropout = 0}), {mlm = {}, ap = {contrastive = {}}, mim = {}}, {checkpointing = on})
    local _
    _, grads[on] = together.step(job, together.works_of(job, key), false)
  end
  for name, g in pairs(grads[false]) do check.ok(grads[true][name]:allclose(g, {rtol = 0, atol = 0}), name) end
end)

-- A batch and what `changed` makes of it: "texts images" that the trunk takes; nil: nothing is shared.
local function twice(model, changed)
  local seen
  local batch = model.batch()
  rawset(model.model, "trunk", function(_, given)
    seen = given.tokens:size(1) .. " " .. given.images:size(1)
    error("seen", 0)
  end)
  pcall(model.model.run_all, model.model, {{batch, {}}, {changed(batch), {}}})
  rawset(model.model, "trunk", nil)
  return seen
end

check.group("what is alike", function()
  local job = together.job_of(with(interleaved, {dropout = 0}), three)
  local given = {model = job.model, batch = function()
    local b = job.train:range(1, 12)
    return {tokens = b.tokens, lengths = b.lengths, images = b.images}
  end}
  local function changed(keys)
    return function(batch)
      local new = setmetatable({}, {__index = batch})
      for name, fn in pairs(keys) do new[name] = fn(batch) end
      return new
    end
  end
  local function images(batch) return batch.images end
  local texts = tonumber(twice(given, changed {images = images}):match "^%d+")
  local function expect(what, more, images_seen, keys)
    local found = twice(given, changed(keys))
    check.ok(found == texts + more .. " " .. images_seen, ("%s: %s"):format(what, found))
  end
  expect("the same images", 0, 12, {images = images})
  expect("the same pixels elsewhere", 0, 24, {images = function(b) return b.images:clone() end})
  expect("another order, elsewhere", 0, 24, {images = function(b) return vbl.cat({b.images:narrow(1, 12, 1), b.images:narrow(1, 1, 11)}, 1) end})
  expect("masked, if nothing is hidden", 0, 24, {mask = function() return vbl.zeros(12, 16, {dtype = "u8"}) end})
  expect("padding is no text", 0, 12, {tokens = function(b) return vbl.cat({b.tokens, vbl.ones(12, 3, {dtype = "i32"})}, 2) end})
  expect("all begin alike", 1, 12, {lengths = function() return vbl.full({12}, 1, {dtype = "i32"}) end})
  check.equal(twice(given, changed {images = function(b) return b.images:to "f32" end}), nil)
  job.model.sharing = false
  check.equal(twice(given, changed {images = images}), nil)
  job.model.sharing = nil
  job.model:tap {"vision.0"}
  check.equal(twice(given, changed {images = images}), nil)
end)

check.group("dropout", function()
  local job = together.job_of(with(interleaved), three)
  local given = {model = job.model, batch = function() return job.train:range(1, 12) end}
  local function same(batch) return batch end
  check.equal(twice(given, same), nil)
  job.model:eval()
  check.equal(twice(given, same):match "%d+$", "12")
  vbl.no_grad(function()
    local batch = given.batch()
    local all, alone = job.model:run_all {{batch, {reads = "text"}}, {batch, {reads = "vision"}}}, job.model:run(batch)
    check.ok(all[1].text:allclose(alone.text, {rtol = 0, atol = 1e-5}))
    check.ok(all[2].vision:allclose(alone.vision, {rtol = 0, atol = 1e-5}))
  end)
end)

check.group("passes that go in another order than their images came", function()
  local job = together.job_of(with(interleaved, {dropout = 0}), three)
  local batch = job.train:range(1, 12)
  local moved = setmetatable({images = vbl.cat({batch.images:narrow(1, 12, 1), batch.images:narrow(1, 1, 11)}, 1)}, {__index = batch})
  vbl.no_grad(function()
    local all = job.model:run_all {{batch, {reads = "vision"}}, {moved, {reads = "text"}}}
    check.ok(all[1].vision:allclose(job.model:run(batch).vision, {rtol = 0, atol = 1e-5}))
    check.ok(all[2].text:allclose(job.model:run(moved).text, {rtol = 0, atol = 1e-5}))
  end)
end)

check.group("a task that fails while another waits for its pass", function()
  local job = together.job_of(with(interleaved, {dropout = 0}), three)
  local works = together.works_of(job, key)
  local first, second, closed = job.tasks[1], job.tasks[2], false
  first.forward = function() return {keys = {}, stats = {}} end
  first.join = function() error("task: a mistake of its own", 0) end
  local forward = second.forward
  second.forward = function(...)
    local _ <close> = setmetatable({}, {__close = function() closed = true end})
    local out = forward(...)
    return out
  end
  check.error(function() together.step(job, works, false) end, "task: a mistake of its own")
  check.ok(closed)
end)

-- Once for the coroutine, once for what resumed it: a script that caught one of them can go on.
check.group("Ctrl-C in a task", function()
  local job = together.job_of(with(interleaved, {dropout = 0}), three)
  local works, task = together.works_of(job, key), job.tasks[1]
  local forward = task.forward
  local function ctrl_c() system.run {"/bin/sh", "-c", "kill -INT " .. system.pid()} end
  for _, at_once in ipairs {true, false} do
    task.forward = function(...)
      local out = forward(...)
      ctrl_c()
      return out
    end
    local ok, message = pcall(together.step, job, works, at_once)
    check.ok(not ok and tostring(message):find("interrupted", 1, true), tostring(message))
    system.clear_interrupt()
    task.forward = forward
    check.ok(together.step(job, works, at_once).mlm.loss > 0)
  end
end)

check.group("tasks that ask for no pass", function()
  local job = together.job_of(with(interleaved, {dropout = 0}), three)
  local works = together.works_of(job, key)
  for _, task in ipairs {job.tasks[1], job.tasks[2]} do task.forward = function() return {stats = {}} end end
  for _, at_once in ipairs {true, false} do
    local result, grads, runs = together.step(job, works, at_once)
    check.ok(result.mim.loss > 0 and result.mlm.loss == 0 and grads["vit.norm.weight"])
    check.equal(runs, 1)
  end
  job.tasks[3].forward = job.tasks[1].forward
  for _, at_once in ipairs {true, false} do
    local result, grads, runs = together.step(job, works, at_once)
    check.ok(result.mim.loss == 0 and not next(grads))
    check.equal(runs, 0)
  end
end)

check.group("a trunk that is frozen", function()
  local job = together.job_of(with(interleaved, {dropout = 0}), three, {freeze = {"bert.*", "vit.*"}})
  local works = together.works_of(job, key)
  job.model.sharing = false
  local _, wanted = together.step(job, works, false)
  job.model.sharing = nil
  local _, grads = together.step(job, works, false)
  check.ok(wanted["fusion.0.text.proj.weight"] and not grads["vit.norm.weight"])
  for name, g in pairs(wanted) do check.ok(grads[name]:allclose(g, {rtol = 1e-5, atol = 1e-7}), name) end
end)

check.group("a batch that is none", function()
  local job = together.job_of(with(interleaved, {dropout = 0}), three)
  local batch = job.train:range(1, 12)
  local bad = setmetatable({images = batch.images:narrow(1, 1, 3)}, {__index = batch})
  check.error(function() job.model:run_all {{batch, {}}, {bad, {}}} end, "vilbert: tokens hold 12 samples and images 3")
  local long = setmetatable({lengths = vbl.full({12}, 99, {dtype = "i32"})}, {__index = batch})
  check.error(function() job.model:run_all {{batch, {}}, {long, {}}} end, "expected 1 to")
end)

check.done()

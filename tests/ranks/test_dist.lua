-- Under mpirun: what vbl.dist exchanges, against what each rank can say of the others without asking.
local check = require "check"
local dist = require "vbl.dist"
local vbl = require "vbl"

dist.start()
local rank, size = dist.rank(), dist.size()

check.group("ranks", function()
  local seen = dist.each(tostring(rank))
  check.equal(#seen, size)
  for i, text in ipairs(seen) do check.equal(text, tostring(i - 1)) end
  check.ok(size > 1)
  check.equal(dist.first(), rank == 0)
end)

check.group("sums", function()
  check.equal(dist.sum(rank + 1), size * (size + 1) / 2)
  local list = dist.sum {rank, 2.5, -rank}
  check.equal(list[1], size * (size - 1) / 2)
  check.equal(list[2], 2.5 * size)
  check.equal(list[3], -list[1])
  check.equal(dist.most(rank), size - 1)
  check.equal(dist.least(rank - 5), -5)
  check.equal(dist.any(rank == size - 1), true)
  check.equal(dist.any(false), false)
  check.error(function() dist.sum {1, "two"} end, "item 2", "string")
end)

check.group("shares", function()
  for n = 0, 3 * size + 1 do
    local lo, hi = dist.share(n)
    local next_one = 1
    for _, text in ipairs(dist.each(("%d %d"):format(lo, hi))) do
      local a, b = text:match "(%d+) (%d+)"
      check.equal(tonumber(a), next_one)
      next_one = tonumber(b) + 1
    end
    check.equal(next_one, n + 1)
    check.equal(dist.largest(n), math.tointeger(dist.most(hi - lo + 1)))
    check.ok(hi - lo + 1 >= dist.largest(n) - 1)
  end
end)

-- Rank r has r rows of r: the first has none, and need not know how wide they are.
check.group("rows", function()
  for _, dtype in ipairs {"f32", "f64", "bf16", "i32"} do
    local mine = rank > 0 and vbl.full({rank, 2, 3}, rank, {dtype = dtype}) or nil
    local all, first = dist.gather(mine)
    check.equal(table.concat(all:shape(), " "), ("%d 2 3"):format(size * (size - 1) // 2))
    check.equal(all:dtype(), dtype)
    check.equal(first, rank * (rank - 1) // 2 + 1)
    local at = 1
    for r = 1, size - 1 do
      for _ = 1, r do
        check.equal(all[at][2][3], r)
        at = at + 1
      end
    end
  end
  check.equal((dist.gather(nil)), nil)
end)

-- A parameter that got a gradient on one rank only, on all, on none; side by side and each by itself.
for _, packed in ipairs {false, true} do
  check.group(packed and "gradients in one block" or "gradients apart", function()
    for _, dtype in ipairs {"f32", "f64"} do
      local parameters = {}
      for i, shape in ipairs {{3}, {2, 2}, {4}, {5}} do
        parameters[i] = {name = "p" .. i, tensor = vbl.ones(shape, {dtype = dtype}):keep():requires_grad_(true)}
      end
      if packed then vbl.optim.pack(parameters) end
      local optimizer = vbl.optim.sgd(parameters, {lr = 1})
      for step = 1, 2 do
        optimizer:zero_grad()
        local loss = (parameters[1].tensor * (rank + step)):sum()
        if rank == 1 then loss = loss + (parameters[2].tensor * 7):sum() end
        loss = loss + (parameters[4].tensor * 2):sum()
        loss:backward()
        dist.sum_gradients(parameters)
        for _, x in ipairs(parameters[1].tensor.grad:reshape(-1):totable()) do check.equal(x, size * (size - 1) / 2 + size * step) end
        for _, x in ipairs(parameters[2].tensor.grad:reshape(-1):totable()) do check.equal(x, 7) end
        check.equal(parameters[3].tensor.grad, nil)
        for _, x in ipairs(parameters[4].tensor.grad:reshape(-1):totable()) do check.equal(x, 2 * size) end
      end
    end
  end)
end

check.group("gradients side by side on one rank only", function()
  local a, b = vbl.ones(3):keep():requires_grad_(true), vbl.ones(4):keep():requires_grad_(true)
  if rank == 1 then vbl.cat({a, b}, 1):backward(vbl.arange(7)) end
  dist.sum_gradients {{tensor = a}, {tensor = b}}
  check.equal(table.concat(a.grad:totable(), " "), "0.0 1.0 2.0")
  check.equal(table.concat(b.grad:totable(), " "), "3.0 4.0 5.0 6.0")
end)

-- As it stands there; the last batch has fewer samples than ranks.
check.group("the loop of docs/ranks.md", function()
  local source = io.open("docs/ranks.md"):read "a":match "```lua\n(.-)```"
  local function run(sizes)
    local w = vbl.full({3}, 0.5):keep():requires_grad_(true)
    local list, printed = {{name = "w", tensor = w}}, {}
    local env = setmetatable({optimizer = vbl.optim.sgd(list, {lr = 1e-3}), rate = 1e-3, print = function(_, loss) printed[#printed + 1] = loss end}, {__index = _G})
    env.model = {parameters = function() return list end}
    function env.loss_of(_, batch, lo, hi) return (w * batch.x:narrow(1, lo, hi - lo + 1)):square():sum() end
    for step, n in ipairs(sizes) do
      env.step, env.batch = step, {n = n, x = vbl.arange(3 * n):reshape(n, 3)}
      assert(load(source, "=docs/ranks.md", "t", env))()
    end
    return w:totable(), printed
  end
  local shared, said = run {4, 7, 1}
  local alone, expected = dist.alone(run, {4, 7, 1})
  for i, x in ipairs(alone) do check.near(shared[i], x, 1e-6 * math.abs(x)) end
  check.equal(#said, rank == 0 and 3 or 0)
  for i, x in ipairs(said) do check.near(x, expected[i], 1e-6 * math.abs(x)) end
end)

check.group("images of a rank's own samples", function()
  local own_images = require "vbl.data.own_images"
  local set = vbl.data.open("scenes", {image = 32, patch = 16, train = 40, test = 8, seed = 3})
  local view, index, key = set:split "train", {}, {seed = 3, step = 1, epoch = 1}
  for i = 1, 11 do index[i] = 2 * i end
  local whole = view:batch(index, {epoch = 1})
  local tasks = {{}, {batch = 3}}
  local ranges = own_images.of_step(tasks, #index)
  local loader <close> = view:loader()
  loader:submit(index, 1, ranges)
  local batch, rows = loader:next(), 0
  check.ok(own_images.is(batch.images))
  check.equal(batch.replaced, false)
  for i = 1, #index do check.equal(batch.index[i], whole.index[i]) end
  local options = {jitter = 1, brightness = 0.5, blur = 0.5}
  local augment = require "vbl.data.augment"
  local changed, all_changed = augment.images(batch.images, options, batch, key, "ap"), augment.images(whole.images, options, whole, key, "ap")
  for _, task in ipairs(tasks) do
    local lo, hi = dist.share(math.min(#index, task.batch or #index))
    for i = lo, hi do
      check.equal((batch.images:narrow(1, i, 1):to("f32") - whole.images:narrow(1, i, 1):to("f32")):abs():sum():item(), 0)
      check.equal((changed:narrow(1, i, 1):to("f32") - all_changed:narrow(1, i, 1):to("f32")):abs():sum():item(), 0)
    end
  end
  for _, range in ipairs(ranges) do rows = rows + range[2] - range[1] + 1 end
  check.equal(batch.images.rows:size(1), rows)
  check.ok(rows < #index)
  for _, ask in ipairs {function() return batch.images:narrow(1, 1, #index) end, function() return batch.images:size(1) end} do
    local ok, message = pcall(ask)
    check.ok(not ok and tostring(message):find("all_images = true", 1, true), message)
  end
  tasks[2].all_images = true
  check.equal(own_images.of_step(tasks, #index), nil)
end)

check.group("what the first does", function()
  check.equal(dist.on_first(function() return "path " .. rank end), "path 0")
  check.equal(dist.on_first(function() return rank == 0 end), true)
  check.equal(dist.on_first(function() end), nil)
  for _, value in ipairs {"caf\xe9 \0\n", "", 3, 3.0, 1 / 3, math.mininteger, 2.0 ^ 60, -1 / 0} do
    local got = dist.on_first(function() return value end)
    check.equal(got, value)
    check.equal(math.type(got), math.type(value))
  end
  local nan = dist.on_first(function() return 0 / 0 end)
  check.ok(nan ~= nan)
  check.error(function() dist.on_first(function() return {} end) end, "got a table")
  check.error(function() dist.on_first(function() error("no room in caf\xe9", 0) end) end, "no room in caf\xe9")
  check.error(function() dist.on_first(function() error("no room", 0) end) end, "no room")
end)

-- Taken for one another, the bytes of one would be the numbers of the other.
check.group("ranks that exchange different things", function()
  local text = "the ranks have come apart"
  check.error(function() if rank == 0 then dist.sum(1) else dist.each "x" end end, text)
  check.error(function() if rank == 0 then dist.on_first(function() end) else dist.any(true) end end, text)
  check.error(function() dist.sum(rank == 0 and {1, 2, 3} or {1}) end, text)
  check.equal(dist.sum(1), size)
end)

check.group("one by itself", function()
  dist.alone(function()
    check.equal(dist.size(), 1)
    check.equal(dist.rank(), 0)
    check.equal(dist.sum(rank), rank)
    check.equal(dist.on_first(function() return rank end), rank)
    local lo, hi = dist.share(10)
    check.equal(hi - lo, 9)
  end)
  check.equal(dist.size(), size)
  check.ok(not pcall(dist.alone, error, "left"))
  check.equal(dist.size(), size)
  dist.planned(function()
    check.equal(dist.size(), size)
    check.equal(dist.share(10), 1)
    check.equal(dist.sum(rank), rank)
    check.equal(dist.gather(vbl.ones(2, 3)):size(1), 2 * size)
  end)
end)
check.done()

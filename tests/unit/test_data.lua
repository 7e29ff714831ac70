-- vbl.data from Lua: both kinds of data sets, batches, loaders, the tasks' draws, errors. The C parts have tests of their own.
local check = require "check"
local c = require "vbl.data.c"
local vbl = require "vbl"

local function same(a, b)
  local x, y = a:reshape(-1):totable(), b:reshape(-1):totable()
  if #x ~= #y then return false end
  for i = 1, #x do if x[i] ~= y[i] then return false end end
  return true
end

local function shape(t) return table.concat(t:shape(), "x") end

local data = vbl.data.open("scenes", {image = 32, patch = 8, train = 200, test = 40, seed = 3})
local train, test = data:split("train"), data:split("test")

check.group("scenes", function()
  check.equal(train:size(), 200)
  check.equal(data:size("test"), 40)
  check.equal(data:size("dev"), 0)
  check.ok(data:hash() == vbl.data.open("scenes", {image = 32, train = 200, test = 40, seed = 3}):hash())
  check.ok(data:hash() ~= vbl.data.open("scenes", {image = 32, train = 200, test = 40, seed = 4}):hash())
  check.ok(train:mean_length() > 6 and train:mean_length() < 25)
  check.ok(data:describe():find("200 training pairs, 40 held out", 1, true))
  check.ok(data:report():find("0 bad records, 0 bad images", 1, true))
  check.equal(train:image_id(1), "scene-0")
  check.equal(test:image_id(1), "scene-200")
  check.equal(train:captions(1), 5)
  check.ok(train:text_equal(1, 1, 1, 2))
end)

check.group("tokenizer", function()
  local t = data.tokenizer
  local ids, cut = t:encode("A red Circle at the top left")
  check.equal(#ids, 9)
  check.equal(cut, false)
  check.equal(ids[1], t:id("[CLS]"))
  check.equal(ids[9], t:id("[SEP]"))
  check.equal(t:decode(ids), "a red circle at the top left")
  check.equal(t:token(ids[3]), "red")
  check.equal(t:id("no such token"), nil)
  check.error(function() t:token(t:size()) end, "expected 0 to " .. t:size() - 1)
  check.error(function() t:encode("a \xff") end, "invalid UTF-8 at byte offset 2")
end)

check.group("batches", function()
  local b = train:batch({7, 1, 7})
  check.equal(b.n, 3)
  check.equal(shape(b.images), "3x3x32x32")
  check.equal(b.images:dtype(), "u8")
  check.equal(b.tokens:size(1), 3)
  local longest = math.max(table.unpack(b.lengths:totable()))
  check.equal(b.tokens:size(2), longest)
  check.ok(same(b.tokens:narrow(1, 1, 1), b.tokens:narrow(1, 3, 1)))
  check.ok(not same(b.images:narrow(1, 1, 1), b.images:narrow(1, 2, 1)))
  local r = train:range(7, 1)
  check.equal(r.index[1], 7)
  check.ok(same(r.images, b.images:narrow(1, 1, 1)))
  local other = train:batch({7}, {captions_from = {1}})
  check.ok(same(other.tokens, train:batch({1}).tokens) and same(other.images, r.images))
  check.error(function() train:batch({201}) end, "expected 1 to 200")
  check.error(function() train:batch({}) end, "at least one")
  check.error(function() train:batch({1, 2}, {captions_from = {1}}) end, "expected as many")
end)

check.group("order and loader", function()
  local order, seen = train:order(3, 1), {}
  check.equal(#order, 200)
  for _, i in ipairs(order) do seen[i] = true end
  for i = 1, 200 do check.ok(seen[i]) end
  local function batches(opts)
    local list, loader <close> = {}, train:loader(opts)
    for k = 1, 6 do loader:submit({order[k], order[k + 50], order[k + 100]}, k) end
    for k = 1, 6 do list[k] = loader:next() end
    check.error(function() loader:next() end, "submit")
    return list
  end
  local one, many = batches {threads = 1, ahead = 1}, batches {threads = 4, ahead = 3}
  check.error(function() train:loader {threads = 2 ^ 32 + 1} end, "expected 1 to 256")
  for k = 1, 6 do
    check.equal(one[k].epoch, k)
    check.equal(one[k].index[2], order[k + 50])
    local now = train:batch(one[k].index, {epoch = k})
    for _, name in ipairs {"tokens", "lengths", "images"} do check.ok(same(one[k][name], many[k][name]) and same(one[k][name], now[name])) end
  end
  local loader = train:loader()
  for _ = 1, 50 do loader:submit({1, 2, 3}, 1) end
  loader:release()
  check.error(function() loader:next() end, "released")
  check.error(function() vbl.data.open("scenes", {train = 1, test = 0}):split("test"):loader() end, "no samples")
end)

check.group("draws of the tasks", function()
  local batch = train:range(1, 64)
  local masked, labels, count = train:mask_tokens(batch.tokens, batch.lengths, {probability = 0.15, seed = 1, step = 2})
  local old, new, wanted, n = batch.tokens:totable(), masked:totable(), labels:totable(), 0
  for i = 1, 64 do
    for t = 1, #wanted[i] do
      local is = wanted[i][t] ~= -100
      n = n + (is and 1 or 0)
      check.ok(is and wanted[i][t] == old[i][t] or not is and new[i][t] == old[i][t])
    end
  end
  check.equal(count, n)
  check.ok(n > 0)
  check.equal(shape(train:mask_patches(5, {probability = 0.3, seed = 1, step = 2})), "5x16")
  local s = train:swap_captions(batch, {seed = 1, step = 2, epoch = 0})
  local ones = 0
  for i, y in ipairs(s.labels) do
    ones = ones + y
    check.equal(y == 1, s.from[i] == batch.index[i])
    check.ok(y == 1 or not train:text_equal(batch.index[i], s.from[i]))
  end
  check.near(ones, 32, 5 * 4)  -- 5 standard deviations of 64 fair draws
  check.ok(same(s.tokens, train:batch(batch.index, {captions_from = s.from}).tokens))
  local h = test:hard_negatives(test:range(1, 8), 1)
  check.equal(#h.attributes, 8)
  check.equal(h.tokens:size(1), 8)
  local words = {}
  for _, objects in ipairs {test:scene(3)} do words[1] = objects[1] end
  check.ok(words[1].color >= 0 and words[1].place <= 8)
  check.ok(not same(h.tokens:narrow(1, 1, 1):contiguous(), test:range(1, 1).tokens))
  local u = vbl.data.uniform(3, "order", 7)
  check.ok(u >= 0 and u < 1 and u == vbl.data.uniform(3, "order", 7) and u ~= vbl.data.uniform(3, "order", 8))
end)

-- An 8 x 8 gray JPEG of one block of value 128.
local jpeg = "\xFF\xD8\xFF\xDB\0\67\0" .. ("\1"):rep(64) .. "\xFF\xC0\0\11\8\0\8\0\8\1\1\x11\0" ..
  "\xFF\xC4\0\20\0\1" .. ("\0"):rep(16) .. "\xFF\xC4\0\20\x10\1" .. ("\0"):rep(16) .. "\xFF\xDA\0\8\1\1\0\0\63\0\x3F\xFF\xD9"

local function write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

check.group("captions", function()
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  local path = folder .. "/c.tsv"
  for _, name in ipairs {"a", "b", "c"} do write(folder .. "/" .. name .. ".jpg", jpeg) end
  write(folder .. "/cut.jpg", jpeg:sub(1, -3))
  write(path, "a.jpg\tA dog .\na.jpg\tThe dog runs .\nb.jpg\tA cat .\nc.jpg\tA dog .\nno tab\ncut.jpg\tA bird .\n")
  write(folder .. "/split.tsv", "a.jpg\ttrain\nb.jpg\ttrain\nc.jpg\ttest\n")
  local set = vbl.data.open("captions:" .. path, {image = 16, max_bad = 0.3, max_tokens = 5, seed = 1})
  check.equal(set:size("train"), 2)
  check.equal(set:size("test"), 1)
  local view = set:split("train")
  check.equal(view:image_id(1), "a.jpg")
  check.equal(view:caption(1, 2), "The dog runs .")
  check.ok(view:text_equal(1, 1) and not view:text_equal(1, 2))
  check.equal(view:range(1, 2).images:totable()[1][1][1][1], 128)
  check.equal(view:range(1, 2).tokens:size(2), 5)
  check.ok(set:describe():find("c.tsv:5: no tab", 1, true) and set:describe():find("cut.jpg: truncated", 1, true))
  check.ok(set:report():find("1 bad record, 1 bad image, 2 captions cut", 1, true))
  local from = view:swap_captions(view:batch({1, 2, 1, 2}), {seed = 1, step = 1, epoch = 0})
  for i, y in ipairs(from.labels) do check.equal(from.from[i], y == 1 and (i - 1) % 2 + 1 or i % 2 + 1) end
  check.error(function() view:scene(1) end, "only the built-in")
  check.error(function() vbl.data.open("captions:" .. path) end, "lines are bad, more than max_bad = 0.01", "c.tsv:5: no tab")
  write(folder .. "/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
  check.error(function() vbl.data.open("captions:" .. path, {max_bad = 1, vocabulary = folder .. "/vocab.txt"}) end, "vocab.txt", "[MASK] is missing")
  assert(os.execute("rm -r " .. folder))
end)

check.group("errors", function()
  check.error(function() vbl.data.open("captions:/nonexistent/c.tsv") end, "/nonexistent/c.tsv: No such file")
  check.error(function() vbl.data.open("scene") end, "did you mean 'scenes'?")
  check.error(function() vbl.data.open("scenes", {tran = 3}) end, "no option 'tran', did you mean 'train'?")
  check.error(function() vbl.data.open("scenes", {crop = "squash"}) end, "scenes has no option 'crop'")
  check.error(function() vbl.data.open("scenes", {train = "many"}) end, "expected a number, got many")
  check.error(function() vbl.data.open("scenes", {image = 8}) end, "expected 16 to 1024")
  check.error(function() vbl.data.open("scenes", {std = {1, 0, 1}}) end, "above 0")
  check.error(function() data:split("val") end, "val")
  -- An option beyond an int is out of range; it does not wrap round into the range.
  check.error(function() c.records("", {image = (1 << 32) + 64}) end, "expected 16 to 1024")
  check.error(function() c.records("", {max_tokens = -(1 << 32) + 64}) end, "expected at least 3")
end)

check.group("a builder's arguments", function()
  local records = c.records("", {image = 16})
  check.error(function() records:add("1", "id", nil, "a.png", "text", nil, 0) end, "archive 0 of 0")
  check.error(function() records:add("1", "id", nil, "a.png", "text", nil, 1 << 32) end, "archive 2147483647 of 0")
  -- 65 classes and their weights, in a list that says it is one short.
  records:classes("soft", {"a"})
  local label = setmetatable({}, {__len = function() return 129 end})
  for i = 1, 65 do label[2 * i - 1], label[2 * i] = i, 1 end
  check.error(function() records:add("1", "id", nil, "a.png", "text", label) end, "at most 64")
  -- A record of no class, or of two, where each has one: a bad record.
  records = c.records("", {image = 16, max_bad = 0})
  records:classes("class", {"a", "b"})
  records:add("1", "id", nil, "a.png", "text", {})
  records:add("2", "id", nil, "a.png", "text", {0, 1})
  check.error(function() records:finish("rows") end, "1: a label of 0 classes; expected one; skipped", "2: a label of 2 classes")
end)

check.done()

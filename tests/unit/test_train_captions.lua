-- A captions file with everything that goes wrong in one, through the whole trainer: it trains, the log counts and names what was skipped,
-- and what is more than max_bad allows is an error.
local check = require "check"
local trainer = require "trainer"
local random = require "vbl.data.c"
local store = require "vbl.store.c"

local folder = trainer.folder .. "/images"
store.make_folder(folder)

-- A picture of one colour with a square; its caption says which.
local colors = {red = {220, 40, 40}, green = {40, 200, 40}, blue = {40, 40, 220}, white = {240, 240, 240}}
local names = {"red", "green", "blue", "white"}

local function picture(i)
  local color = names[i % 4 + 1]
  local image = vbl.full({3, 24, 20 + i % 7}, 90, {dtype = "u8"})
  for channel = 1, 3 do image:select(1, channel):narrow(1, 5, 12):narrow(2, 4 + i % 5, 10):fill_(colors[color][channel]) end
  local name = ("%02d.%s"):format(i, i % 3 == 0 and "jpg" or "png")
  vbl.save(folder .. "/" .. name, image)
  return name, color
end

local lines = {}
local function add(path, caption) lines[#lines + 1] = path .. "\t" .. caption end
for i = 1, 48 do
  local name, color = picture(i)
  add("images/" .. name, ("a %s square on grey, number %d"):format(color, i % 10))
  if i % 2 == 0 then add("images/" .. name, ("the square is %s"):format(color)) end
end
-- One long caption, two bad lines, three bad images: not there, no image, and one whose head is whole but whose pixels are cut off.
add("images/01.png", ("a very long caption "):rep(40))
lines[#lines + 1] = "images/02.png a line without a tab"
lines[#lines + 1] = "images/02.png\tinvalid \xff\xfe bytes"
add("images/missing.png", "an image that is not there")
trainer.write("images/text.png", "this is no image")
add("images/text.png", "a file that is no image")
local whole = store.read_file(folder .. "/04.png")
trainer.write("images/cut.png", whole:sub(1, #whole - 30))
add("images/cut.png", "an image whose end is missing")
trainer.write("captions.tsv", table.concat(lines, "\n") .. "\n")
local split = {}
for i = 1, 48 do split[i] = ("images/%02d.%s\t%s\n"):format(i, i % 3 == 0 and "jpg" or "png", i > 36 and "test" or "train") end
split[#split + 1] = "images/cut.png\ttrain\n"
trainer.write("split.tsv", table.concat(split))

local function words(...)
  return {"data=captions:" .. trainer.folder .. "/captions.tsv", "model.preset=tiny", "model.image=32", "model.patch=8", "captions.max_tokens=16",
          "captions.vocabulary_limit=400", "batch=8", "--threads", "1", ...}
end

local run
check.group("trains, and the log says what was left out", function()
  local text
  run, text = trainer.expect(0, words("captions.max_bad=0.1"), "Epoch 2/2")
  local log = store.read_file(run .. "/log.txt")
  for _, part in ipairs {"captions.tsv:74: no tab", "captions.tsv:75: ", "UTF-8", "images/missing.png", "images/text.png", "images/cut.png", "cut",
                         "data: 2 bad records, 3 bad images, 1 caption cut"} do
    check.ok(log:find(part, 1, true), ("the log lacks %q: %s"):format(part, log:sub(1, 2000)))
  end
end)

check.group("the same again, and resumed", function()
  local again = trainer.expect(0, words("captions.max_bad=0.1"))
  trainer.same(run, again)
  local cut = trainer.expect(130, (function()
    local w = words("captions.max_bad=0.1")
    w.env = {MOMENT = "prepare 14 INT"}
    return w
  end)())
  trainer.expect(0, {"--threads", "1", "--resume", cut})
  trainer.same(run, cut)
end)

check.group("more than max_bad is an error", function()
  local refused = trainer.expect(1, words("captions.max_bad=0.01"), "captions.tsv", "max_bad")
  check.equal(refused, nil)
  trainer.expect(1, words("captions.max_bad=0.045"), "max_bad", "images")
end)

check.group("captions longer than the positions", function()
  local refused = trainer.expect(1, words("captions.max_bad=0.1", "model.max_positions=12"), "up to 16 tokens, more than model.max_positions = 12",
                                      "captions.max_tokens=12 cuts them")
  check.equal(refused, nil)
end)

-- An image whose file looks whole but does not decode: the next sample stands in, with its own caption, in every task.
check.group("an image that fails late", function()
  local file = folder .. "/05.png"
  local text = store.read_file(file)
  local data = text:find "IDAT" + 4
  store.write_atomic(file, text:sub(1, data + 1) .. ("\xff"):rep(20) .. text:sub(data + 22))
  local late = trainer.expect(0, words("captions.max_bad=0.1"), "images/05.png", "replaced by the next", "2 bad records, 4 bad images")
  check.ok(store.read_file(late .. "/log.txt"):find("images/05.png", 1, true))
  trainer.expect(1, words("captions.max_bad=0.06"), "images failed to decode, more than max_bad allows", "stopped")
  local set = vbl.data.open("captions:" .. trainer.folder .. "/captions.tsv", {image = 32, patch = 8, max_tokens = 16, max_bad = 0.1})
  local train = set:split "train"
  local at
  for i = 1, train:size() do
    if train:image_id(i) == "images/05.png" then at = i end
  end
  local batch = train:batch {at, at + 1, at + 3}
  check.equal(table.concat(batch.index, " "), ("%d %d %d"):format(at + 1, at + 1, at + 3))
  local swapped = train:swap_captions(batch, {seed = 1, step = 1, epoch = 0})
  local clean = train:batch {at + 1, at + 1, at + 3}
  for b, label in ipairs(swapped.labels) do
    local n = swapped.lengths:totable()[b]
    local same = n == clean.lengths:totable()[b]
    for t = 1, n do same = same and swapped.tokens:totable()[b][t] == clean.tokens:totable()[b][t] end
    check.equal(same, label == 1)
  end
  store.write_atomic(file, text)
end)

check.group("data that changed since is another run", function()
  local file = trainer.folder .. "/captions.tsv"
  local text = store.read_file(file)
  store.write_atomic(file, (text:gsub("the square is red", "this square is red", 1)))
  trainer.expect(1, {"--threads", "1", "--resume", run}, "of another run", "data_hash")
  store.write_atomic(file, text)
  local function hash(tokens)
    trainer.write("vocabulary.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" .. tokens)
    return vbl.data.open("captions:" .. file, {image = 32, max_bad = 0.1, vocabulary = trainer.folder .. "/vocabulary.txt"}):hash()
  end
  check.ok(hash "a\nb\n" ~= hash "b\na\n")
  check.equal(hash "a\nb\n", hash "a\nb\n")
end)

check.group("captions that are all equal cannot be swapped: one sentence", function()
  local equal = {}
  for i = 1, 20 do equal[i] = ("images/%02d.%s\tthe same words\n"):format(i, i % 3 == 0 and "jpg" or "png") end
  trainer.write("equal.tsv", table.concat(equal))
  trainer.write("equal-split.tsv", (table.concat(equal):gsub("the same words", function() return "train" end):gsub("(images/0%d[^\n]*)train", "%1test")))
  local list = words("probe_samples=0", "captions.split=" .. trainer.folder .. "/equal-split.tsv")
  list[1] = "data=captions:" .. trainer.folder .. "/equal.tsv"
  local _, text = trainer.expect(1, list, "task ap: swap:", "expected at least two different texts")
  check.ok(not text:find("stack traceback", 1, true), text)
end)

-- Images as the weights had them; a run that is resumed needs the weights' file no more.
check.group("pretrained weights", function()
  local at = trainer.folder .. "/weights"
  os.execute(("cp -r tests/golden/weights/vit_timm %s && chmod -R u+w %s"):format(at, at))
  local function start(...)
    return {"data=captions:" .. trainer.folder .. "/captions.tsv", "model.weights=" .. at, "model.mlp=24", "model.image=16", "model.patch=4",
            "model.fusion=interleaved", "model.placement=none", "captions.max_bad=0.1", "captions.max_tokens=16", "batch=8", "test_samples=8",
            "probe_samples=0", "--threads", "1", ...}
  end
  local whole = trainer.expect(0, start())
  local loaded = vbl.models.vilbert {weights = whole .. "/checkpoints/last"}
  check.equal(loaded.config.crop_pct, 0.9)
  check.equal(loaded.config.interpolation, "bicubic")
  local own = start("captions.crop=squash", "captions.crop_pct=1", "captions.interpolation=bilinear", "epochs=1")
  loaded = vbl.models.vilbert {weights = trainer.expect(0, own) .. "/checkpoints/last"}
  check.equal(loaded.config.crop .. loaded.config.interpolation, "squashbilinear")
  check.equal(loaded.config.crop_pct, 1)
  local stopped = trainer.expect(130, {env = {MOMENT = "update 3 INT"}, table.unpack(start())}, "interrupted")
  os.execute("rm -r " .. at)
  trainer.expect(0, {"--resume", stopped})
  trainer.same(whole, stopped)
  trainer.expect(1, start(), "weights: no such file or folder")
end)

trainer.finish()

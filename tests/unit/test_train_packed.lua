-- Training from a packed set is training from its source, bit for bit: metrics, weights, moments, state; with augmentation, a bad image, and a
-- run that is stopped and resumed.
local check = require "check"
local packed = require "vbl.data.packed"
local store = require "vbl.store.c"
local trainer = require "trainer"

local folder = trainer.folder .. "/images"
store.make_folder(folder)
local lines, split = {}, {}
for i = 1, 40 do
  local image = vbl.full({3, 24 + i % 3, 22 + i % 7}, 60 + i, {dtype = "u8"})
  image:select(1, 1 + i % 3):narrow(1, 5, 12):narrow(2, 4 + i % 5, 10):fill_(255 - 3 * i)
  local name = ("%02d.jpg"):format(i)
  vbl.save(folder .. "/" .. name, image)
  lines[i] = ("images/%s\tpicture %d of %d"):format(name, i % 10, i % 4)
  split[i] = ("images/%s\t%s"):format(name, i > 28 and "test" or "train")
end
local bytes = store.read_file(folder .. "/07.jpg")  -- pixels cut off, the end marker in its place
trainer.write("images/07.jpg", bytes:sub(1, #bytes - 12) .. "\xFF\xD9")
trainer.write("captions.tsv", table.concat(lines, "\n") .. "\n")
trainer.write("split.tsv", table.concat(split, "\n") .. "\n")

local options = {image = 32, max_tokens = 12, max_bad = 0.1}
local name = "captions:" .. trainer.folder .. "/captions.tsv"
local manifest = packed.pack(vbl.data.open(name, options), trainer.folder .. "/packed", {options = options, threads = 2})

local function words(data, ...)
  return {"data=" .. data, "model.image=32", "model.patch=8", "captions.max_tokens=12", "captions.max_bad=0.1", "batch=8", "test_samples=12",
          "tasks.ap.augment.strength=weak", "tasks.mim.augment.masked.strength=strong", "--threads", "1", ...}
end

check.group("metrics, weights, moments and state", function()
  check.equal(#manifest.skipped, 1)
  local source = trainer.expect(0, words(name), "07.jpg")
  local own = trainer.expect(0, words("packed:" .. trainer.folder .. "/packed"), "07.jpg")
  check.ok(trainer.metrics(source) == trainer.metrics(own))
  for _, file in ipairs {"last/model", "last/optimizer", "best/model", "epoch-1/model", "epoch-1/optimizer"} do
    check.equal(store.sha256_file(own .. "/checkpoints/" .. file .. ".safetensors"), store.sha256_file(source .. "/checkpoints/" .. file .. ".safetensors"))
  end
  -- Stopped in the middle and resumed, still the same.
  local stopped = trainer.expect(130, {env = {MOMENT = "update 5 INT"}, table.unpack(words("packed:" .. trainer.folder .. "/packed"))}, "interrupted")
  trainer.expect(0, {"--resume", stopped})
  trainer.same(own, stopped)
end)

check.group("a model of another size", function()
  trainer.expect(1, words("packed:" .. trainer.folder .. "/packed", "model.image=16"), "was packed with image = 32; image = 16 needs packing again")
end)

trainer.finish()

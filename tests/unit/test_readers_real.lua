-- Readers on real data, where it lies beside the checkout: counts, labels and first samples as their makers give them.
local check = require "check"
local reading = require "vbl.data.reading"
local vbl = require "vbl"

local root = "../shared/data/"
local function here(name) return reading.is_folder(root .. name) end
local ran = false

-- A group that needs a folder; says aloud when it is not there.
local function group(name, fn)
  if not here(name) then return print("SKIPPED: " .. name .. ": no " .. root .. name) end
  ran = true
  check.group(name, function() fn(root .. name) end)
end

group("easy-vqa", function(path)
  local d = vbl.data.open(path)
  check.equal(d:size "train" .. " " .. d:size "test", "38575 9673")
  local _, names = d:labels()
  check.equal(table.concat(names, " "), "circle green red gray yes teal black rectangle yellow triangle brown blue no")
  local train = d:split "train"
  check.equal(train:caption(1), "what is the blue shape?")
  check.equal(names[train:label(1) + 1], "rectangle")
  local stats = d.set:stats "train"
  check.equal(stats.classes[5], 14229)
  check.equal(stats.classes[13], 14178)
end)

group("posters7", function(path)
  local d = vbl.data.open(path)
  check.equal(d:size "train" .. " " .. d:size "dev" .. " " .. d:size "test", "532 76 151")
  local kind, names = d:labels()
  check.equal(kind .. " " .. #names, "multi 7")
  check.equal(d:split("train"):image_id(1), "02184")  -- zeros in front stay
  check.equal(table.concat(d:split("train"):label(1), ","), "1,2")
  local train, dev, test = d.set:stats "train", d.set:stats "dev", d.set:stats "test"
  local function all(i) return train.classes[i] + dev.classes[i] + test.classes[i] end
  check.equal(all(3), 325)  -- Comedy
  check.equal(all(7), 53)   -- Romance
  local shown = d:show(1, {task = "mim"})
  check.equal(table.concat(shown.image:shape(), "x"), "3x64x64")
end)

group("webdataset-sample", function(path)
  local d = vbl.data.open(path, {test_fraction = 0})
  local train = d:split "train"
  check.equal(train:size(), 100)
  check.equal(d.set:counts().bad_records, 0)
  check.equal(train:image_id(1), "000000000")
  local accents = 0
  for i = 1, 100 do if train:caption(i):find "\xC3" then accents = accents + 1 end end
  check.equal(accents, 1)
  check.equal(select(2, d:check()), true)
end)

group("flickr8k-all-128", function(path)
  local d = vbl.data.open(path, {image = 32})
  check.equal(d:size "train" .. " " .. d:size "dev" .. " " .. d:size "test", "7316 182 593")
  check.equal(d.set:counts().captions, 40455)
end)

if not ran then check.skip("no real data at " .. root) end
check.done()

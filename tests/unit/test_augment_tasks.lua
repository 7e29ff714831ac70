-- Augmentation in the tasks' views: the same whatever the threads, the batch and its order; what is shared by two views; what is refused.
local check = require "check"
local augment = require "vbl.data.augment"
local system = require "vbl.system.c"
local tasks = require "vbl.tasks"

local data = vbl.data.open("scenes", {image = 32, train = 40, test = 8, seed = 3, patch = 8})
local train = data:split "train"
local strong = augment.options("ap", "", {strength = "strong", flip = 0.5})

local function rows(images)
  local list = {}
  for i = 1, images:size(1) do list[i] = images:select(1, i) end
  return list
end

local function equal(a, b) return a:to("f32"):sub(b:to("f32")):abs():max():item() == 0 end

check.group("a sample's draws know no threads, no batch, no order", function()
  local batch = train:range(1, 12)
  local key = {seed = 5, epoch = 2, step = 9}
  local first = rows(augment.images(batch.images, strong, batch, key, "ap"))
  local changed = 0
  for i, image in ipairs(rows(batch.images)) do changed = changed + (equal(image, first[i]) and 0 or 1) end
  check.ok(changed > 8, changed)
  local threads = system.threads()
  system.set_threads(1)
  for i, image in ipairs(rows(augment.images(batch.images, strong, batch, key, "ap"))) do check.ok(equal(image, first[i])) end
  system.set_threads(threads)
  local back = train:batch {12, 7, 1}
  for i, image in ipairs(rows(augment.images(back.images, strong, back, key, "ap"))) do check.ok(equal(image, first[({12, 7, 1})[i]])) end
  local other = rows(augment.images(batch.images, strong, batch, {seed = 5, epoch = 3}, "ap"))
  check.ok(not equal(other[1], first[1]) or not equal(other[2], first[2]))
end)

check.group("ap: training images only", function()
  local ap = tasks.ap {augment = {brightness = 0.5}}
  local batch = train:range(1, 8)
  local work = ap:prepare(train, batch, {seed = 1, step = 1, epoch = 1})
  check.ok(not equal(work.batch.images, batch.images))
  work = ap:prepare(train, batch, {seed = 1, step = 1, epoch = 0, test = true})
  check.ok(equal(work.batch.images, batch.images))
end)

check.group("mim: one cut for both views, colours of their own", function()
  local batch, key = train:range(1, 8), {seed = 1, step = 1, epoch = 1}
  local work = tasks.mim {augment = {crop = {0.3, 0.6}}}:prepare(train, batch, key)
  check.ok(equal(work.batch.images, work.masked) and not equal(work.masked, batch.images))
  work = tasks.mim {augment = {clean = {strength = "weak"}, masked = {strength = "strong"}}}:prepare(train, batch, key)
  check.ok(not equal(work.batch.images, work.masked) and not equal(work.batch.images, batch.images))
  work = tasks.mim {}:prepare(train, batch, key)
  check.ok(equal(work.masked, batch.images))
end)

check.group("refused", function()
  check.error(function() tasks.ap {augment = {flipp = 1}} end, "task ap: augment: unknown option 'flipp', did you mean 'flip'?")
  check.error(function() tasks.ap {augment = {flip = "yes"}} end, "augment.flip: expected a number, got yes")
  check.error(function() tasks.ap {augment = {hue = 0.7}} end, "task ap: augment: hue = 0.7; expected 0 to 0.5")
  check.error(function() tasks.ap {augment = {crop = {0.9}}} end, "crop: expected {low, high}")
  check.error(function() tasks.ap {augment = {strength = "strog"}} end, "did you mean 'strong'?")
  check.error(function() tasks.mim {augment = {masked = {crop = {0.5, 1}}}} end, "augment.masked.crop: drawn once for both views")
  check.error(function() tasks.ap {augment = {flip = 0.5}}:check({heads = {ap = true}}, data) end, "the captions of scenes name sides")
  check.error(function() tasks.mim {augment = {flip = 0.5}}:check(nil, data) end, "the captions of scenes name sides")
  check.error(function() tasks.ap {augment = {hue = 0.1}}:check({heads = {ap = true}}, data) end, "name colours")
  tasks.mim {augment = {masked = {hue = 0.1, grayscale = 0.2}}}:check(nil, data)
end)

check.done()

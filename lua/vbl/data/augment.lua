-- Augmentation of a task's view of the images: on u8, before normalisation; each image drawn from (seed, purpose, epoch, sample) alone.
--
--   crop = {0.6, 1}       share of the area that a random crop keeps, resized back to the whole; ratio = {3/4, 4/3} of width to height
--   flip = 0.5            probability of a horizontal flip. It swaps left and right: captions that name sides become wrong
--   jitter = 0.8          probability of the colour jitter; brightness, contrast, saturation (factors from 1 - x to 1 + x), hue (shift of
--                         up to x of the circle) as torchvision's ColorJitter
--   grayscale = 0.2       probability;  blur = 0.5  probability, sigma = {0.1, 2} pixels, kernel = odd (a tenth of the side)
--   strength = "weak" or "strong"   a set of these to begin with (SimCLR's for "strong": Chen et al. 2020; no flip in either)
-- What is not given is off.
local c = require "vbl.data.c"
local nearest = require "vbl.nearest"
local own_images = require "vbl.data.own_images"

local augment = {}

augment.schema = {
  strength = {"string", "weak or strong: values to begin with (none)"},
  crop = {"table", "share of the area that a random crop keeps, {low, high} (off)"}, ratio = {"table", "its width to its height ({0.75, 1.33})"},
  flip = {"number", "probability of a horizontal flip (0); captions that name sides become wrong"},
  jitter = {"number", "probability of the colour jitter (0; 1 where brightness, contrast, saturation or hue is given)"},
  brightness = {"number", "factors from 1 - x to 1 + x (0)"}, contrast = {"number", "factors from 1 - x to 1 + x (0)"},
  saturation = {"number", "factors from 1 - x to 1 + x (0)"}, hue = {"number", "shift of up to x of the circle, at most 0.5 (0)"},
  grayscale = {"number", "probability (0)"}, blur = {"number", "probability (0)"},
  sigma = {"table", "of the blur in pixels, {low, high} ({0.1, 2})"}, kernel = {"number", "width of the blur, odd (a tenth of the side)"},
}

local strengths = {
  weak = {crop = {0.8, 1}, jitter = 0.8, brightness = 0.2, contrast = 0.2},
  strong = {crop = {0.4, 1}, jitter = 0.8, brightness = 0.4, contrast = 0.4, saturation = 0.4, hue = 0.1, grayscale = 0.2, blur = 0.5},
}

local geometric = {crop = true, ratio = true, flip = true}

-- The options of a view, checked and completed; nil where nothing is on. task: its name for messages; where: "" or ".clean".
-- colour_only: crop and flip are refused with that reason, and a strength brings none.
function augment.options(task, where, given, colour_only)
  if not given then return nil end
  local name, all = "task " .. task .. ": augment" .. where, {}
  local base = given.strength and strengths[given.strength]
  if given.strength and not base then
    error(("%s.strength: expected \"weak\" or \"strong\", got %s%s"):format(name, tostring(given.strength), nearest.hint(given.strength, strengths)), 0)
  end
  for key, value in pairs(base or {}) do
    if not (colour_only and geometric[key]) then all[key] = value end
  end
  for key, value in pairs(given) do
    local row = augment.schema[key]
    if not row then error(("%s: unknown option '%s'%s"):format(name, tostring(key), nearest.hint(key, augment.schema)), 0) end
    if type(value) ~= row[1] then error(("%s.%s: expected a %s, got %s"):format(name, key, row[1], tostring(value)), 0) end
    if colour_only and geometric[key] then error(("%s.%s: %s"):format(name, key, colour_only), 0) end
    if key ~= "strength" then all[key] = value end
  end
  if not all.jitter and (all.brightness or all.contrast or all.saturation or all.hue) then all.jitter = 1 end
  local vbl = require "vbl"
  local ok, message = pcall(c.augment, vbl.zeros(1, 3, 64, 64, {dtype = "u8"}), all, 0, "ap", 0, {1})
  if not ok then error(("task %s: %s"):format(task, (tostring(message):gsub("^.*augment: ", "augment" .. where .. ": "))), 0) end
  return next(all) and all or nil
end

-- The captions of scenes name sides, colours and sizes; what makes them false is refused.
function augment.check_data(task, options, data, colours_count)
  if (data.packed_from or data.name) ~= "scenes" or not options then return end
  local wrong = {flip = "sides (left, right)"}
  if colours_count then
    wrong.crop, wrong.hue, wrong.grayscale = "places and sizes", "colours", "colours"
  end
  for key, what in pairs(wrong) do
    local value = options[key]
    if value and value ~= 0 then
      error(("task %s: augment.%s: the captions of scenes name %s, so that such an image would belong to another caption; leave it out"):format(
        task, key, what), 0)
    end
  end
end

-- The batch's images after the options' draws; the images themselves without options. purpose: "ap", "mim", "mim_clean", "mim_masked".
function augment.images(images, options, batch, key, purpose)
  if not options then return images end
  return own_images.map(images, function(rows, index) return c.augment(rows, options, key.seed, purpose, key.epoch, index) end, batch.index)
end

return augment

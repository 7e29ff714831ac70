-- What opening and loading weights took as read, as sentences for the user: where sizes and pixels' preparation come from, what the model has otherwise.
--   notes.of(found, model) -> {sentence, ...}      found: of vbl.models.weights.open
local notes = {}

local function list_text(list) return "{" .. table.concat(list or {}, ", ") .. "}" end

-- Blocks go by their numbers: those that were trained elsewhere do something else where they are now, and every shape fits.
local function moved_blocks(part, c)
  local theirs = part.want.rest and part.families.vilbert and part.sizes
  if not theirs or theirs.fusion ~= c.fusion then return nil end
  local had, have
  if c.fusion == "interleaved" then
    local a, b = theirs.coattention or {}, c.coattention
    if #b.text == 0 then return nil end
    had, have = ("text %s, vision %s"):format(list_text(a.text), list_text(a.vision)), ("text %s, vision %s"):format(list_text(b.text), list_text(b.vision))
  elseif c.fusion == "stacked" then
    had, have = list_text(theirs.cross_attention_layers), list_text(c.cross_attention_layers)
  end
  if had == have then return nil end
  return ("the fusion's blocks attended across at %s when they were trained, here at %s; they go by their numbers all the same"):format(had, have)
end

-- How the images have to be prepared.
local function of_pixels(add, part)
  local p = part.preprocess
  if not p then return end
  if not p.from then
    return add("%s: no pretrained_cfg or preprocessor_config.json beside it: pixels with mean 0.5, std 0.5, crop_pct 0.9, as timm's augreg ViTs; " ..
               "set them where it wants others", part.src.path)
  end
  add("pixels with mean {%.4g, %.4g, %.4g}, std {%.4g, %.4g, %.4g}, from %s", p.mean[1], p.mean[2], p.mean[3], p.std[1], p.std[2], p.std[3], p.from)
  add("images with crop %s, crop_pct %.4g, %s resizing, from %s", p.crop, p.crop_pct, p.interpolation or "bicubic", p.from)
  if p.other_interpolation then add("%s: trained on %s resizing; here it is bicubic", p.from, p.other_interpolation) end
end

-- Whether the model normalises pixels otherwise than the weights want.
local function other_pixels(p, config)
  for k = 1, p and 3 or 0 do
    if math.abs(p.mean[k] - config.mean[k]) > 1e-6 or math.abs(p.std[k] - config.std[k]) > 1e-6 then return true end
  end
  return false
end

function notes.of(found, model)
  local list = {}
  local function add(format, ...) list[#list + 1] = format:format(...) end
  for i, part in ipairs(found.parts) do
    local told = i > 1 and part.src.path == found.parts[1].src.path
    if not part.sizes and not told then add("%s: no config beside it: sizes, heads and eps are the model's own", part.src.path) end
    of_pixels(add, part)
    list[#list + 1] = moved_blocks(part, model.config)
    if other_pixels(part.preprocess, model.config) then add "the model's mean and std are others than the weights want" end
    for _, key in ipairs {"text_eps", "vision_eps"} do
      local want = part.wanted[key]
      if want and want ~= model.config[key] then add("%s is %g, the weights want %g", key, model.config[key], want) end
    end
  end
  return list
end

return notes

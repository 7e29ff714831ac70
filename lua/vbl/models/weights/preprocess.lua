-- How the images were prepared that an image encoder was trained on: it goes with the weights.
--   preprocess.of(src, families) -> {mean =, std =, crop = "center" or "squash", crop_pct =, interpolation = "bicubic" or "bilinear", or nil
--     and other_interpolation = what is not done here, from = where it was read, or nil: assumed}
-- timm's pretrained_cfg (in config.json), Hugging Face's preprocessor_config.json; else 0.5 and 0.5, which timm's augreg weights (its default
-- vit_*_patch16_224) and google/vit-* want. DeiT wants ImageNet's, CLIP its own: they say so in their configs.
local store = require "vbl.store"
local source = require "vbl.models.weights.source"

local preprocess = {}

-- PIL's numbers of its filters.
local filters = {[0] = "nearest", [1] = "lanczos", [2] = "bilinear", [3] = "bicubic"}

preprocess.keys = {"mean", "std", "crop", "crop_pct", "interpolation"}

-- A filter that images are resized with here, or nil and the other's name.
local function known(name)
  if name == "bicubic" or name == "bilinear" then return name end
  return nil, name
end

local function three(value) return type(value) == "table" and #value == 3 and value or nil end

local function of_timm(config, path)
  local cfg = type(config.pretrained_cfg) == "table" and config.pretrained_cfg or config
  if not three(cfg.mean) or not three(cfg.std) then return nil end
  local interpolation, other = known(cfg.interpolation or "bicubic")
  return {mean = cfg.mean, std = cfg.std, crop = cfg.crop_mode == "squash" and "squash" or "center", crop_pct = cfg.crop_pct or 0.875,
          interpolation = interpolation, other_interpolation = other, from = path}
end

-- A side in pixels, as a number or in an object under one of the names; nil of what is neither.
local function pixels(value, ...)
  for _, name in ipairs {...} do
    if type(value) == "table" and value[name] ~= nil then value = value[name] end
  end
  return type(value) == "number" and value > 0 and value or nil
end

local function of_hugging_face(path)
  local cfg = store.load(path)
  if type(cfg) ~= "table" then error(("%s: expected an object, got %s"):format(path, tostring(cfg)), 0) end
  local scale = cfg.rescale_factor
  if type(scale) == "number" and math.abs(scale * 255 - 1) > 1e-3 then
    error(("%s: rescale_factor = %g; expected 1/255: images here are divided by 255 before mean and std"):format(path, scale), 0)
  end
  if cfg.do_normalize == false then cfg.image_mean, cfg.image_std = {0, 0, 0}, {1, 1, 1} end
  if not three(cfg.image_mean) or not three(cfg.image_std) then return nil end
  local crop = cfg.do_center_crop and "center" or "squash"
  local short, side = pixels(cfg.size, "shortest_edge", "height"), pixels(cfg.crop_size, "height")
  local interpolation, other = known(filters[cfg.resample or 2] or "bilinear")
  return {mean = cfg.image_mean, std = cfg.image_std, crop = crop, crop_pct = crop == "center" and short and side and side / short or 1,
          interpolation = interpolation, other_interpolation = other, from = path}
end

function preprocess.of(src, families)
  if families.vilbert then return nil end  -- mean and std are in its own config
  local path = source.beside(src, "preprocessor_config.json")
  local found = families.timm and src.config and of_timm(src.config, src.config_path) or path and of_hugging_face(path)
  return found or {mean = {0.5, 0.5, 0.5}, std = {0.5, 0.5, 0.5}, crop = "center", crop_pct = 0.9, interpolation = "bicubic"}
end

return preprocess

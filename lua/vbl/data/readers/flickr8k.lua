-- Flickr8k: Flickr8k.token.txt with its lists of splits, Kaggle's captions.txt (CSV without splits), or Karpathy's dataset_flickr8k.json.
-- The id is the image's file name.
local reading = require "vbl.data.reading"
local coco = require "vbl.data.readers.coco"
local flickr30k = require "vbl.data.readers.flickr30k"

local flickr8k = {
  name = "flickr8k",
  expects = "Flickr8k.token.txt and Flickr_8k.{train,dev,test}Images.txt, captions.txt (Kaggle) or dataset_flickr8k.json beside the images",
  options = {},
}

local texts = {"", "Flickr8k_text/"}
local image_folders = {"Flicker8k_Dataset", "Flickr8k_Dataset", "Flickr8k_Dataset/Flicker8k_Dataset", "Images", "images"}

local function in_texts(folder, name)
  for _, sub in ipairs(texts) do
    if reading.is_file(folder .. "/" .. sub .. name) then return sub .. name end
  end
end

-- file name -> split, or nil when the lists are not there.
local function splits(folder)
  local of
  for _, split in ipairs {"train", "dev", "test"} do
    local list = in_texts(folder, "Flickr_8k." .. split .. "Images.txt")
    if list then
      of = of or {}
      for _, name in reading.lines(folder .. "/" .. list) do
        if of[name] and of[name] ~= split then error(("%s/%s: %s is in the splits %s and %s"):format(folder, list, name, of[name], split), 0) end
        if name ~= "" then of[name] = split end
      end
    end
  end
  return of
end

-- One caption file names an image that never existed (its name ends in ".jpg.1"), and 91 images are in no split.
local function read_token(records, folder, token, images)
  local of, left_out = splits(folder), {}
  flickr30k.read_token(records, folder .. "/" .. token, images, function(number, name, caption)
    if name:find "%.%d+$" and not reading.is_file(folder .. "/" .. images .. name) then
      return records:absent(number, name .. " is an image that the data set does not have")
    end
    if not of or of[name] then return records:append(number, name, of and of[name], images .. name, caption) end
    if not left_out[name] then records:absent(number, name .. " is in none of the lists of splits") end
    left_out[name] = true
  end)
end

local function read_kaggle(records, path, images)
  records:file(path)
  for number, line in reading.lines(path) do
    local name, caption = line:match "^([^,]+),(.*)$"
    if number == 1 and line == "image,caption" then goto next end
    if name then
      records:append(number, name, nil, images .. name, reading.clean(reading.unquote(caption)))
    else
      records:skip(number, "expected image,caption")
    end
    ::next::
  end
end

local function kaggle_file(folder) return reading.first_line(folder .. "/captions.txt") == "image,caption" and "captions.txt" or nil end

function flickr8k.found(folder)
  local file = in_texts(folder, "Flickr8k.token.txt") or reading.first(folder, {"dataset_flickr8k.json"}) or kaggle_file(folder)
  return file and "Flickr8k, " .. file
end

function flickr8k.read(folder, _, base)
  local records = reading.records(folder, base)
  local images = reading.need(folder, image_folders, "folder of images") .. "/"
  records:unit "captions"
  local json, token, kaggle = reading.first(folder, {"dataset_flickr8k.json"}), in_texts(folder, "Flickr8k.token.txt"), kaggle_file(folder)
  if token then
    read_token(records, folder, token, images)
  elseif json then
    coco.read_karpathy(records, folder .. "/" .. json, function() return images end)
  elseif kaggle then
    read_kaggle(records, folder .. "/" .. kaggle, images)
  else
    error(("%s: no captions here; expected %s"):format(folder, flickr8k.expects), 0)
  end
  return records, folder
end

return flickr8k

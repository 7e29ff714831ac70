-- Flickr30k: results_20130124.token, Kaggle's results.csv, or Karpathy's dataset_flickr30k.json (which alone has splits). The id is the
-- image's file name.
local reading = require "vbl.data.reading"
local coco = require "vbl.data.readers.coco"

local flickr30k = {
  name = "flickr30k",
  expects = "results_20130124.token, results.csv or dataset_flickr30k.json beside flickr30k-images/",
  options = {},
}

local token_files = {"results_20130124.token", "flickr30k/results_20130124.token"}
local csv_files = {"results.csv", "flickr30k_images/results.csv"}
local image_folders = {"flickr30k-images", "flickr30k_images/flickr30k_images", "flickr30k_images", "images", "Images"}

-- Lines NAME#NUMBER<TAB>CAPTION.
function flickr30k.read_token(records, path, images, split_of)
  records:file(path)
  for number, line in reading.lines(path) do
    local name, caption = line:match "^(.-)#%d+\t(.*)$"
    if not name then
      records:skip(number, "expected name#number<TAB>caption")
    else
      split_of(number, name, reading.clean(caption), images)
    end
  end
end

-- Lines NAME| NUMBER| CAPTION after a header; one line of the file lacks the second bar.
local function read_csv(records, path, images)
  records:file(path)
  for number, line in reading.lines(path) do
    local name, caption = line:match "^%s*(.-)%s*|%s*%d+%s*|%s*(.*)$"
    if number == 1 and line:find "image_name" then goto next end
    if not name then
      name, caption = line:match "^%s*(.-)%s*|%s*%d+%s+(.*)$"
      if name then records:note(("%s:%d: a bar is missing; read as %s| number| %s"):format(path, number, name, caption)) end
    end
    if name then
      records:append(number, name, nil, images .. name, reading.clean(caption))
    else
      records:skip(number, "expected name| number| caption")
    end
    ::next::
  end
end

function flickr30k.found(folder)
  local json, token, csv = reading.first(folder, {"dataset_flickr30k.json"}), reading.first(folder, token_files), reading.first(folder, csv_files)
  local file = json or token or csv
  return file and "Flickr30k, " .. file
end

function flickr30k.read(folder, _, base)
  local records = reading.records(folder, base)
  local images = reading.need(folder, image_folders, "folder of images") .. "/"
  records:unit "captions"
  local json, token = reading.first(folder, {"dataset_flickr30k.json"}), reading.first(folder, token_files)
  if json then
    coco.read_karpathy(records, folder .. "/" .. json, function() return images end)
  elseif token then
    flickr30k.read_token(records, folder .. "/" .. token, images, function(number, name, caption)
      records:append(number, name, nil, images .. name, caption)
    end)
  else
    read_csv(records, folder .. "/" .. reading.need(folder, csv_files, "captions"), images)
  end
  return records, folder
end

return flickr30k

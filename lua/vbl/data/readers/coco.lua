-- MS-COCO captions: the annotation files of 2014 and 2017, and Karpathy's splits (dataset_coco.json). A sample is an image with its 5 to 7
-- captions; its id is the image's number.
local reading = require "vbl.data.reading"
local sorted_keys = require "vbl.sorted_keys"

local coco = {
  name = "coco",
  expects = "annotations/captions_train2014.json, captions_val2014.json (or 2017, or dataset_coco.json) beside train2014/, val2014/ (or in images/)",
  options = {annotations = {nil, "coco: 2014, 2017 or karpathy, where a folder has several", type = "string"}},
}

local function find(folder, name) return reading.first(folder, {"annotations/" .. name, name}) end

-- What the folder has: kind -> {{file, split}, ...}.
local function kinds(folder)
  local list = {}
  for _, year in ipairs {"2014", "2017"} do
    for _, split in ipairs {"train", "val"} do
      local file = find(folder, ("captions_%s%s.json"):format(split, year))
      if file then
        list[year] = list[year] or {}
        table.insert(list[year], {file = file, split = split, images = split .. year})
      end
    end
  end
  local file = find(folder, "dataset_coco.json")
  if file then list.karpathy = {{file = file}} end
  return list
end

local function choose(folder, wanted)
  local list = kinds(folder)
  local names = sorted_keys(list)
  if #names == 0 then error(("%s: no COCO captions here; expected %s"):format(folder, coco.expects), 0) end
  if wanted and not list[tostring(wanted)] then
    error(("%s: no annotations '%s' here (it has %s)"):format(folder, wanted, table.concat(names, ", ")), 0)
  end
  if not wanted and #names > 1 then
    error(("%s has the annotations %s: choose with the option annotations"):format(folder, table.concat(names, " and ")), 0)
  end
  local name = wanted and tostring(wanted) or names[1]
  return name, list[name]
end

local function images_folder(folder, name) return reading.first(folder, {name, "images/" .. name}) or name end

-- The images, which the official files hold before the annotations, and these in one pass; in a second one where they come first.
local function read_official(records, folder, part)
  local path, names, known, early = folder .. "/" .. part.file, {}, false, false
  local images = images_folder(folder, part.images) .. "/"
  local function add(a, number)
    if type(a) ~= "table" then return records:skip("annotation " .. number, "no object") end
    local where = "annotation " .. (reading.id(a.id) or number)
    local id, name = reading.id(a.image_id), names[a.image_id or 0]
    if not id or type(a.caption) ~= "string" then return records:skip(where, "no image_id or caption") end
    if not name then return records:skip(where, ("image_id %s is not among the images"):format(id)) end
    records:append(where, id, part.split, images .. name, reading.clean(a.caption))
  end
  records:file(path)
  reading.json_each(path, {"images", "annotations"}, function(key, item, number)
    if key == "images" then
      known = true
      if type(item) ~= "table" then return records:skip("image " .. number, "no object") end
      names[item.id or 0] = item.file_name
    elseif known and not early then
      add(item, number)
    else
      early = true
    end
  end)
  if early then reading.json_each(path, {"annotations"}, function(_, a, number) add(a, number) end) end
end

-- Karpathy's form, which Flickr30k and Flickr8k have too. restval belongs to train, as everybody uses it.
function coco.read_karpathy(records, path, images_of)
  local restval = 0
  records:file(path)
  reading.json_objects(path, "images", records, function(image, number)
    local where = "image " .. (image.filename or number)
    local split = image.split == "restval" and "train" or image.split
    if image.split == "restval" then restval = restval + 1 end
    if type(image.filename) ~= "string" or type(image.sentences) ~= "table" then return records:skip(where, "no filename or sentences") end
    local id = reading.id(image.cocoid) or image.filename
    for _, sentence in ipairs(image.sentences) do
      if type(sentence) ~= "table" or type(sentence.raw) ~= "string" then
        records:skip(where, "a sentence without its raw text")
      else
        records:append(where, id, split, images_of(image) .. image.filename, reading.clean(sentence.raw))
      end
    end
  end)
  if restval > 0 then records:note(("%s: %d images of the split restval are in train"):format(path, restval)) end
end

function coco.found(folder)
  local names = sorted_keys(kinds(folder))
  if #names > 0 then return "MS-COCO captions, " .. table.concat(names, " and ") end
end

function coco.read(folder, o, base)
  local kind, parts = choose(folder, o.annotations)
  local records = reading.records(folder, base)
  records:unit "captions"
  if kind == "karpathy" then
    coco.read_karpathy(records, folder .. "/" .. parts[1].file, function(image)
      return images_folder(folder, image.filepath or "images") .. "/"
    end)
  else
    for _, part in ipairs(parts) do read_official(records, folder, part) end
  end
  return records, folder
end

return coco

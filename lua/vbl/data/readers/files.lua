-- Images with their text beside them: NAME.jpg and NAME.txt, in a folder and the folders in it, as img2dataset leaves them without shards. The
-- first folders are splits where they bear the names of splits. The id is the path without its suffix.
local reading = require "vbl.data.reading"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local files = {
  name = "files",
  expects = "NAME.jpg (.jpeg, .png) and NAME.txt beside it, in a folder and the folders in it; train/, val/, test/ are splits",
  options = {},
}

local image_suffix = {jpg = true, jpeg = true, png = true, webp = true}
local split_names = {train = "train", dev = "dev", val = "val", validation = "val", test = "test"}
local DEEPEST = 8  -- folders, so that a link to a folder above ends

-- What lies in a folder: {image = stem -> name, text = stem -> name, stems = sorted, folders = sorted}.
local function look(folder)
  local here = {image = {}, text = {}, stems = {}, folders = {}}
  for _, name in ipairs(system.list(folder) or {}) do
    local stem, suffix = name:match "^(.*)%.([^.]*)$"
    suffix = suffix and suffix:lower()
    local kind = image_suffix[suffix] and "image" or suffix == "txt" and "text" or nil
    if kind then
      if not here.image[stem] and not here.text[stem] then here.stems[#here.stems + 1] = stem end
      here[kind][stem] = here[kind][stem] or name
    elseif name:sub(1, 1) ~= "." and reading.is_folder(folder .. "/" .. name) then
      here.folders[#here.folders + 1] = name
    end
  end
  return here
end

local function add(records, folder, inside, split, here, stem)
  local image, text = here.image[stem], here.text[stem]
  if split == false then return records:skip(inside .. (image or text), "in none of the folders of splits") end
  if not image then return records:absent(inside .. text, "no image beside it") end
  if not text then return records:skip(inside .. image, ("no text %s.txt beside it"):format(stem)) end
  local ok, words = pcall(store.read_file, ("%s/%s%s"):format(folder, inside, text))
  if not ok then return records:skip(inside .. text, tostring(words)) end
  records:add(inside .. image, inside .. stem, split or nil, inside .. image, reading.clean(words))
end

-- inside: the path within `folder`, with a slash at its end, or "". split: false outside the folders of splits, nil where there are none
local function walk(records, folder, inside, split, depth)
  local here = look(folder .. "/" .. inside)
  for _, name in ipairs(depth == 0 and here.folders or {}) do
    if split_names[name] then split = false end
  end
  for _, stem in ipairs(here.stems) do add(records, folder, inside, split, here, stem) end
  for _, name in ipairs(depth < DEEPEST and here.folders or {}) do
    walk(records, folder, inside .. name .. "/", depth == 0 and split_names[name] or split, depth + 1)
  end
end

local function pair_in(folder)
  local here = look(folder)
  for _, stem in ipairs(here.stems) do
    if here.image[stem] and here.text[stem] then return here.image[stem], here.text[stem] end
  end
  return nil, nil, here.folders
end

-- A pair in the folder itself or in one of the folders in it.
function files.found(folder)
  local image, text, folders = pair_in(folder)
  for _, name in ipairs(folders or {}) do
    if image then break end
    image, text = pair_in(folder .. "/" .. name)
  end
  return image and ("images with texts beside them: %s, %s"):format(image, text) or nil
end

function files.read(folder, _, base)
  if not reading.is_folder(folder) then error(("%s: no folder; expected %s"):format(folder, files.expects), 0) end
  local records = reading.records(folder, base)
  records:unit "samples"
  walk(records, folder, "", nil, 0)
  return records, folder
end

return files

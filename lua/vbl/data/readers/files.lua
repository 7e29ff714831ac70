-- Images with their text beside them: NAME.jpg and NAME.txt, in a folder and the folders in it, as img2dataset leaves them without shards. The
-- first folders are splits where they bear the names of splits. The id is the path without its suffix. A folder that a link leads back to is
-- read once.
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

-- What lies in a folder: {image = stem -> name, text = stem -> name, others = further images of a stem, stems = sorted, folders = sorted}.
local function look(folder)
  local here = {image = {}, text = {}, others = {}, stems = {}, folders = {}}
  for _, name in ipairs(system.list(folder) or {}) do
    local stem, suffix = name:match "^(.*)%.([^.]*)$"
    suffix = suffix and suffix:lower()
    local kind = image_suffix[suffix] and "image" or suffix == "txt" and "text" or nil
    if kind then
      if not here.image[stem] and not here.text[stem] then here.stems[#here.stems + 1] = stem end
      if here[kind][stem] then here.others[#here.others + 1] = name else here[kind][stem] = name end
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

-- inside: the path within `folder`, with a slash at its end, or "". split: false outside the folders of splits, nil where there are none. seen: the folders
-- that were read, by stat's id.
local function walk(records, folder, inside, split, seen)
  local id = system.stat(folder .. "/" .. inside).id
  if seen[id] then return records:note(("%s: the same folder as %s; read once"):format(inside, seen[id])) end
  seen[id] = inside == "" and "." or inside
  local here = look(folder .. "/" .. inside)
  for _, name in ipairs(inside == "" and here.folders or {}) do
    if split_names[name] then split = false end
  end
  for _, stem in ipairs(here.stems) do add(records, folder, inside, split, here, stem) end
  for _, name in ipairs(here.others) do records:absent(inside .. name, "another file of its name was taken") end
  for _, name in ipairs(here.folders) do
    walk(records, folder, inside .. name .. "/", inside == "" and split_names[name] or split, seen)
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
  walk(records, folder, "", nil, {})
  return records, folder
end

return files

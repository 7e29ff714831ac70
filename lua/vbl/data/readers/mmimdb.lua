-- MM-IMDb: dataset/ID.json with ID.jpeg, and split.json {"train": [ids], "dev": ..., "test": ...}. The text is the longest plot; labels are
-- the 23 genres of Arevalo et al. 2017, of which a film has several. Without the JPEGs the pixels come from multimodal_imdb.hdf5
-- (images int32 [N, 3, 256, 160], BGR with ImageNet's means taken off), when vbl was built with libhdf5.
local c = require "vbl.data.c"
local reading = require "vbl.data.reading"
local sorted_keys = require "vbl.sorted_keys"
local store = require "vbl.store.c"

local mmimdb = {
  name = "mmimdb",
  expects = "split.json beside dataset/ with ID.json and ID.jpeg (or multimodal_imdb.hdf5 for the pixels)",
  options = {},
}

-- By frequency, as the literature lists them.
local genres = {"Drama", "Comedy", "Romance", "Thriller", "Crime", "Action", "Adventure", "Horror", "Documentary", "Mystery", "Sci-Fi", "Fantasy",
                "Family", "Biography", "War", "History", "Music", "Animation", "Musical", "Western", "Sport", "Short", "Film-Noir"}
local excluded = {News = true, Adult = true, ["Talk-Show"] = true, ["Reality-TV"] = true}

local numbers = {}
for i, name in ipairs(genres) do numbers[name] = i - 1 end

function mmimdb.found(folder)
  return reading.is_file(folder .. "/split.json") and reading.is_folder(folder .. "/dataset") and "MM-IMDb: split.json and dataset/" or nil
end

local function longest_plot(film)
  local best = ""
  for _, plot in ipairs(type(film.plot) == "table" and film.plot or {film.plot}) do
    if type(plot) == "string" and #plot > #best then best = plot end
  end
  return best ~= "" and best or type(film["plot outline"]) == "string" and film["plot outline"] or nil
end

-- The numbers of a film's genres; nil and the reason when none of the 23 is left.
local function label_of(film, counts)
  local label, lost = {}, {}
  for _, name in ipairs(type(film.genres) == "table" and film.genres or {}) do
    if numbers[name] then label[#label + 1] = numbers[name] else lost[#lost + 1] = tostring(name) end
    if not numbers[name] and not excluded[name] then counts.unknown[name] = (counts.unknown[name] or 0) + 1 end
  end
  if #label == 0 then return nil, #lost > 0 and "only genres that are not classes: " .. table.concat(lost, ", ") or "no genres" end
  if #lost > 0 then counts.lost = counts.lost + 1 end
  return label
end

-- Where the image of an id is: name, archive, row of the archive.
local function jpegs(folder)
  return function(id) return reading.first(folder, {("dataset/%s.jpeg"):format(id), ("dataset/%s.jpg"):format(id)}) or ("dataset/%s.jpeg"):format(id) end
end

local function hdf5_rows(folder, records, name)
  local ids, rows = c.hdf5_ids(folder .. "/" .. name), {}
  for i, id in ipairs(ids) do rows[id] = i - 1 end
  local archive = records:archive(name)
  return function(id) return id, rows[id] and archive or false, rows[id] end
end

local function add_film(records, folder, split, id, image_of, counts)
  local path = ("%s/dataset/%s.json"):format(folder, id)
  local ok, film = pcall(function() return store.json_decode(store.read_file(path), {where = path}) end)
  if not ok then return records:skip(id, tostring(film)) end
  local label, why = label_of(film, counts)
  if not label then return records:absent(id, why) end
  local plot = longest_plot(film)
  if not plot then return records:skip(id, "no plot") end
  local image, archive, row = image_of(id)
  if archive == false then return records:skip(id, "no row of the hdf5 file has this id") end
  records:add(id, id, split, image, reading.clean(plot), label, archive, row, archive and -1 or nil)
end

local function report(records, counts)
  if counts.lost > 0 then records:note(("%d films lost a genre that is no class (News, Adult, Talk-Show, Reality-TV, ...)"):format(counts.lost)) end
  for _, name in ipairs(sorted_keys(counts.unknown)) do records:note(("%d films have the unknown genre %q"):format(counts.unknown[name], name)) end
end

function mmimdb.read(folder, _, base)
  local records, counts = reading.records(folder, base), {lost = 0, unknown = {}}
  local hdf5 = reading.first(folder, {"multimodal_imdb.hdf5"})
  local has_jpegs = #reading.names(folder .. "/dataset", "%.jpe?g$") > 0
  local image_of = (has_jpegs or not hdf5) and jpegs(folder) or hdf5_rows(folder, records, hdf5)
  if not has_jpegs and hdf5 then records:note(("no JPEGs in %s/dataset: pixels come from %s"):format(folder, hdf5)) end
  records:classes("multi", genres)
  records:unit "movies"
  records:file(folder .. "/split.json")
  reading.json_each(folder .. "/split.json", {"train", "dev", "test"}, function(split, id)
    id = reading.id(id)
    if id then add_film(records, folder, split, id, image_of, counts) else records:skip(split, "an id that is no string") end
  end)
  report(records, counts)
  return records, folder
end

return mmimdb

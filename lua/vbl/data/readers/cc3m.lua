-- Conceptual Captions 3M: Train_GCC-training.tsv and Validation_GCC-1.1.0-Validation.tsv, lines caption<TAB>url without header or quoting.
-- They are read in C: core/data/url_rows.h says how a row's image is found. A row without an image is left out and counted (links rot), not
-- bad. Shards of img2dataset or vbl data fetch: the reader webdataset.
-- Also the form train.csv, validation.csv with the header text,filepath.
local csv = require "vbl.data.csv"
local reading = require "vbl.data.reading"

local cc3m = {}

local function read_csv(records, path, split)
  records:file(path)
  csv.each(path, records, function(number, row)
    if row.filepath == "" then return records:skip(number, "an empty path") end
    records:add(number, ("%s/%d"):format(split, number), split, row.filepath, reading.clean(row.text))
  end)
end

local csv_files = {{"train.csv", "train"}, {"validation.csv", "val"}}

local function is_csv(path)
  local header = reading.first_line(path)
  return header ~= nil and header:find "^text,filepath" ~= nil
end

-- What there is to read: {{path, split, images, csv =}, ...}.
local function parts_of(form, path, images)
  local parts = {}
  if reading.is_file(path) then
    local folder, name = reading.split_path(path)
    local split
    for _, f in ipairs(form.files) do if f[1] == name then split, images = f[2], images or reading.first(folder, f[3]) end end
    return folder, {{path, split, images or "images", csv = is_csv(path)}}
  end
  for _, f in ipairs(form.files) do
    local file = path .. "/" .. f[1]
    if reading.is_file(file) then parts[#parts + 1] = {file, f[2], images or reading.first(path, f[3]) or f[3][1]} end
  end
  for _, f in ipairs(form.csv and csv_files or {}) do
    if is_csv(path .. "/" .. f[1]) then parts[#parts + 1] = {path .. "/" .. f[1], f[2], csv = true} end
  end
  if #parts == 0 then error(("%s: no %s here; expected %s"):format(path, form.name, form.expects), 0) end
  return path, parts
end

-- A reader of one of the two column orders. form: {name, expects, files = {{file, split, {folders of images}}, ...}, url_first, csv}.
function cc3m.of(form)
  local reader = {name = form.name, expects = form.expects, options = {images = {nil, "cc3m, cc12m: the folder of downloaded images", type = "string"}}}

  function reader.found(folder)
    for _, f in ipairs(form.files) do
      if reading.is_file(folder .. "/" .. f[1]) then return form.name .. ": " .. f[1] end
    end
    for _, f in ipairs(form.csv and csv_files or {}) do
      if is_csv(folder .. "/" .. f[1]) then return form.name .. ": " .. f[1] end
    end
  end

  function reader.read(path, o, base)
    local folder, parts = parts_of(form, path, o.images)
    local records = reading.records(folder, base)
    for _, part in ipairs(parts) do
      local file, split, images = table.unpack(part, 1, 3)
      if part.csv then
        read_csv(records, file, split or "train")
      else
        local whole = images:find "^/" and images or folder .. "/" .. images
        if not reading.is_folder(whole) then
          error(("%s: the images of %s: no folder %s (the option images names it; shards of downloaded images are read by webdataset:PATH)"):format(
                form.name, file, whole), 0)
        end
        records:urls(file, split or "train", images, form.url_first == true)
      end
    end
    return records, path
  end

  return reader
end

local reader = cc3m.of {
  name = "cc3m",
  expects = "Train_GCC-training.tsv and Validation_GCC-1.1.0-Validation.tsv (caption<TAB>url) beside training/ and validation/, or train.csv (text,filepath)",
  files = {{"Train_GCC-training.tsv", "train", {"training", "train", "images"}},
           {"Validation_GCC-1.1.0-Validation.tsv", "val", {"validation", "val", "images"}}},
  csv = true,
}
reader.of = cc3m.of

return reader

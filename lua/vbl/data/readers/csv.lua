-- Tables with a header, a row a sample: vbl.data.labelled says which columns and files, vbl.data.csv what a table is.
local csv = require "vbl.data.csv"
local labelled = require "vbl.data.labelled"
local reading = require "vbl.data.reading"
local store = require "vbl.store.c"

-- A number as it is written otherwise than by zeros in front (007 is a name) is that class, also as 2.0, which a column with empty fields is often written
-- as; [0, 1] is a list of labels; what is empty is no label.
local function label(value)
  local word = reading.clean(value)
  if word == "" then return nil end
  if word:find "^%-?[1-9]%d*%.?%d*$" or word:find "^%-?0%.%d*$" or word == "0" then return tonumber(word) end
  if word:find "^%[" then
    local ok, list = pcall(store.json_decode, word, {where = "label"})
    if ok then return list end
  end
  return value
end

local function header(path)
  local row = {}
  for _, name in ipairs(csv.header(path)) do row[name] = true end
  local image, text = labelled.names(row)
  return image ~= nil and text ~= nil
end

-- A file that is named is read whatever its header, so that the error says what the header lacks.
local function each(path, records, fn)
  if not header(path) then
    error(('%s: the header is "%s"; expected a column for the image (image, img, file_name, image_path, filepath or path) and one for the text (text, caption, ' ..
           "sentence or title)"):format(path, table.concat(csv.header(path), ",")), 0)
  end
  return csv.each(path, records, fn)
end

return labelled.of {
  name = "csv",
  title = "table",
  expects = "a .csv file, or train.csv, dev.csv, test.csv (or metadata.csv, also in train/, test/) in a folder; a header with image, text and, where there are any, label, id, split",
  extension = "csv",
  each = each,
  label = label,
  header = header,
}

-- JSON lines {"img" or "image", "text", "label", "id"}: a file, or a folder with train.jsonl, dev.jsonl (val.jsonl), test.jsonl. Labels
-- are numbers, strings, or lists of them (several classes a sample); the classes are those of the training file, so a label that only
-- another file has is a bad record. Without "id" the image's path and the line are the id.
local reading = require "vbl.data.reading"
local store = require "vbl.store.c"

local jsonl = {
  name = "jsonl",
  expects = 'a .jsonl file, or train.jsonl, dev.jsonl, test.jsonl in a folder; lines {"img": path, "text": ..., "label": ...}',
  options = {},
}

local splits = {"train", "dev", "val", "test", "dev_seen", "dev_unseen", "test_seen", "test_unseen"}

local function parts_of(path)
  if not reading.is_folder(path) then return (reading.split_path(path)), {{path = path}} end
  local parts = {}
  for _, split in ipairs(splits) do
    local file = ("%s/%s.jsonl"):format(path, split)
    if reading.is_file(file) then parts[#parts + 1] = {path = file, split = split} end
  end
  if #parts == 0 then error(("%s: no JSON lines here; expected %s"):format(path, jsonl.expects), 0) end
  return path, parts
end

local function each(label, fn)
  if type(label) == "table" then
    for _, item in ipairs(label) do fn(item) end
  elseif label ~= nil and label ~= store.null then
    fn(label)
  end
end

-- The kind of labels and the names of the classes: numbers count up to the largest, strings go by the alphabet.
local function classes_of(path)
  local names, largest, kind, seen = {}, -1, nil, {}
  reading.jsonl(path, nil, function(_, row)
    if type(row.label) == "table" then kind = "multi" end
    each(row.label, function(item)
      kind = kind or "class"
      if math.type(item) == "integer" then
        largest = math.max(largest, item)
      elseif type(item) == "string" and not seen[item] then
        seen[item] = true
        names[#names + 1] = item
      end
    end)
  end)
  if largest >= 0 and #names > 0 then error(("%s: some labels are numbers and some are strings"):format(path), 0) end
  if largest >= 100000 then error(("%s: a label of %d; expected the numbers of classes, from 0"):format(path, largest), 0) end
  for i = 0, largest do names[i + 1] = ("%d"):format(i) end
  if largest < 0 then table.sort(names) end
  return kind, names
end

-- The label of a row by numbers, or nil and what is wrong with it.
local function label_of(row, kind, numbers)
  if row.label == nil or row.label == store.null or not kind then return nil end
  local list, wrong = {}, nil
  each(row.label, function(item)
    local number = math.type(item) == "integer" and item or numbers[item]
    if number then list[#list + 1] = number else wrong = ("label %q is not among the classes of the training file"):format(tostring(item)) end
  end)
  if kind == "class" and type(row.label) == "table" then wrong = wrong or "a list of labels, where the others have one" end
  return kind == "class" and list[1] or list, wrong
end

local function add(records, part, number, row, kind, numbers)
  local image = row.img or row.image
  if type(image) ~= "string" or type(row.text) ~= "string" then return records:skip(number, 'no "img" (or "image") or no "text"') end
  local label, wrong = label_of(row, kind, numbers)
  if wrong then return records:skip(number, wrong) end
  records:add(number, reading.id(row.id) or ("%s#%d"):format(image, number), part.split, image, reading.clean(row.text), label)
end

function jsonl.found(folder)
  return reading.is_file(folder .. "/train.jsonl") and "JSON lines: train.jsonl" or nil
end

function jsonl.read(path, _, base)
  local folder, parts = parts_of(path)
  local records = reading.records(folder, base)
  local kind, names = classes_of(parts[1].path)
  local numbers = {}
  for i, name in ipairs(names) do numbers[name] = i - 1 end
  if kind then records:classes(kind, names) end
  records:unit "lines"
  for _, part in ipairs(parts) do
    records:file(part.path)
    reading.jsonl(part.path, records, function(number, row) add(records, part, number, row, kind, numbers) end)
  end
  return records, path
end

return jsonl

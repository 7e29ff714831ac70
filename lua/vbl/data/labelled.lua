-- Readers of rows with named fields: an image, a text, and where there are any a label, an id and a split. JSON lines and tables with a header
-- differ in how a row is read alone.
--   labelled.of {name =, expects =, extension =, each = function(path, records, fn), label = function(value) -> the label or nil,
--                header = function(path) -> whether the file is of this form} -> a reader
--   labelled.names(row) -> the name of its image's field, of its text's; nil for what it has not
-- Labels are whole numbers, strings, true and false, or lists of them (several classes a sample); -1 is none, as the datasets library has it. The
-- classes are those of the training rows, so a label that only another row has is a bad record. Without an id the image's path and the line are the id.
local reading = require "vbl.data.reading"
local sorted_keys = require "vbl.sorted_keys"
local store = require "vbl.store.c"

local labelled = {}

local image_names, text_names = {"img", "image", "file_name", "image_path", "filepath", "path"}, {"text", "caption", "sentence", "title"}
local MISSING = 'no image ("img", "image", "file_name", "image_path", "filepath" or "path") or no text ("text", "caption", "sentence" or "title")'

local label_names = {"label", "labels", "class"}
local files = {"train", "dev", "val", "valid", "validation", "test", "dev_seen", "dev_unseen", "test_seen", "test_unseen"}
local other_words = {validation = "val", valid = "val", testing = "test", training = "train"}
local known = {}
for _, name in ipairs(files) do known[other_words[name] or name] = true end

local function first_of(row, names)
  for _, name in ipairs(names) do
    if row[name] ~= nil and row[name] ~= store.null then return name end
  end
end

-- Marks the fields of a row that nothing reads. A second name for something that was found under another (caption beside text) is one of them.
local function mark_unread(row, unread)
  local read = {id = true, split = true}
  for _, names in ipairs {image_names, text_names, label_names} do read[first_of(row, names) or ""] = true end
  for name in pairs(row) do unread[name] = unread[name] or not read[name] end
end

function labelled.names(row) return first_of(row, image_names), first_of(row, text_names) end

-- {path =, split =, folder = that its images' paths begin from, with a slash}: SPLIT.EXTENSION, or SPLIT/metadata.EXTENSION, or metadata.EXTENSION;
-- and those whose header is another.
local function parts_in(folder, form)
  local parts, others = {}, {}
  local function take(path, split, of)
    path = ("%s/%s.%s"):format(folder, path, form.extension)
    local list = reading.is_file(path) and (form.header(path) and parts or others)
    if list then list[#list + 1] = {path = path, split = split, folder = of} end
  end
  for _, split in ipairs(files) do
    take(split, other_words[split] or split, "")
    take(split .. "/metadata", other_words[split] or split, split .. "/")
  end
  if #parts == 0 then take("metadata", nil, "") end
  return parts, others
end

local function parts_of(path, form)
  if not reading.is_folder(path) then return (reading.split_path(path)), {{path = path, folder = ""}} end
  local parts, others = parts_in(path, form)
  if #parts == 0 then error(("%s: no %s here; expected %s"):format(path, form.title, form.expects), 0) end
  return path, table.move(others, 1, #others, #parts + 1, parts)  -- reading one of another header says what it lacks
end

-- A whole number or a name; nil of what is neither.
local function class_of(item)
  if type(item) == "boolean" then return tostring(item) end
  return type(item) == "string" and item or math.tointeger(item)
end

-- The row's label as the form reads it; nil of none.
local function given_label(row, form)
  local name = first_of(row, label_names)
  local label = name and form.label(row[name])
  if label == store.null or math.type(label) and label == -1 then return nil end
  return label
end

local function each_label(label, fn)
  if type(label) == "table" then
    for _, item in ipairs(label) do fn(class_of(item), item) end
  elseif label ~= nil then
    fn(class_of(label), label)
  end
end

local function split_of(row)
  local split = row.split
  if split == nil or split == store.null or split == "" then return nil end
  split = tostring(split):lower()
  return other_words[split] or split
end

-- The classes in `found`, whose names are there: numbers count up to the largest, strings go by the alphabet.
local function number_classes(found, path, largest)
  if largest >= 0 and #found.names > 0 then error(("%s: some labels are numbers and some are strings"):format(path), 0) end
  if largest >= 100000 then error(("%s: a label of %d; expected the numbers of classes, from 0"):format(path, largest), 0) end
  found.by_number = largest >= 0
  for i = 0, largest do found.names[i + 1] = ("%d"):format(i) end
  if largest < 0 then table.sort(found.names) end
  for i, name in ipairs(found.names) do found.numbers[name] = i - 1 end
end

-- "0, 3" of the numbers below the largest that no training row has.
local function unseen(found, seen)
  local list = {}
  for i = 0, found.by_number and #found.names - 1 or -1 do
    if not seen[i] then list[#list + 1] = ("%d"):format(i) end
  end
  return #list > 0 and table.concat(list, ", ", 1, math.min(#list, 10)) .. (#list > 10 and ", ..." or "") or nil
end

-- What the rows of the training part have: {kind = of labels, names = of classes, numbers = name -> number, by_number = whether labels are numbers,
-- unseen = numbers that none has, splits = whether rows name theirs, unread = fields that nothing reads}.
local function survey(part, form)
  local found, largest, seen, fields = {names = {}, numbers = {}}, -1, {}, {}
  form.each(part.path, nil, function(_, row)
    local split = not part.split and split_of(row)
    found.splits = found.splits or split ~= nil and split ~= false
    mark_unread(row, fields)
    if split and split ~= "train" then return end
    local label = given_label(row, form)
    if type(label) == "table" then found.kind = "multi" end
    each_label(label, function(class)
      if class == nil then return end
      found.kind = found.kind or "class"
      if math.type(class) then largest = math.max(largest, class) end
      if not seen[class] and not math.type(class) then found.names[#found.names + 1] = class end
      seen[class] = true
    end)
  end)
  number_classes(found, part.path, largest)
  found.unseen, found.unread = unseen(found, seen), {}
  for _, name in ipairs(sorted_keys(fields)) do
    if fields[name] then found.unread[#found.unread + 1] = name end
  end
  return found
end

-- The label of a row by numbers, or nil and what is wrong with it. A number that is not the training rows' kind of label is looked for among their names.
local function label_of(label, set)
  if label == nil then return nil end
  local list, wrong = {}, nil
  each_label(label, function(class, item)
    if class == nil then
      wrong = ("label %s; expected a whole number, a string, true or false"):format(tostring(item))
      return
    elseif not set.kind then
      return
    end
    local number = set.by_number and math.type(class) and class or set.numbers[tostring(class)]
    if number then list[#list + 1] = number else wrong = ("label %q is not among the classes of the training file"):format(tostring(item)) end
  end)
  if wrong or not set.kind then return nil, wrong end
  if set.kind == "class" and type(label) == "table" then wrong = "a list of labels, where the others have one" end
  return set.kind == "class" and list[1] or list, wrong
end

-- The split of a row, or nil and what is wrong with it.
local function place(part, row, set)
  if part.split or not set.splits then return part.split end
  local split = split_of(row)
  if not split then return nil, "no split, where other rows have one" end
  if not known[split] then return nil, ("split %q; expected train, dev, val, test, dev_seen, dev_unseen, test_seen or test_unseen"):format(split) end
  return split
end

-- Counts a row of a split, and whether its label is none of training's.
local function count(tally, split, strange)
  local t = tally[split or "train"] or {rows = 0, strange = 0}
  tally[split or "train"] = t
  t.rows, t.strange = t.rows + 1, t.strange + (strange and 1 or 0)
end

-- Of all rows these may be few, and still most of a small split, which would then be scored on what is left.
local function check_strangers(tally, path, most)
  for _, split in ipairs(sorted_keys(tally)) do
    local t = tally[split]
    if split ~= "train" and t.strange > most * t.rows then
      error(("%s: %d of the %d rows of %s have labels that no training row has, more than max_bad = %g of them: no model could get them right (max_bad=%.2f, in an experiment captions.max_bad=%.2f, leaves them out)"):format(
        path, t.strange, t.rows, split, most, math.ceil(100 * t.strange / t.rows) / 100, math.ceil(100 * t.strange / t.rows) / 100), 0)
    end
  end
end

local function add(records, part, number, row, set, form)
  local image, text = labelled.names(row)
  image, text = row[image], row[text]
  if type(image) ~= "string" or type(text) ~= "string" then return records:skip(number, MISSING) end
  local split, misplaced = place(part, row, set)
  local label, wrong = label_of(given_label(row, form), set)
  count(set.tally, split, wrong)
  if misplaced or wrong then return records:skip(number, misplaced or wrong) end
  image = image:gsub("//+", "/"):gsub("/%./", "/"):gsub("^%./", "")  -- one image has one name
  image = image:find "^/" and image or part.folder .. image
  records:add(number, row.id ~= "" and reading.id(row.id) or ("%s#%d"):format(image, number), split, image, reading.clean(text), label)
end

function labelled.of(form)
  local reader = {name = form.name, expects = form.expects, options = {}}

  function reader.found(folder)
    local parts = parts_in(folder, form)
    return parts[1] and ("%s: %s"):format(form.title, parts[1].path:sub(#folder + 2)) or nil
  end

  function reader.read(path, _, base)
    local folder, parts = parts_of(path, form)
    local records, set = reading.records(folder, base), survey(parts[1], form)
    set.tally = {}
    if set.kind then records:classes(set.kind, set.names) end
    records:unit "lines"
    for _, part in ipairs(parts) do
      local rows = 0
      records:file(part.path)
      form.each(part.path, records, function(number, row)
        rows = rows + 1
        add(records, part, number, row, set, form)
      end)
      if rows == 0 then records:note(part.path .. ": no rows") end
    end
    check_strangers(set.tally, path, base.max_bad or 0.01)
    if set.unseen then records:note(("no training row has the label %s: numbers count from 0, and these are classes too"):format(set.unseen)) end
    if #set.unread > 0 then records:note("fields that are not read: " .. table.concat(set.unread, ", ")) end
    return records, path
  end

  return reader
end

return labelled

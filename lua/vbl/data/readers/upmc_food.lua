-- UPMC Food-101 (Wang et al. 2015): images/{train,test}/CLASS/NAME.jpg with titles in texts/{train,test}_titles.csv (file,"title",class), or
-- with whole pages in texts_txt/CLASS/NAME.txt. Some images have no text; those are left out and counted.
local reading = require "vbl.data.reading"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local food = {
  name = "upmc_food",
  expects = "images/train/CLASS/, images/test/CLASS/ beside texts/train_titles.csv, texts/test_titles.csv or texts_txt/CLASS/NAME.txt",
  options = {},
}

local splits = {"train", "test"}

function food.found(folder)
  if not reading.is_folder(folder .. "/images/train") then return nil end
  if reading.is_file(folder .. "/texts/train_titles.csv") then return "UPMC Food-101, titles" end
  if reading.is_folder(folder .. "/texts_txt") then return "UPMC Food-101, pages" end
end

local function set_classes(records, folder)
  local names, numbers = {}, {}
  for _, name in ipairs(system.list(folder .. "/images/train") or {}) do
    if reading.is_folder(folder .. "/images/train/" .. name) then names[#names + 1] = name end
  end
  if #names == 0 then error(("%s/images/train: no folder of a class here"):format(folder), 0) end
  for i, name in ipairs(names) do numbers[name] = i - 1 end
  records:classes("class", names)
  return numbers
end

-- file,title,class: the title may hold commas and quotes, the others do not.
local function read_titles(records, folder, split, numbers)
  local path = ("%s/texts/%s_titles.csv"):format(folder, split)
  records:file(path)
  for number, line in reading.lines(path) do
    local file, title, class = line:match "^([^,]*),(.*),([^,]*)$"
    file, class = file and reading.unquote(file), class and reading.unquote(class)
    if number == 1 and (file == "image_path" or file == "filename" or file == "image") then goto next end
    if not file then
      records:skip(number, "expected file,title,class")
    elseif not numbers[class] then
      records:skip(number, ("class %q is no folder of images/train"):format(class))
    else
      title = reading.clean(reading.entities(reading.unquote(title)))
      if title == "" then
        records:absent(number, file .. " has no title")
      else
        records:add(number, file, split, ("images/%s/%s/%s"):format(split, class, file), title, numbers[class])
      end
    end
    ::next::
  end
end

local function read_page(records, folder, split, class, file, number)
  local stem = file:match "^(.*)%.[^.]*$" or file
  local path = ("%s/texts_txt/%s/%s.txt"):format(folder, class, stem)
  if not reading.is_file(path) then return records:absent(file, "no text " .. path) end
  local text = reading.clean(reading.entities(store.read_file(path)))
  if text == "" then return records:absent(file, "an empty text " .. path) end
  records:add(file, file, split, ("images/%s/%s/%s"):format(split, class, file), text, number)
end

local function read_pages(records, folder, split, numbers)
  records:file ""
  for _, class in ipairs(system.list(("%s/images/%s"):format(folder, split)) or {}) do
    for _, file in ipairs(reading.names(("%s/images/%s/%s"):format(folder, split, class), "%.%a+$")) do
      if numbers[class] then
        read_page(records, folder, split, class, file, numbers[class])
      else
        records:skip(file, ("class %q is no folder of images/train"):format(class))
      end
    end
  end
end

function food.read(folder, _, base)
  local records = reading.records(folder, base)
  local numbers = set_classes(records, folder)
  local titles = reading.is_file(folder .. "/texts/train_titles.csv")
  if not titles and not reading.is_folder(folder .. "/texts_txt") then error(("%s: no texts here; expected %s"):format(folder, food.expects), 0) end
  for _, split in ipairs(splits) do
    if titles then read_titles(records, folder, split, numbers) else read_pages(records, folder, split, numbers) end
  end
  return records, folder
end

return food

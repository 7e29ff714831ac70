-- EasyVQA (github.com/vzhou842/easy-VQA): {train,test}/questions.json, one array of [question, answer, image number]; images/NUMBER.png;
-- answers.txt, whose order of lines is the order of the classes. The id of a question is SPLIT-IMAGE-N, N counting the file's
-- questions: both splits number their images from 0.
local reading = require "vbl.data.reading"

local easy = {
  name = "easy_vqa",
  expects = "train/questions.json, test/questions.json, answers.txt and {train,test}/images/N.png (or all of it in data/)",
  options = {},
}

local function root(folder)
  for _, path in ipairs {folder, folder .. "/data"} do
    if reading.is_file(path .. "/answers.txt") and reading.is_file(path .. "/train/questions.json") then return path end
  end
end

function easy.found(folder) return root(folder) and "EasyVQA" or nil end

function easy.read(folder, _, base)
  local path = root(folder) or error(("%s: no EasyVQA here; expected %s"):format(folder, easy.expects), 0)
  local records, names, numbers = reading.records(path, base), {}, {}
  for _, line in reading.lines(path .. "/answers.txt") do
    if line ~= "" then
      numbers[line] = #names
      names[#names + 1] = line
    end
  end
  records:classes("class", names)
  records:unit "questions"
  for _, split in ipairs {"train", "test"} do
    local file = ("%s/%s/questions.json"):format(path, split)
    records:file(file)
    reading.json_each(file, {""}, function(_, row, number)
      local question, answer, image = table.unpack(type(row) == "table" and row or {}, 1, 3)
      local where = "question " .. number
      if type(question) ~= "string" or math.type(image) ~= "integer" then return records:skip(where, "expected [question, answer, image]") end
      if not numbers[answer] then return records:skip(where, ("answer %q is not in answers.txt"):format(tostring(answer))) end
      records:add(where, ("%s-%d-%d"):format(split, image, number), split, ("%s/images/%d.png"):format(split, image), question, numbers[answer])
    end)
  end
  return records, folder
end

return easy

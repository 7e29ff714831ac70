-- VQA v2 (Goyal et al. 2017): v2_OpenEnded_mscoco_SPLIT_questions.json, v2_mscoco_SPLIT_annotations.json and the images of COCO. Classes are
-- the answers that at least 9 questions of train and val have as their most frequent one (3,129 of the whole set), in alphabetical order;
-- a label is soft: each such answer of the ten people's with the weight that the official metric gives it. Questions whose answers are
-- all rarer have an empty label. The id is the question's number.
local answers = require "vbl.data.answers"
local reading = require "vbl.data.reading"
local sorted_keys = require "vbl.sorted_keys"

local vqa2 = {
  name = "vqa2",
  expects = "v2_OpenEnded_mscoco_{train2014,val2014,test2015}_questions.json, v2_mscoco_{train2014,val2014}_annotations.json beside train2014/, val2014/, test2015/ (or in images/)",
  options = {min_occurrences = {nil, "vqa2: questions that an answer needs to be a class (9)", type = "number"}},
}

local splits = {{"train2014", "train", "train2014"}, {"val2014", "val", "val2014"}, {"test2015", "test", "test2015"}, {"test-dev2015", "test_dev", "test2015"}}

local function find(folder, name) return reading.first(folder, {name, "annotations/" .. name, "questions/" .. name}) end
local function questions_of(folder, split) return find(folder, ("v2_OpenEnded_mscoco_%s_questions.json"):format(split)) end
local function annotations_of(folder, split) return find(folder, ("v2_mscoco_%s_annotations.json"):format(split)) end

function vqa2.found(folder) return questions_of(folder, "train2014") and "VQA v2" or nil end

-- Normalised; nil of null and what else is no answer.
local function said(answer)
  return (type(answer) == "string" or type(answer) == "number") and answers.normalise(tostring(answer)) or nil
end

local function count_answers(folder, needed)
  local count, names, numbers = {}, {}, {}
  for _, s in ipairs(splits) do
    local file = annotations_of(folder, s[1])
    if file then
      reading.json_objects(folder .. "/" .. file, "annotations", nil, function(a)
        local answer = said(a.multiple_choice_answer)
        if answer then count[answer] = (count[answer] or 0) + 1 end
      end)
    end
  end
  for answer, n in pairs(count) do
    if n >= needed then names[#names + 1] = answer end
  end
  table.sort(names)
  for i, name in ipairs(names) do numbers[name] = i - 1 end
  return names, numbers
end

-- {class, weight, ...} of a question.
local function label_of(annotation, numbers)
  local count, label = {}, {}
  for _, a in ipairs(type(annotation.answers) == "table" and annotation.answers or {}) do
    local answer = type(a) == "table" and said(a.answer)
    local number = answer and numbers[answer]
    if number then count[number] = (count[number] or 0) + 1 end
  end
  for number, n in pairs(count) do
    label[#label + 1] = number
    label[#label + 1] = answers.target(n)
  end
  return label
end

local function read_split(records, folder, s, numbers)
  local path, annotations = folder .. "/" .. questions_of(folder, s[1]), annotations_of(folder, s[1])
  local images = (reading.first(folder, {s[3], "images/" .. s[3]}) or s[3]) .. "/COCO_" .. s[3] .. "_"
  local texts, image_of = {}, {}
  local function add(where, id, label)
    records:add(where, ("%d"):format(id), s[2], images .. ("%012d.jpg"):format(image_of[id]), texts[id], label)
  end
  records:file(path)
  reading.json_objects(path, "questions", records, function(q, number)
    local whole = math.type(q.question_id) == "integer" and math.type(q.image_id) == "integer" and type(q.question) == "string"
    if not whole then return records:skip("question " .. number, "no question_id, image_id or question") end
    texts[q.question_id], image_of[q.question_id] = reading.clean(q.question), q.image_id
    if not annotations then
      add("question_id " .. q.question_id, q.question_id, nil)
      texts[q.question_id], image_of[q.question_id] = nil, nil
    end
  end)
  if not annotations then return end
  records:file(folder .. "/" .. annotations)
  reading.json_objects(folder .. "/" .. annotations, "annotations", records, function(a, number)
    local where = "question_id " .. (reading.id(a.question_id) or "of annotation " .. number)
    if not texts[a.question_id or 0] then return records:skip(where, "no such question, or a second annotation") end
    add(where, a.question_id, label_of(a, numbers))
    texts[a.question_id] = nil
  end)
  for _, id in ipairs(sorted_keys(texts)) do records:skip("question_id " .. id, "no annotation") end
end

function vqa2.read(folder, o, base)
  if not questions_of(folder, "train2014") then error(("%s: no VQA v2 here; expected %s"):format(folder, vqa2.expects), 0) end
  local records = reading.records(folder, base)
  local needed = o.min_occurrences or 9
  local names, numbers = count_answers(folder, needed)
  if #names == 0 then error(("%s: no answer is that of %d questions or more (option min_occurrences)"):format(folder, needed), 0) end
  records:classes("soft", names)
  records:unit "questions"
  for _, s in ipairs(splits) do
    if questions_of(folder, s[1]) then read_split(records, folder, s, numbers) end
  end
  return records, folder
end

return vqa2

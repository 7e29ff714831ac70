-- Readers of data sets: small files in exactly the forms that people have, with every quirk; what is read, what is skipped and why.
local check = require "check"
local data_files = require "data_files"
local vbl = require "vbl"

local has, sizes = data_files.has, data_files.sizes

-- id -> sample number of a split.
local function numbers(view)
  local of = {}
  for i = 1, view:size() do of[view:image_id(i)] = i end
  return of
end

local small = {image = 16, max_bad = 0}

check.group("hateful memes", function()
  local f = data_files.new()
  for i = 1, 9 do f:image(("img/%05d.png"):format(i), i) end
  f:write("train.jsonl", '{"id": "00001", "img": "img/00001.png", "label": 1, "text": "look  how\\nmany"}\n' ..
    '{"id":2,"img":"img/00002.png","label":0,"text":"a"}\r\n')
  f:write("dev_seen.jsonl", '{"id": "00003", "img": "img/00003.png", "label": 0, "text": "b"}\n{"id": "00004", "img": "img/00004.png", "label": 1, "text": "c"}')
  f:write("dev_unseen.jsonl", '{"id": "00004", "img": "img/00004.png", "label": 1, "text": "c"}\n{"id": "00005", "img": "img/00005.png", "label": 1, "text": "d"}')
  f:write("test_seen.jsonl", '{"id": "00006", "img": "img/00006.png", "text": "e"}\n')
  f:write("test_unseen.jsonl", '{"id": "00007", "img": "img/00007.png", "text": "f", "label": null}\n')
  local d = vbl.data.open(f.path, small)
  check.equal(d.reader.name, "hateful_memes")
  check.equal(sizes(d), "train=2 dev_seen=2 dev_unseen=2 test_seen=1 test_unseen=1")
  check.equal(d:split("train"):image_id(1), "00001")
  check.equal(d:split("train"):image_id(2), "00002")
  check.equal(d:split("train"):caption(1), "look how many")
  check.equal(d:split("train"):label(1), 1)
  check.equal(d:split("test_seen"):label(1), nil)
  check.equal(d:split("test_unseen"):labels({1}):totable()[1], -100)
  check.equal(d:held_out(), "test_seen")
  local text, well = d:check()
  has(text, "note: 1 sample of dev_unseen has the same id in dev_seen")
  check.ok(well)
  d:apart("train", "dev_seen")
  check.error(function() d:apart("dev_seen", "dev_unseen") end, "1 sample of dev_unseen is also in dev_seen", "00004")
  check.error(function() d:split("validation") end, "no split 'validation' (it has train, dev_seen,")
  -- What is wrong is counted and said with its place.
  f:write("dev_seen.jsonl", '{"id": "00003", "img": "img/00003.png", "label": 7, "text": "b"}\n{"id": "00004"\n' ..
    '{"id": "00008", "img": "img/00008.png", "label": 1, "text": "c"}\n{"id": "00008", "img": "img/00008.png", "label": 1, "text": "c"}\n{"label": 1}\n')
  check.error(function() vbl.data.open(f.path, small) end, "4 of 11 records are bad", "dev_seen.jsonl:1: label 7; expected 0 to 1")
  d = vbl.data.open("hateful_memes:" .. f.path, {image = 16, max_bad = 0.5})
  has(d:describe(), "dev_seen.jsonl:2: ", "dev_seen.jsonl:4: id \"00008\" stands in an earlier record of the split; skipped", "dev_seen.jsonl:5: no id", "1 dev_seen")
  f:remove()
end)

check.group("json lines", function()
  local f = data_files.new()
  for i = 1, 4 do f:image(("i/%d.jpg"):format(i), i) end
  f:write("train.jsonl", '{"img": "i/1.jpg", "text": "one", "label": ["b", "a"], "id": "007"}\n{"image": "i/2.jpg", "text": "two", "label": []}\n')
  f:write("dev.jsonl", '{"img": "i/3.jpg", "text": "three", "label": ["c"]}\n{"img": "i/4.jpg", "text": "four", "label": ["a"]}\n')
  -- One of four rows, but one of the two that dev would be scored on.
  check.error(function() vbl.data.open(f.path, {image = 16, max_bad = 0.4}) end, "1 of the 2 rows of dev have labels that no training row has", "(max_bad=0.50,")
  local d = vbl.data.open(f.path, {image = 16, max_bad = 0.5})
  local kind, names = d:labels()
  check.equal(kind .. table.concat(names, ","), "multia,b")
  check.equal(sizes(d), "train=2 dev=1")
  check.equal(table.concat(d:split("train"):label(1), ","), "0,1")
  check.equal(#d:split("train"):label(2), 0)
  check.equal(d:split("train"):image_id(1), "007")
  has(d:describe(), 'dev.jsonl:1: label "c" is not among the classes of the training file')
  local row = d:split("train"):labels({1, 2}):totable()
  check.equal(table.concat(row[1], ",") .. ";" .. table.concat(row[2], ","), "1.0,1.0;0.0,0.0")
  f:write("one.jsonl", '{"img": "i/1.jpg", "text": "one", "label": 0}\n{"img": "i/2.jpg", "text": "two", "label": 2}\n{"img": "i/3.jpg", "text": "three"}\n')
  d = vbl.data.open(f.path .. "/one.jsonl", {image = 16, max_bad = 0, test_fraction = 0})
  kind, names = d:labels()
  check.equal(kind .. table.concat(names, ","), "class0,1,2")
  check.equal(d:split("train"):label(3), nil)
  f:write("mixed.jsonl", '{"img": "i/1.jpg", "text": "one", "label": 0}\n{"img": "i/2.jpg", "text": "two", "label": "x"}\n')
  check.error(function() vbl.data.open("jsonl:" .. f.path .. "/mixed.jsonl", small) end, "some labels are numbers and some are strings")
  f:remove()
end)

check.group("coco", function()
  local f = data_files.new()
  f:image("train2014/COCO_train2014_000000000009.jpg", 1)
  f:image("train2014/COCO_train2014_000000000025.jpg", 2)
  f:image("images/val2014/COCO_val2014_000000000042.jpg", 3)
  local function file(images, annotations)
    return ('{"info": {"year": 2014, "x": [1, {"y": null}]}, "licenses": [{"id": 1}], "annotations": [%s], "images": [%s]}'):format(annotations, images)
  end
  f:write("annotations/captions_train2014.json", file('{"id": 9, "file_name": "COCO_train2014_000000000009.jpg", "height": 1.5e2}, {"id": 25, "file_name": "COCO_train2014_000000000025.jpg"}',
    '{"id": 1, "image_id": 9, "caption": "A dog\\n runs. "}, {"id": 2, "image_id": 25, "caption": "A c\\u00e4t"}, {"id": 3, "image_id": 9, "caption": "Two"}, {"id": 4, "image_id": 77, "caption": "x"}'))
  f:write("annotations/captions_val2014.json", '{"images": [{"id": 42, "file_name": "COCO_val2014_000000000042.jpg"}, 3], "annotations": [{"id": 5, "image_id": 42, "caption": "Three"}, null]}')
  check.error(function() vbl.data.open(f.path, small) end, "annotation 4: image_id 77 is not among the images; skipped", "3 of 7 captions are bad",
              "image 2: no object", "(mend them, or take only the good ones with max_bad=0.43, in an experiment captions.max_bad=0.43)")
  f:write("annotations/captions_val2014.json", file('{"id": 42, "file_name": "COCO_val2014_000000000042.jpg"}', '{"id": 5, "image_id": 42, "caption": "Three"}'))
  local d = vbl.data.open(f.path, {image = 16, max_bad = 0.2})
  check.equal(sizes(d), "train=2 val=1")
  local train = d:split("train")
  local at = numbers(train)
  check.equal(train:captions(at["9"]), 2)
  check.equal(train:caption(at["9"], 1), "A dog runs.")
  check.equal(train:caption(at["25"], 1), "A cät")
  check.equal(d:held_out(), "val")
  -- Only a part of the images is there: the message says the value that takes it.
  local there, away = f.path .. "/train2014/COCO_train2014_000000000025.jpg", f.path .. "/away.jpg"
  os.rename(there, away)
  f:write("annotations/captions_train2014.json", file('{"id": 9, "file_name": "COCO_train2014_000000000009.jpg"}, {"id": 25, "file_name": "COCO_train2014_000000000025.jpg"}',
    '{"id": 1, "image_id": 9, "caption": "A"}, {"id": 2, "image_id": 25, "caption": "B"}'))
  check.error(function() vbl.data.open(f.path, {image = 16, max_bad = 0.33}) end, "1 of 3 images are bad (not there: 1)", "captions.max_bad=0.34)")
  check.equal(sizes(vbl.data.open(f.path, {image = 16, max_bad = 0.34})), "train=1 val=1")
  os.rename(away, there)
  f:write("dataset_coco.json", '{"dataset": "coco", "images": [' ..
    '{"filepath": "train2014", "filename": "COCO_train2014_000000000009.jpg", "cocoid": 9, "split": "train", "sentences": [{"tokens": ["a"], "raw": "A dog.", "sentid": 1}, {"raw": "B"}]},' ..
    '{"filepath": "train2014", "filename": "COCO_train2014_000000000025.jpg", "cocoid": 25, "split": "restval", "sentences": [{"raw": "C"}]},' ..
    '{"filepath": "val2014", "filename": "COCO_val2014_000000000042.jpg", "cocoid": 42, "split": "test", "sentences": [{"raw": "D"}]}]}')
  check.error(function() vbl.data.open(f.path, small) end, "has the annotations 2014 and karpathy: choose with the option annotations")
  d = vbl.data.open(f.path, {image = 16, max_bad = 0, annotations = "karpathy"})
  check.equal(sizes(d), "train=2 test=1")
  has(d:describe(), "1 images of the split restval are in train")
  f:write("dataset_coco.json", '{"images": [3, null, {"filepath": "train2014", "filename": "COCO_train2014_000000000009.jpg", "split": "train", "sentences": [{"raw": "A"}, 4]}]}')
  d = vbl.data.open(f.path, {image = 16, max_bad = 0.8, test_fraction = 0, annotations = "karpathy"})
  check.equal(sizes(d), "train=1")
  has(d:describe(), "image 1: no object", "image 2: no object", "a sentence without its raw text")
  f:write("annotations/captions_val2014.json", '{"images": [], "annotations": [{"id": 1,')
  check.error(function() vbl.data.open("coco:" .. f.path, {image = 16, annotations = "2014"}) end, "captions_val2014.json: the JSON is cut off after 40 bytes")
  f:write("annotations/captions_val2014.json", '{"images": [}')
  check.error(function() vbl.data.open("coco:" .. f.path, {image = 16, annotations = "2014"}) end, "captions_val2014.json: byte 1", "unallowed token")
  f:remove()
end)

check.group("flickr30k", function()
  local f = data_files.new()
  f:image("flickr30k-images/1000092795.jpg", 1)
  f:image("flickr30k-images/2199200615.jpg", 2)
  f:write("results_20130124.token", "1000092795.jpg#0\tTwo men .\n1000092795.jpg#1\tTwo .\n2199200615.jpg#0\tA dog\n")
  local d = vbl.data.open(f.path, small)
  check.equal(d.reader.name, "flickr30k")
  check.equal(d.set:counts().captions, 3)
  os.remove(f.path .. "/results_20130124.token")
  f:write("results.csv", "image_name| comment_number| comment\n1000092795.jpg| 0| Two men , one | other\n2199200615.jpg| 3| A\n2199200615.jpg| 4   A dog runs across the grass .\nrubbish\n")
  d = vbl.data.open(f.path, {image = 16, max_bad = 0.25, test_fraction = 0})
  local at = numbers(d:split("train"))
  check.equal(d:split("train"):caption(at["1000092795.jpg"], 1), "Two men , one | other")
  check.equal(d:split("train"):caption(at["2199200615.jpg"], 2), "A dog runs across the grass .")
  has(d:describe(), "results.csv:4: a bar is missing", "results.csv:5: expected name| number| caption; skipped")
  f:remove()
end)

check.group("flickr8k", function()
  local f = data_files.new()
  for i = 1, 4 do f:image(("Flicker8k_Dataset/%d_a.jpg"):format(i), i) end
  f:write("Flickr8k.token.txt", "1_a.jpg#0\tA .\n1_a.jpg#1\tB .\n2_a.jpg#0\tC .\n2258277193_586949ec62.jpg.1#0\tD .\n3_a.jpg#0\tE .\n4_a.jpg#0\tF .\n4_a.jpg#1\tG .\n")
  f:write("Flickr_8k.trainImages.txt", "1_a.jpg\n")
  f:write("Flickr_8k.devImages.txt", "2_a.jpg\n")
  f:write("Flickr_8k.testImages.txt", "3_a.jpg\n")
  local d = vbl.data.open(f.path, small)
  check.equal(sizes(d), "train=1 dev=1 test=1")
  has(d:describe(), "2258277193_586949ec62.jpg.1 is an image that the data set does not have", "4_a.jpg is in none of the lists of splits")
  check.equal(d.set:counts().absent, 2)
  f:remove()
  f = data_files.new()
  for i = 1, 2 do f:image(("Images/%d.jpg"):format(i), i) end
  f:write("captions.txt", 'image,caption\n1.jpg,A dog\n1.jpg,"A dog , a ""cat"""\n2.jpg,B\n')
  d = vbl.data.open(f.path, {image = 16, test_fraction = 0})
  check.equal(d:split("train"):caption(1, 2), 'A dog , a "cat"')
  f:remove()
end)

check.group("mmimdb", function()
  local f = data_files.new()
  for i = 1, 4 do f:image(("dataset/000000%d.jpeg"):format(i), i) end
  f:write("dataset/0000001.json", '{"title": "T", "genres": ["Drama", "Film-Noir"], "plot": ["short", "the longest plot of all", "mid plot"], "plot outline": "x"}')
  f:write("dataset/0000002.json", '{"genres": ["Drama", "News"], "plot": [], "plot outline": "an outline"}')
  f:write("dataset/0000003.json", '{"genres": ["Adult"], "plot": ["p"]}')
  f:write("dataset/0000004.json", '{"genres": ["Comedy"]}')
  f:write("split.json", '{"train": ["0000001", "0000002"], "dev": ["0000003"], "test": ["0000004", "0000009"]}')
  local d = vbl.data.open(f.path, {image = 16, max_bad = 0.5, test_fraction = 0})
  check.equal(d.reader.name, "mmimdb")
  check.equal(sizes(d), "train=2")
  local train, kind, names = d:split("train"), d:labels()
  check.equal(kind .. #names, "multi23")
  check.equal(train:image_id(1), "0000001")
  check.equal(train:caption(1), "the longest plot of all")
  check.equal(train:caption(2), "an outline")
  check.equal(table.concat(train:label(1), ","), "0,22")
  has(d:describe(), "0000003: only genres that are not classes: Adult; left out", "0000004: no plot; skipped", "0000009.json", "1 films lost a genre")
  f:remove()
end)

check.group("upmc food", function()
  local f = data_files.new()
  for _, name in ipairs {"train/apple_pie/apple_pie_1.jpg", "train/apple_pie/apple_pie_2.jpg", "train/steak/steak_1.jpg", "test/steak/steak_9.jpg"} do
    f:image("images/" .. name, #name)
  end
  f:write("texts/train_titles.csv", 'apple_pie_1.jpg,"Mom\'s ""best"", pie &amp; cr&#232;me",apple_pie\napple_pie_2.jpg,"",apple_pie\nsteak_1.jpg,Steak,steak\nx.jpg,X,pizza\n')
  f:write("texts/test_titles.csv", "steak_9.jpg,Steak again,steak\n")
  local d = vbl.data.open(f.path, {image = 16, max_bad = 0.3})
  check.equal(sizes(d), "train=2 test=1")
  check.equal(d:split("train"):caption(1), 'Mom\'s "best", pie & crème')
  check.equal(d:split("test"):label(1), 1)
  has(d:describe(), "apple_pie_2.jpg has no title; left out", 'train_titles.csv:4: class "pizza" is no folder of images/train; skipped')
  os.remove(f.path .. "/texts/train_titles.csv")
  f:write("texts_txt/apple_pie/apple_pie_1.txt", "Pie\n\nBake.\n")
  f:write("texts_txt/steak/steak_1.txt", "Fry.")
  f:write("texts_txt/steak/steak_9.txt", "Grill.")
  d = vbl.data.open(f.path, small)
  check.equal(sizes(d), "train=2 test=1")
  check.equal(d:split("train"):caption(1), "Pie Bake.")
  has(d:describe(), "apple_pie_2.jpg: no text ")
  f:remove()
end)

check.group("vqa answers", function()
  local answers = require "vbl.data.answers"
  for text, wanted in pairs {["The  two dogs."] = "2 dogs", ["dont know"] = "don't know", ["1,000"] = "1000", ["3.5"] = "3.5", ["U.S."] = "us", ["black/white"] = "black white",
                             ["black / white"] = "black white", ["no!"] = "no ", ["a an the"] = "", ["none"] = "0", ["t-shirt"] = "t shirt", ["7:30 p.m."] = "7:30 pm"} do
    check.equal(answers.normalise(text), (wanted:gsub("%s+$", "")))
  end
  -- Lower case as the official evaluation's, which is Python's: not of ASCII alone.
  for text, wanted in pairs {["CAFÉ"] = "café", ["Ärger"] = "ärger", ["ΟΔΟΣ ΣΑΣ"] = "οδος σας", ["МОСКВА"] = "москва", ["İ"] = "i\u{307}", ["ẞ"] = "ß"} do
    check.equal(answers.normalise(text), wanted)
  end
  check.error(function() answers.normalise "\xFF" end, "invalid UTF-8 at byte offset 0 (byte 0xFF)")
  for n, wanted in pairs {[0] = 0, [1] = 0.3, [2] = 0.6, [3] = 0.9, [4] = 1, [10] = 1} do
    check.near(answers.target(n), wanted, 1e-15)
    -- The mean over the ten leave-one-out sets.
    check.near(answers.target(n), n / 10 * math.min((n - 1) / 3, 1) + (10 - n) / 10 * math.min(n / 3, 1), 1e-15)
  end
end)

check.group("vqa2", function()
  local f = data_files.new()
  f:image("train2014/COCO_train2014_000000000009.jpg", 1)
  f:image("val2014/COCO_val2014_000000000042.jpg", 2)
  f:image("test2015/COCO_test2015_000000000001.jpg", 3)
  local function write(split, first, image, answers)
    local questions, annotations = {}, {}
    for i, list in ipairs(answers) do
      local id, ten = first + i, {}
      for word, n in list:gmatch "(%a+)(%d+)" do
        for _ = 1, n do ten[#ten + 1] = ('{"answer": "%s", "answer_confidence": "yes", "answer_id": %d}'):format(word, #ten + 1) end
      end
      questions[i] = ('{"image_id": %d, "question": "What is it %d?", "question_id": %d}'):format(image, i, id)
      annotations[i] = ('{"question_type": "what", "multiple_choice_answer": "%s", "answers": [%s], "image_id": %d, "answer_type": "other", "question_id": %d}'):format(
        list:match "%a+", table.concat(ten, ", "), image, id)
    end
    f:write("v2_OpenEnded_mscoco_" .. split .. "_questions.json", '{"info": {}, "questions": [' .. table.concat(questions, ",") .. '], "license": {}}')
    if #answers[1] > 0 then f:write("v2_mscoco_" .. split .. "_annotations.json", '{"annotations": [' .. table.concat(annotations, ",") .. "]}") end
  end
  write("train2014", 9000, 9, {"yes7no3", "Yes10", "cat9yes1"})
  write("val2014", 42000, 42, {"no8yes2", "no10"})
  f:write("v2_OpenEnded_mscoco_test2015_questions.json", '{"questions": [{"image_id": 1, "question": "Why?", "question_id": 1000}]}')
  local d = vbl.data.open(f.path, {image = 16, max_bad = 0, min_occurrences = 2})
  check.equal(sizes(d), "train=3 val=2 test=1")
  local kind, names = d:labels()
  check.equal(kind .. table.concat(names, ","), "softno,yes")
  local at = numbers(d:split("train"))
  local label = d:split("train"):label(at["9001"])
  check.near(label[0], 0.9, 1e-6)
  check.near(label[1], 1, 1e-6)
  check.near(d:split("train"):label(at["9003"])[1], 0.3, 1e-6)
  check.equal(d:split("test"):label(1), nil)
  check.equal(d:split("test"):caption(1), "Why?")
  -- Elements that are no objects are bad records.
  f:write("v2_OpenEnded_mscoco_test2015_questions.json", '{"questions": [7, {"image_id": 1, "question": "Why?", "question_id": 1000}]}')
  f:write("v2_mscoco_test2015_annotations.json", '{"annotations": [7, {"question_id": 1000, "answers": [7, {"answer": "yes"}]}]}')
  d = vbl.data.open(f.path, {image = 16, max_bad = 0.5, min_occurrences = 2})
  check.equal(sizes(d), "train=3 val=2 test=1")
  has(d:describe(), "question 1: no object", "annotation 1: no object")
  check.near(d:split("test"):label(1)[1], 0.3, 1e-6)
  f:remove()
end)

check.group("easy vqa", function()
  local f = data_files.new()
  for _, split in ipairs {"train", "test"} do for i = 0, 1 do f:image(("data/%s/images/%d.png"):format(split, i), i + #split) end end
  f:write("data/answers.txt", "circle\nyes\nno")
  f:write("data/train/questions.json", '[["is it?", "yes", 0], ["what?", "circle", 1], ["huh?", "maybe", 1]]')
  f:write("data/test/questions.json", '[["is it?", "no", 0]]')
  check.error(function() vbl.data.open(f.path, small) end, 'train/questions.json: question 3: answer "maybe" is not in answers.txt')
  local d = vbl.data.open(f.path, {image = 16, max_bad = 0.3})
  check.equal(sizes(d), "train=2 test=1")
  f:write("data/test/questions.json", '[["is it?", "no", 0], 7]')
  check.error(function() vbl.data.open(f.path, small) end, "test/questions.json: question 2: expected [question, answer, image]")
  check.equal(d:split("train"):label(2), 0)
  check.equal(d:split("test"):label(1), 2)
  f:remove()
end)

check.group("cc3m and cc12m", function()
  local f = data_files.new()
  local store = require "vbl.store.c"
  local urls = {"http://a.b/x.jpg?w=3", "http://a.b/dir/y.png", "http://c.d/v2.jpg", "http://e.f/v2.jpg", "http://g.h/gone.jpg"}
  f:image(("training/0_%d"):format(store.crc32(urls[1])), 1)
  for i, name in ipairs {"y.png", "v2.jpg"} do f:image("training/" .. name, i + 1) end
  f:image("validation/z.jpg", 5)
  local lines = {}
  for i, url in ipairs(urls) do lines[i] = ('%scaption %d\t%s\n'):format(i == 2 and '"' or "", i, url) end
  f:write("Train_GCC-training.tsv", table.concat(lines))
  f:write("Validation_GCC-1.1.0-Validation.tsv", "val caption\thttp://i.j/z.jpg\n")
  local d = vbl.data.open(f.path, small)
  check.equal(d.reader.name, "cc3m")
  check.equal(sizes(d), "train=2 val=1")
  check.equal(d:split("train"):caption(2), '"caption 2')  -- a quote is text
  check.equal(d:split("train"):image_id(2), "train/2")
  has(d:describe(), "several URLs end in the name of its image: whose it is cannot be known (v2.jpg)", "no image of its URL (http://g.h/gone.jpg)")
  check.equal(d.set:counts().absent, 3)
  f:remove()
  f = data_files.new()
  f:image("images/y.jpg", 1)
  f:write("cc12m.tsv", "http://a.b/y.jpg\t<PERSON> in a car\nhttp://a.b/n.jpg\tno\n")
  d = vbl.data.open(f.path, {image = 16, test_fraction = 0})
  check.equal(d.reader.name, "cc12m")
  check.equal(d:split("train"):caption(1), "<PERSON> in a car")
  check.error(function() vbl.data.open(f.path, {images = "elsewhere"}) end, "no folder " .. f.path .. "/elsewhere", "webdataset:PATH")
  f:remove()
  f = data_files.new()
  f:image("i/1.jpg", 1)
  f:write("train.csv", 'text,filepath\n"a, b",i/1.jpg\n')
  d = vbl.data.open("cc3m:" .. f.path, {image = 16, test_fraction = 0})
  check.equal(d:split("train"):caption(1), "a, b")
  f:remove()
  -- Rows without an image: the first hundred a line each, then the lines' numbers. A byte-order mark, CRLF, a tab in the caption, names
  -- with and without suffix, and a folder of images elsewhere.
  f = data_files.new()
  local elsewhere = data_files.new()
  for i, name in ipairs {"a", "b.png", "c.jpg", "c.jpeg"} do elsewhere:image("in/" .. name .. ".jpg", i) os.rename(elsewhere.path .. "/in/" .. name .. ".jpg", elsewhere.path .. "/in/" .. name) end
  lines = {"\xEF\xBB\xBFone\thttp://x/a.jpg\r\n", "two\ttabs\thttp://x/b.jpg#z\n", "three\thttp://x/c\n", "no tab\n", "no url\t\n"}
  for i = 6, 300 do lines[i] = ("gone %d\thttp://x/%d.jpg\n"):format(i, i) end
  lines[200] = "four\thttp://x/c.jpg?w=1"  .. "\n"
  f:write("Train_GCC-training.tsv", table.concat(lines))
  d = vbl.data.open("cc3m:" .. f.path, {image = 16, test_fraction = 0, max_bad = 0.5, images = elsewhere.path .. "/in"})
  check.equal(d:size "train", 4)
  check.equal(d:split("train"):caption(1), "one")
  check.equal(d:split("train"):caption(2), "two\ttabs")
  check.equal(d:split("train"):caption(3), "three")  -- c.jpeg, the first file of that stem; c.jpg is the fourth row's
  check.equal(d:split("train"):image_id(3), "train/3")
  local notes = d.set:notes()
  has(notes, "training.tsv:4: expected caption<TAB>url; skipped", "training.tsv:5: expected", "training.tsv:105: no image of its URL (http://x/105.jpg); left out",
      "training.tsv: lines 106-199 201-300: no image of its URL; left out")
  check.ok(not notes:find("http://x/106.jpg", 1, true))
  check.equal(d.set:counts().absent, 294)
  check.equal(d.set:counts().bad_records, 2)
  f:remove()
  elsewhere:remove()
end)

check.group("webdataset", function()
  local f, tar = data_files.new(), data_files.tar
  local function picture(i) return data_files.picture(i, ".jpg") end
  local function sample(key, i, extra)
    local list = {{key .. ".jpg", picture(i), pax = {mtime = "1700000000.25"}}, {key .. ".json", ('{"caption": "json %d", "key": "%s", "status": "success"}'):format(i, key)},
                  {key .. ".txt", "caption " .. i}}
    for _, m in ipairs(extra or {}) do list[#list + 1] = m end
    return list
  end
  local function join(...)
    local all = {}
    for _, list in ipairs {...} do for _, m in ipairs(list) do all[#all + 1] = m end end
    return all
  end
  local long = ("d/"):rep(60) .. "000000003"
  local odd = {
    {"./000000002.jpeg", picture(2), pax = {comment = "all"}, global = true}, {"./000000002.json", '{"caption": "from json"}'},
    {long .. ".jpg", picture(3), long = true}, {long .. ".txt", "long", long = true},
    {"000000004.txt", "no image"}, {"000000005.jpg", picture(5)}, {"000000006.jpg", picture(5):sub(1, 200)}, {"000000006.txt", "cut"},
    {"folder/", "", kind = "5"},
  }
  f:write("00000.tar", tar(join(sample("000000000", 0), odd)))
  check.error(function() vbl.data.open(f.path, small) end, "2 of 6 samples are bad", "000000004: no image; skipped", "000000005: neither txt nor json")
  local d = vbl.data.open(f.path, {image = 16, max_bad = 0.4, test_fraction = 0})
  f:write("split.tsv", "000000000\ttrain\n000000002\tdev\n")
  check.equal(sizes(vbl.data.open(f.path, {image = 16, max_bad = 0.4})), "train=1 dev=1")
  os.remove(f.path .. "/split.tsv")
  local view = d:split("train")
  local at = numbers(view)
  check.equal(view:size(), 3)
  check.equal(view:caption(at["000000000"]), "caption 0")
  check.equal(view:caption(at["000000002"]), "from json")
  check.equal(view:caption(at[long]), "long")
  has(d:describe(), "000000006.jpg: truncated")
  check.near(view:batch({at[long]}).images:totable()[1][1][8][8], 20 + 3 * 37, 2)
  -- A damaged header in the middle, and a shard cut off at its end: the rest is read.
  local whole = tar(join(sample("000010000", 1), sample("000010001", 2), sample("000010002", 3)))
  local second = whole:find("000010001.json", 1, true) - 1
  f:write("00001.tar", whole:sub(1, second) .. ("\xFF"):rep(512) .. whole:sub(second + 513))
  local other = tar(join(sample("000020000", 4), sample("000020001", 5), sample("000020002", 6)))
  f:write("00002.tar", other:sub(1, other:find("000020002.json", 1, true) + 100))
  d = vbl.data.open("webdataset:" .. f.path .. "/{00001..00003}.tar", {image = 16, max_bad = 0.5, test_fraction = 0})
  at = numbers(d:split("train"))
  for _, key in ipairs {"000010000", "000010001", "000010002", "000020000", "000020001"} do check.ok(at[key], key) end
  check.equal(d:split("train"):caption(at["000010001"]), "caption 2")
  has(d:describe(), "00001.tar: byte ", "no tar header; the next one is at byte", "00003.tar: no such shard",
      "000020002: neither txt nor json", "00002.tar: cut off: ")
  f:write("00002.tar", whole:sub(1, whole:find("000010002.txt", 1, true) + 515))
  d = vbl.data.open(f.path .. "/00002.tar", {image = 16, max_bad = 0.5, test_fraction = 0})
  has(d:describe(), "cut off: it ends within 000010002.txt (4 of 9 bytes are there)")
  check.equal(d:split("train"):size(), 3)
  -- Shards that both count from 0.
  f:write("a.tar", tar(sample("000000000", 1)))
  f:write("b.tar", tar(sample("000000000", 2)))
  d = vbl.data.open("webdataset:" .. f.path .. "/?.tar", {image = 16, test_fraction = 0})
  check.ok(numbers(d:split("train"))["a/000000000"] and numbers(d:split("train"))["b/000000000"])
  -- Shards that share a key which is the first of neither; shards of one name in two folders.
  f:write("a.tar", tar(join(sample("000000000", 1), sample("000000007", 2))))
  f:write("b.tar", tar(join(sample("000000001", 3), sample("000000007", 4))))
  d = vbl.data.open("webdataset:" .. f.path .. "/?.tar", {image = 16, test_fraction = 0})
  at = numbers(d:split("train"))
  check.equal(sizes(d), "train=4")
  for id, i in pairs {["a/000000000"] = 1, ["a/000000007"] = 2, ["b/000000001"] = 3, ["b/000000007"] = 4} do
    check.equal(d:split("train"):caption(at[id]), "caption " .. i)
  end
  f:write("split.tsv", "a/000000007\ttrain\nb/000000007\tdev\n")
  check.equal(sizes(vbl.data.open("webdataset:" .. f.path .. "/?.tar", {image = 16})), "train=1 dev=1")
  os.remove(f.path .. "/split.tsv")
  f:write("x/0.tar", tar(sample("000000000", 1)))
  f:write("y/z/0.tar", tar(sample("000000000", 2)))
  d = vbl.data.open("webdataset:" .. f.path .. "/{x,y/z}/0.tar", {image = 16, test_fraction = 0})
  check.ok(numbers(d:split("train"))["x/0/000000000"] and numbers(d:split("train"))["y/z/0/000000000"])
  check.error(function() vbl.data.open("webdataset:" .. f.path .. "/{a,a}.tar", {image = 16, test_fraction = 0}) end, "stands in an earlier record")
  f:write("c.tar", ("no archive "):rep(100))
  check.error(function() vbl.data.open(f.path .. "/c.tar", small) end, "c.tar: shard: ", "no tar archive: its first block is no header")
  f:remove()
end)

check.group("splits", function()
  local f = data_files.new()
  for i = 1, 40 do f:image(("i/%d.jpg"):format(i), i) end
  local lines = {}
  for i = 1, 40 do lines[i] = ("i/%d.jpg\tcaption %d\n"):format(i, i) end
  f:write("c.tsv", table.concat(lines))
  local d = vbl.data.open(f.path .. "/c.tsv", {image = 16, test_fraction = 0.3})
  d:write_split(f.path .. "/written.tsv")
  local again = vbl.data.open(f.path .. "/c.tsv", {image = 16, split = f.path .. "/written.tsv"})
  check.equal(sizes(again), sizes(d))
  check.equal(again:split("test"):image_id(1), d:split("test"):image_id(1))
  -- Equal images under two names in two splits leak; equal texts are said.
  f:image("i/39.jpg", 1)
  f:write("split.tsv", "i/1.jpg\ttrain\ni/2.jpg\ttrain\ni/39.jpg\ttest\ni/40.jpg\ttest\n")
  f:write("c.tsv", table.concat(lines) .. "i/40.jpg\tCAPTION, 2!\n")
  d = vbl.data.open(f.path .. "/c.tsv", {image = 16})
  local text, well = d:check()
  check.equal(well, false)
  has(text, "LEAK: 1 sample of test has an equal image in train (first: i/39.jpg and i/1.jpg)", "note: 1 sample of test has an equal text in train", "NOT OK")
  f:remove()
end)

check.group("what is not known", function()
  local f = data_files.new()
  check.error(function() vbl.data.open(f.path) end, "no data set that is known by its files", "NAME:" .. f.path, "hateful_memes")
  check.error(function() vbl.data.open("hateful_meme:" .. f.path) end, "did you mean 'hateful_memes'?")
  check.error(function() vbl.data.open("coco:" .. f.path) end, "no COCO captions here; expected annotations/")
  check.error(function() vbl.data.open("coco:" .. f.path, {images = "x"}) end, "coco has no option 'images'")
  check.error(function() vbl.data.open("coco") end, "coco needs a path, coco:PATH: annotations/")
  check.error(function() vbl.data.open(f.path .. "/none") end, f.path .. "/none: No such file or folder", "READER:PATH")
  f:write("captions.dat", "a.png,A dog\n")
  check.error(function() vbl.data.open(f.path .. "/captions.dat") end, "name the reader, READER:" .. f.path .. "/captions.dat")
  f:image("img/1.png", 1)
  f:write("train.jsonl", '{"id": "1", "img": "img/1.png", "label": 1, "text": "x"}\n')
  f:write("cc12m.tsv", "http://a/b\tc\n")
  check.error(function() vbl.data.open(f.path) end, "several data sets lie here; choose one: cc12m:" .. f.path, "hateful_memes:" .. f.path)
  f:remove()
end)

check.group("commands", function()
  local f, system = data_files.new(), require "vbl.system.c"
  local function run(...) return system.output {system.executable(), "data", ...} end
  for i = 1, 3 do f:image(("i/%d.jpg"):format(i), i) end
  f:write("train.jsonl", '{"img": "i/1.jpg", "text": "one", "label": 0}\n{"img": "i/2.jpg", "text": "a two", "label": 1}\n')
  f:write("test.jsonl", '{"img": "i/3.jpg", "text": "three", "label": 1}\n')
  local text, code = run("describe", f.path)
  check.equal(code, 0)
  has(text, "2 training pairs, 1 held out", "found JSON lines", "2 classes (class)")
  text, code = run("check", f.path)
  check.equal(code, 0)
  has(text, "no two splits have a sample in common", "ok")
  text, code = run("show", f.path, "2", f.path .. "/out.png", "image=32", "task=mlm")
  check.equal(code, 0)
  has(text, "sample 2 of train: i/2.jpg#2", "label:   1 (1)", "predict: ")
  check.equal(table.concat(vbl.load(f.path .. "/out.png"):shape(), "x"), "3x32x32")
  f:image("i/3.jpg", 1)
  text, code = run("check", f.path)
  check.equal(code, 1)
  has(text, "LEAK: 1 sample of test has an equal image in train", "NOT OK")
  -- More bad images than a run takes: it lists them all and says what a run would.
  local lines = {}
  for i = 1, 6 do lines[i] = ("i/%d.jpg\tcaption %d\n"):format(i, i) end
  f:write("c.tsv", table.concat(lines))
  text, code = run("check", f.path .. "/c.tsv")
  check.equal(code, 1)
  has(text, "i/4.jpg", "i/5.jpg", "i/6.jpg: No such file", "NOT OK: " .. f.path .. "/c.tsv: 3 of 6 images are bad (not there: 3), more than max_bad = 0.01 of them\n")
  text, code = run("check", f.path .. "/c.tsv", "max_bad=0.5")
  check.equal(code, 0)
  has(text, "3 bad images", "\nok\n")
  f:remove()
end)

check.done()

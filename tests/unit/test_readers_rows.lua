-- Sets of one's own: tables with a header, JSON lines as the datasets library has them, images with texts beside them; what is read, what is
-- skipped and why.
local check = require "check"
local csv = require "vbl.data.csv"
local data_files = require "data_files"
local vbl = require "vbl"

local has, sizes = data_files.has, data_files.sizes

local all = {image = 16, max_bad = 0, test_fraction = 0}

-- The rows of a table as "a|b" each, and what was skipped.
local function parsed(f, bytes)
  local path, rows, skipped = f:write("t.csv", bytes), {}, {}
  csv.each(path, {skip = function(_, number, why) skipped[#skipped + 1] = number .. ": " .. why end}, function(number, row)
    rows[#rows + 1] = ("%d %s|%s"):format(number, row.a, row.b)
  end)
  return table.concat(rows, "/"), table.concat(skipped, "/")
end

check.group("csv: quotes, separators, line ends", function()
  local f = data_files.new()
  local function is(bytes, rows, skipped)
    local found, wrong = parsed(f, bytes)
    check.equal(found, rows)
    check.equal(wrong, skipped or "")
  end
  is('a,b\n1,2\n"x, y","say ""hi"""\n', '2 1|2/3 x, y|say "hi"')
  is('\xEF\xBB\xBF A ;B\r\n1,5;2\r\n"p"; "q"\r\n', "2 1,5|2/3 p|q")
  is('b\ta\n2\t1', "2 1|2")
  is('a,b\n"one\ntwo",x\ny,\n', "2 one\ntwo|x/4 y|")
  is('a,b\n,\n\n"",""\n', "2 |/4 |")
  is('a,b\n1\n1,2,3\n"1"x,2\n5,6\n', "5 5|6", "2: 1 field; the header has 2/3: 3 fields; the header has 2/4: text after a closing quote")
  is('a,b\n5" nail,"x"\n1,2\n7" nail,y\n', '2 5" nail|x/3 1|2/4 7" nail|y')  -- a quote within a field is a letter
  -- One too many at a field's beginning: the rows behind it are read all the same, also those up to the next such.
  is('a,b\nx,"5 nail\n1,2\n3,4\ny,"7 nail\n5,6\n', "3 1|2/4 3|4/6 5|6", "2: a quote does not close/5: a quote does not close")
  is('a,b\n"x,5\n1,2\n3,"4"\n', "3 1|2/4 3|4", "2: a quote does not close")
  is('a,b\n1,2\n"open,3\n4,5\n', "2 1|2/4 4|5", "3: a quote does not close")
  is('a,b\n5" x 7" nail,2\n', '2 5" x 7" nail|2')
  is("", "")
  is("a,b\n", "")
  local long = {}
  for i = 1, 3000 do long[i] = ("%d,%d\n"):format(i, i) end
  long[1] = '"1,1\n'
  local found, wrong = parsed(f, "a,b\n" .. table.concat(long))
  check.equal(select(2, found:gsub("/", "")), 2998)
  check.equal(wrong, "2: a quote does not close")
  f:remove()
end)

check.group("captions: a third column is no part of the caption", function()
  local f = data_files.new()
  for i = 1, 3 do f:image(("i/%d.png"):format(i), i) end
  f:write("pairs.tsv", "i/1.png\tA dog\t1\ni/2.png\tA cat\t0\n")
  check.error(function() vbl.data.open(f.path .. "/pairs.tsv", all) end, "2 of 2 lines are bad", "a second tab; expected path<TAB>caption (itm:FOLDER reads labelled pairs, csv:FILE tables with a header)")
  f:write("cc12m.tsv", "http://a/1.png\tA dog\t0.1\tsafe\n")
  f:image("images/1.png", 1)
  check.equal(vbl.data.open("cc12m:" .. f.path, all):split("train"):caption(1), "A dog")
  f:write("train.csv", 'text,filepath\n"one\ntwo, three",i/3.png\n')
  check.equal(vbl.data.open("cc3m:" .. f.path .. "/train.csv", all):split("train"):caption(1), "one two, three")
  f:remove()
end)

check.group("a shard without its end says so", function()
  local f = data_files.new()
  local members = {}
  for i = 1, 4 do
    members[#members + 1] = {("%04d.png"):format(i), data_files.picture(i, ".png")}
    members[#members + 1] = {("%04d.txt"):format(i), "caption " .. i}
  end
  local whole = data_files.tar(members)
  f:write("a.tar", whole)
  local d = vbl.data.open(f.path .. "/a.tar", all)
  check.equal(sizes(d), "train=4")
  check.ok(not d.set:notes():find "cut off")
  local stop = #whole
  while whole:sub(stop, stop) == "\0" do stop = stop - 1 end
  f:write("a.tar", whole:sub(1, (stop + 511) // 512 * 512))  -- behind a member, with no block of zeros
  d = vbl.data.open(f.path .. "/a.tar", all)
  check.equal(sizes(d), "train=4")
  has(d.set:notes(), "a.tar: the archive's end is missing: it was cut off, and samples may be missing")
  f:remove()
end)

check.group("a table: labels, splits of rows, ids, several captions of an image", function()
  local f = data_files.new()
  for i = 1, 5 do f:image(("i/%d.png"):format(i), i) end
  f:write("own.csv", 'Image,Caption,label,split,id\ni/1.png,"A dog, running",dog,train,one\ni/2.png,A  cat,cat,train,two\ni/3.png,A bird,bird,validation,\n' ..
                     "i/4.png,A cat,cat,test,\ni/5.png,A dog,,test,\ni/5.png,A dog,dog,,\ni/5.png,A dog,dog,tset,\n")
  check.error(function() vbl.data.open(f.path .. "/own.csv", all) end, "own.csv: 1 of the 1 rows of val have labels that no training row has")
  local d = vbl.data.open(f.path .. "/own.csv", {image = 16, max_bad = 1})
  check.equal(d.reader.name, "csv")
  has(d.set:notes(), 'own.csv:4: label "bird" is not among the classes of the training file; skipped', "own.csv:7: no split, where other rows have one; skipped", 'own.csv:8: split "tset"; expected train, dev,')
  check.equal(sizes(d), "train=2 test=2")
  local kind, names = d:labels()
  check.equal(kind .. table.concat(names, ","), "classcat,dog")
  local train = d:split "train"
  check.equal(train:image_id(1) .. train:caption(1) .. train:label(1), "oneA dog, running1")
  check.equal(train:caption(2), "A cat")
  check.equal(d:split("test"):label(2), nil)
  f:write("plain.csv", "caption;file_name\none;i/1.png\ntwo;i/1.png\nthree;i/2.png\n")
  d = vbl.data.open("csv:" .. f.path .. "/plain.csv", all)
  check.equal(sizes(d), "train=3")
  check.equal(d:labels(), nil)
  check.equal(d:split("train"):image_key(1), d:split("train"):image_key(2))
  -- Numbers are classes; with no column that is an image or a text the error says so.
  f:write("train.csv", "path,sentence,label\ni/1.png,a,10\ni/2.png,b,0\n")
  f:write("dev.csv", "path,sentence,label\ni/3.png,c,10\n")
  f:write("notes.csv", "who,what\nx,y\n")
  d = vbl.data.open(f.path, all)
  check.equal(sizes(d), "train=2 dev=1")
  check.equal(#select(2, d:labels()) .. " " .. d:split("dev"):label(1), "11 10")
  check.error(function() vbl.data.open(f.path .. "/notes.csv") end, 'notes.csv: the header is "who,what"; expected a column for the image')
  f:write("train.csv", "path,sentence,label\ni/1.png,a,10\ni/2.png,b,x\n")
  check.error(function() vbl.data.open(f.path, all) end, "train.csv: some labels are numbers and some are strings")
  f:remove()
end)

check.group("labels of rows: numbers and strings are not taken for each other", function()
  local f = data_files.new()
  for i = 1, 6 do f:image(("i/%d.png"):format(i), i) end
  local function set(extension, parts)
    for name, lines in pairs(parts) do f:write(name .. "." .. extension, lines) end
    local d = vbl.data.open(f.path, {image = 16, max_bad = 0.5, test_fraction = 0})
    local kind, names = d:labels()
    return d, kind and table.concat(names, ",") or nil
  end
  -- Names that look like numbers are names on every split.
  local d, names = set("jsonl", {train = '{"img": "i/1.png", "text": "a", "label": "1"}\n{"img": "i/2.png", "text": "b", "label": "2"}\n{"img": "i/3.png", "text": "c", "label": -1}\n',
                                 test = '{"img": "i/4.png", "text": "a", "label": 1}\n{"img": "i/5.png", "text": "b", "label": 2}\n'})
  check.equal(names, "1,2")
  check.equal(d:split("test"):label(1) .. "" .. d:split("test"):label(2), "01")
  check.equal(d:split("train"):label(3), nil)
  d, names = set("jsonl", {train = '{"img": "i/1.png", "text": "a", "labels": true}\n{"img": "i/2.png", "text": "b", "labels": false}\n', test = ""})
  check.equal(names .. d:split("train"):label(1), "false,true1")
  has(d.set:notes(), "test.jsonl: no rows")
  d, names = set("jsonl", {train = '{"img": "i/1.png", "text": "a", "label": 0.5, "who": 1}\n{"img": "i/2.png", "text": "b", "label": 1.0}\n{"img": "i/3.png", "text": "b"}\n'})
  check.equal(names, "0,1")
  has(d.set:notes(), "train.jsonl:1: label 0.5; expected a whole number, a string, true or false; skipped", "no training row has the label 0: numbers count from 0", "fields that are not read: who")
  f:remove()
  -- An empty field makes a column of numbers one of 1.0, 2.0.
  f = data_files.new()
  for i = 1, 6 do f:image(("i/%d.png"):format(i), i) end
  d, names = set("csv", {train = "image,text,label\ni/1.png,a,0.0\ni/2.png,b,1.0\ni/3.png,c,\n", valid = "image,text,label\ni/4.png,a,1\ni/5.png,b,0\n"})
  check.equal(names, "0,1")
  check.equal(sizes(d), "train=3 val=2")
  check.equal(d:split("val"):label(1) .. "" .. d:split("val"):label(2), "10")
  f:write("test.csv", "picture,text,label\ni/6.png,a,1\n")
  check.error(function() vbl.data.open(f.path, all) end, 'test.csv: the header is "picture,text,label"; expected a column for the image')
  f:remove()
end)

check.group("labels of tables as they are written", function()
  local f = data_files.new()
  for i = 1, 4 do f:image(("i/%d.png"):format(i), i) end
  local function of(rows)
    f:write("t.csv", "image,text,label\n" .. rows)
    local d = vbl.data.open(f.path .. "/t.csv", {image = 16, max_bad = 0.5, test_fraction = 0})
    return table.concat(select(2, d:labels()), ","), d
  end
  check.equal(of "i/1.png,a,007\ni/2.png,b,7a\n", "007,7a")
  check.equal(of 'i/1.png,a,"[0, 1]"\ni/2.png,b,[]\n', "0,1")
  local names, d = of "i/1.png,a,0.25\ni/2.png,b,1\n./i//2.png,c,0\n"
  check.equal(names, "0,1")
  has(d.set:notes(), "t.csv:2: label 0.25; expected a whole number")
  check.equal(d:split("train"):image_key(1), d:split("train"):image_key(2))
  f:write("t.csv", "image,text,label,label\ni/1.png,a,0,1\n")
  check.error(function() vbl.data.open(f.path .. "/t.csv") end, "t.csv: two columns are named 'label'")
  f:write("t.jsonl", '{"image": "i/1.png", "img": "i/2.png", "text": "a", "caption": "b", "label": null, "labels": 1}\n{"image": "i/3.png", "text": "c", "labels": 0}\n')
  d = vbl.data.open(f.path .. "/t.jsonl", all)
  check.equal(table.concat(select(2, d:labels()), ","), "0,1")
  has(d.set:notes(), "fields that are not read: caption, image, label")
  -- A class that the division leaves to the test split alone is told.
  f:write("t.csv", "image,text,label\ni/1.png,a,0\ni/2.png,b,1\ni/3.png,c,2\ni/4.png,d,0\n")
  local splits = f:write("s.tsv", "i/1.png#2\ttrain\ni/2.png#3\ttrain\ni/3.png#4\ttest\ni/4.png#5\ttest\n")
  d = vbl.data.open(f.path .. "/t.csv", {image = 16, max_bad = 0, split = splits})
  has(d:describe(), "1 of the 2 labelled samples of test have a class that no sample of train has: 2")
  f:remove()
end)

check.group("metadata.jsonl and metadata.csv of a folder of images, and of one a split", function()
  local f = data_files.new()
  for i = 1, 3 do f:image(("train/%d.png"):format(i), i) end
  f:image("validation/1.png", 4)
  f:write("train/metadata.jsonl", '{"file_name": "1.png", "text": "one"}\n{"file_name": "2.png", "caption": "two"}\n')
  f:write("validation/metadata.csv", "file_name,text\n1.png,other\n")
  f:write("validation/metadata.jsonl", '{"file_name": "1.png", "text": "three"}\n')
  local d = vbl.data.open("jsonl:" .. f.path, all)
  check.equal(sizes(d), "train=2 val=1")
  check.equal(d:split("train"):caption(2), "two")
  check.equal(d:split("val"):image_id(1), "validation/1.png#1")
  check.error(function() vbl.data.open(f.path, all) end, "several data sets lie here; choose one: jsonl:", "csv:")
  f:write("train/metadata.jsonl", '{"file_name": "1.png", "text": "one"}\n{"file_name": "2.png"}\n{"text": "two"}\n')
  check.error(function() vbl.data.open("jsonl:" .. f.path, all) end, "2 of 4 lines are bad", 'metadata.jsonl:2: no image ("img", "image", "file_name"')
  f:remove()
  f = data_files.new()
  for i = 1, 2 do f:image(("%d.png"):format(i), i) end
  f:write("metadata.csv", "file_name,text\n1.png,one\n2.png,two\n")
  d = vbl.data.open(f.path, all)
  check.equal(d.reader.name .. " " .. sizes(d), "csv train=2")
  f:remove()
end)

check.group("images with texts beside them", function()
  local f = data_files.new()
  f:image("00000/000000001.jpg", 1)
  f:write("00000/000000001.txt", "A dog\n runs ")
  f:write("00000/000000001.json", "{}")
  f:image("00001/000000002.png", 2)
  f:write("00001/000000002.txt", "Two")
  local d = vbl.data.open(f.path, all)
  check.equal(d.reader.name .. " " .. sizes(d), "files train=2")
  check.equal(d:split("train"):image_id(1) .. ": " .. d:split("train"):caption(1), "00000/000000001: A dog runs")
  f:write("README.txt", "about")
  f:image("00001/000000003.jpg", 3)
  check.error(function() vbl.data.open(f.path, all) end, "1 of 3 samples are bad", "00001/000000003.jpg: no text 000000003.txt beside it; skipped")
  d = vbl.data.open(f.path, {image = 16, max_bad = 0.5, test_fraction = 0})
  has(d.set:notes(), "README.txt: no image beside it; left out")
  f:remove()
  f = data_files.new()
  for i, split in ipairs {"train", "val", "test"} do
    f:image(split .. "/cats/x.jpg", i)
    f:write(split .. "/cats/x.txt", split)
  end
  d = vbl.data.open("files:" .. f.path, all)
  check.equal(sizes(d), "train=1 test=1 val=1")
  check.equal(d:split("val"):caption(1), "val")
  f:image("y.jpg", 5)
  f:write("y.txt", "y")
  check.error(function() vbl.data.open("files:" .. f.path, all) end, "y.jpg: in none of the folders of splits; skipped")
  check.error(function() vbl.data.open("files:" .. f.path .. "/y.txt", all) end, "no folder; expected NAME.jpg")
  f:remove()
  f = data_files.new()
  f:image("a/x.jpg", 1)
  f:write("a/x.txt", "x")
  f:image("a/x.png", 2)
  require("vbl.system.c").run {"ln", "-s", ".", f.path .. "/a/loop"}
  d = vbl.data.open("files:" .. f.path, all)
  check.equal(sizes(d), "train=1")
  has(d.set:notes(), "a/loop/: the same folder as a/; read once", "a/x.png: another file of its name was taken; left out")
  f:remove()
end)

check.done()

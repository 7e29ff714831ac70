-- Fine-tuning on soft targets, from the files of VQA v2 to a table: ten people's answers to questions about drawn scenes, some of whom say
-- something else. The score is checked against the official metric on the answers themselves, not on what the reader made of them.
local check = require "check"
local trainer = require "trainer"
local c = require "vbl.store.c"
local data_files = require "data_files"
local vbl = require "vbl"

local files = data_files.new()
local people = {}  -- question id -> answer -> how many of the ten

-- Of ten: seven to ten give the answer, the others one that does not fit; answers as people type them.
local function ask(i, right)
  local n, other, said = 7 + i % 4, i % 3 == 0 and "not sure" or "Don't know!", {}
  for k = 1, 10 do said[k] = k <= n and (k % 2 == 0 and right:upper() or " " .. right .. ".") or other end
  return said, {[right] = n, [i % 3 == 0 and "not sure" or "don't know"] = 10 - n}
end

local names

-- A split of VQA v2 from a view of questions about scenes; two questions an image.
local function write(view, split, first, count, labelled)
  local questions, annotations = {}, {}
  for i = 1, count do
    local at, id = first + i, first * 100 + i
    local image = first + (i + 1) // 2
    if i % 2 == 1 then vbl.save(("%s/%s/COCO_%s_%012d.jpg"):format(files.path, split, split, image), view:batch({at}).images:reshape(3, 64, 64)) end
    local shown = i % 2 == 1 and at or at - 1  -- the second question is about the first one's picture
    local text, answer = view:caption(shown), names[view:label(shown) + 1]
    local said
    said, people[tostring(id)] = ask(i, answer)
    for k, word in ipairs(said) do said[k] = {answer = word, answer_confidence = "yes", answer_id = k} end
    questions[i] = {image_id = image, question = text, question_id = id}
    annotations[i] = {question_type = "what", multiple_choice_answer = answer, answers = said, image_id = image, answer_type = "other", question_id = id}
  end
  files:write(("v2_OpenEnded_mscoco_%s_questions.json"):format(split), c.json_encode {questions = questions})
  if labelled then files:write(("v2_mscoco_%s_annotations.json"):format(split), c.json_encode {annotations = annotations}) end
end

do
  local scenes = vbl.data.open("scenes", {train = 260, test = 8, questions = true, seed = 5, image = 64, patch = 16})
  local _, classes = scenes:labels()
  names = classes
  local view = scenes:split "train"
  for _, split in ipairs {"train2014", "val2014", "test2015"} do c.make_folder(files.path .. "/" .. split) end
  write(view, "train2014", 0, 120, true)
  write(view, "val2014", 120, 60, true)
  write(view, "test2015", 180, 20, false)
end

local function words(...)
  return {trainer.finetune, "--threads", "1", "data=vqa2:" .. files.path, "captions.min_occurrences=3", "model.image=64", "model.dim=32", "model.dropout=0", "head.hidden=32",
          "lr=3e-3", "epochs=12", "probe_samples=8", script = true, ...}
end

local function predictions(run, split)
  local lines = {}
  for line in io.lines(("%s/predictions/%s.jsonl"):format(run, split)) do lines[#lines + 1] = c.json_decode(line) end
  return table.remove(lines, 1), lines
end

-- The official metric: the mean over the ten sets of nine people of min(1, those who said so / 3).
local function official(said, answer)
  local n, sum = said[answer] or 0, 0
  for left_out = 1, 10 do sum = sum + math.min(1, (n - (left_out <= n and 1 or 0)) / 3) end
  return sum / 10
end

local function metric(run, epoch, split, name)
  for _, row in ipairs(require("vbl.runs.metrics").read(run .. "/metrics.jsonl")) do
    if row.epoch == epoch and row.split == split and row.name == name then return row.value end
  end
end

local runs = {}
check.group("trained on soft targets, scored as VQA is", function()
  local run, text = trainer.expect(0, words "--seed=1", "task vqa2: soft", "val vqa_accuracy", "best checkpoint on val: loss", "the test split is locked")
  local r, header, lines = vbl.load(run .. "/result.json"), predictions(run, "val")
  check.equal(header.task .. header.kind .. header.data_split, "vqa2softval")
  check.equal(#lines, 60)
  local sum = 0
  for _, line in ipairs(lines) do
    local best = 1
    for k, score in ipairs(line.scores) do best = score > line.scores[best] and k or best end
    sum = sum + official(people[line.id], header.classes[best])
  end
  check.near(sum / 60, r.values["val.vqa_accuracy"], 1e-6)
  check.equal(r.best.metric, "vqa_accuracy")
  check.near(metric(run, r.best.epoch, "val", "vqa_accuracy.vqa2"), r.best.value, 1e-12)
  for epoch = 1, 12 do check.ok(metric(run, epoch, "val", "vqa_accuracy.vqa2") <= r.best.value) end
  local low, high = table.unpack(r.intervals["val.vqa_accuracy"])
  check.ok(low < r.best.value and r.best.value < high)
  -- Twenty classes and more: the loss is their sum, and falls; what one answer gives to all is the bar.
  check.ok(metric(run, 12, "train", "loss.vqa2") < 0.6 * metric(run, 1, "train", "loss.vqa2"), text)
  local always = 0
  for _, answer in ipairs(header.classes) do
    local total = 0
    for _, line in ipairs(lines) do total = total + official(people[line.id], answer) end
    always = math.max(always, total / 60)
  end
  check.ok(r.best.value > always, ("%.3f is no better than always the same answer, %.3f"):format(r.best.value, always))
  runs[1] = run
end)

check.group("the test split: locked, then predicted; its labels nobody has", function()
  local run = trainer.expect(0, words("--seed=2", "--final"), "test: no sample of it has a label: its predictions are written, and nothing is scored")
  local header, lines = predictions(run, "test")
  check.equal(#lines .. header.split .. header.data_split, "20testtest")
  check.equal(lines[1].label, c.null)
  check.equal(vbl.load(run .. "/result.json").values["test.vqa_accuracy"], nil)
  check.ok(not require("vbl.system.c").exists(runs[1] .. "/predictions/test.jsonl"))
  runs[2] = run
end)

check.group("both seeds in a table and on a page", function()
  local t = vbl.report.table({{name = "fused", runs = runs}}, {split = "val"})
  local cell = t.rows[1].cells[1]
  check.equal(t.columns[1].metric .. cell.n, "vqa_accuracy2")
  for i, run in ipairs(runs) do check.near(cell.values[i], vbl.load(run .. "/result.json").values["val.vqa_accuracy"], 1e-6) end
  check.ok(cell.low < cell.mean and cell.mean < cell.high)
  local page = c.read_file(vbl.report.html(runs, {out = trainer.folder .. "/both.html"}))
  local part = page:match '<section id="comparison">(.-)</section>'
  check.ok(part:find("vqa_accuracy", 1, true) and part:find("(2) <small>", 1, true), part:sub(1, 600))
  check.ok(page:match('<section id="samples">(.-)</section>'):find("label: ", 1, true))
end)

files:remove()
trainer.finish()

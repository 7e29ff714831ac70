-- What a data set says about itself: about.describe(data), about.check(data, opts), about.apart(data, a, b), about.show(data, i, opts).
-- Methods of data sets of the same names call these.
local columns = require "vbl.columns"

local about = {}

-- "1 sample", "3 samples"
local function count(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end
about.count = count

local LINES = 100  -- notes shown; data:write_notes(path) has all

-- Every note ends in a line end. Of millions only the first are cut out.
local function shorten(text)
  local kept, next_line = {}, 1
  while #kept < LINES and next_line <= #text do
    local stop = text:find("\n", next_line, true)
    kept[#kept + 1], next_line = text:sub(next_line, stop - 1), stop + 1
  end
  local _, more = text:sub(next_line):gsub("\n", "\n")
  if more > 0 then kept[#kept + 1] = ("... and %d more lines (data:write_notes(path) writes all)"):format(more) end
  return kept
end

local function share(n, all) return all > 0 and ("%d (%.1f %%)"):format(n, 100 * n / all) or "0" end

-- Names at the left, numbers at the right.
local function table_of(rows)
  for _, row in ipairs(rows) do
    for j, cell in ipairs(row) do row[j] = tostring(cell) end
  end
  local lines = columns(rows, function(_, j) return j > 1 end)
  for i, line in ipairs(lines) do lines[i] = "  " .. line end
  return lines
end

local function split_table(data, stats)
  local rows = {{"split", "samples", "texts", "repeated", "tokens: mean", "median", "p99", "most"}}
  local labelled = data:labels() ~= nil
  if labelled then table.insert(rows[1], "unlabelled") end
  for _, s in ipairs(stats) do
    rows[#rows + 1] = {s.name, s.samples, s.texts, s.repeated, ("%.1f"):format(s.mean), s.median, s.p99, s.most, labelled and s.unlabelled or nil}
  end
  return table_of(rows)
end

-- The classes with their samples in each split: all of them, or the most and least frequent of many.
local function class_table(data, stats)
  local kind, names = data:labels()
  if not kind then return {} end
  local rows, order = {{("%d classes (%s)"):format(#names, kind)}}, {}
  for _, s in ipairs(stats) do table.insert(rows[1], s.name) end
  for i = 1, #names do order[i] = i end
  if #names > 30 then
    table.sort(order, function(i, j)
      local a, b = stats[1].classes[i], stats[1].classes[j]
      return a > b or a == b and i < j
    end)
  end
  for place, i in ipairs(order) do
    if #names <= 30 or place <= 10 or place > #names - 5 then
      local row = {names[i]}
      for _, s in ipairs(stats) do row[#row + 1] = share(s.classes[i], s.labelled) end
      rows[#rows + 1] = row
    elseif place == 11 then
      rows[#rows + 1] = {("... %d more"):format(#names - 15)}
    end
  end
  return table_of(rows)
end

-- Labels that a model never meets in training: whatever it learns, it gets them wrong.
local function untaught(data, stats)
  local kind, names = data:labels()
  local lines = {}
  if kind ~= "class" then return lines end
  for s = 2, stats[1].name == "train" and #stats or 1 do
    local samples, classes = 0, {}
    for i = 1, #names do
      if stats[1].classes[i] == 0 and stats[s].classes[i] > 0 then samples, classes[#classes + 1] = samples + stats[s].classes[i], names[i] end
    end
    if samples > 0 then
      lines[#lines + 1] = ("%d of the %d labelled samples of %s have a class that no sample of train has: %s"):format(samples, stats[s].labelled, stats[s].name,
                                                                                                         table.concat(classes, ", ", 1, math.min(#classes, 5)) .. (#classes > 5 and ", ..." or ""))
    end
  end
  return lines
end

local function all_stats(data)
  local list = {}
  for i, split in ipairs(data:splits()) do
    list[i] = data.set:stats(split.name)
    list[i].name = split.name
  end
  return list
end

-- One line, then tables of splits and classes, then what opening skipped, cut or found odd.
function about.describe(data)
  local n, sizes = data.set:counts(), {}
  for _, split in ipairs(data:splits()) do
    sizes[#sizes + 1] = split.name == "train" and count(split.size, "training pair") or split.name == "test" and split.size .. " held out" or
      ("%d %s"):format(split.size, split.name)
  end
  local lines = {("data %s: %s, %s, images %dx%d, %d tokens in the vocabulary, %s"):format(
    data.name, table.concat(sizes, ", "), count(n.captions, "caption"), data.image, data.image, data.tokenizer:size(), data:hash())}
  if data.found then lines[#lines + 1] = "found " .. data.found end
  if data.reader then
    local stats = all_stats(data)
    table.move(split_table(data, stats), 1, #stats + 1, #lines + 1, lines)
    local classes = class_table(data, stats)
    table.move(classes, 1, #classes, #lines + 1, lines)
    local lacking = untaught(data, stats)
    table.move(lacking, 1, #lacking, #lines + 1, lines)
  end
  if n.bad_records + n.bad_images + n.absent > 0 then
    lines[#lines + 1] = ("skipped: %s, %s; left out: %d"):format(count(n.bad_records, "bad record"), count(n.bad_images, "bad image"), n.absent)
  end
  local notes = shorten(data.set:notes())
  table.move(notes, 1, #notes, #lines + 1, lines)
  return table.concat(lines, "\n")
end

local signs = {id = "the same id", image = "an equal image", text = "an equal text"}

local function meeting_text(m)
  return ("%s: %s of %s %s %s in %s (first: %s and %s)"):format(m.sign == "text" and "note" or m.a == "train" and "LEAK" or "note", count(m.count, "sample"),
         m.b, m.count == 1 and "has" or "have", signs[m.sign], m.a, m.id_b, m.id_a)
end

-- Reads every image; compares every two splits by id, by the images' bytes and by text (letters and digits alone). -> text, whether all is
-- well: no image of another split is in train, no id, and every image can be decoded. Equal texts are said, but are no fault: questions and
-- memes repeat.
function about.check(data)
  local meetings, repeated = data.set:meetings(data.reader ~= nil)
  local lines, well = {}, repeated.unreadable == 0
  for _, m in ipairs(meetings) do
    lines[#lines + 1] = meeting_text(m)
    if m.a == "train" and m.sign ~= "text" then well = false end
  end
  if #meetings == 0 then lines[1] = "no two splits have a sample in common, by id, image or text" end
  if repeated.image + repeated.text > 0 then
    lines[#lines + 1] = ("within splits: %d of the samples with an earlier one's image, %d with its text"):format(repeated.image, repeated.text)
  end
  lines[#lines + 1] = ("%s of those in the splits cannot be decoded"):format(count(repeated.unreadable, "image"))
  for line in repeated.report:gmatch "[^\n]+" do lines[#lines + 1] = "  " .. line end
  lines[#lines + 1] = well and "ok" or "NOT OK"
  return table.concat(lines, "\n"), well
end

-- An error when a sample of split b is in split a by id. (By image: check.)
function about.apart(data, a, b)
  for _, m in ipairs((data.set:meetings(false))) do
    if m.sign == "id" and (m.a == a and m.b == b or m.a == b and m.b == a) then
      local why = a == "train" and "a probe set must not meet the training set" or "what is chosen on one says nothing on the other"
      error(("data %s: %s of %s %s also in %s (the first: %s); %s; `vbl data check` lists all, split=FILE divides anew"):format(
        data.name, count(m.count, "sample"), b, m.count == 1 and "is" or "are", a, m.id_a, why), 0)
    end
  end
end

local function tokens_text(data, ids)
  local words = {}
  for i, id in ipairs(ids) do words[i] = data.tokenizer:token(id) end
  return table.concat(words, " ")
end

local function hide_patches(image, mask, patch)
  local values, side = image:totable(), image:size(2)
  for y = 1, side do
    for x = 1, side do
      if mask[((y - 1) // patch) * (side // patch) + (x - 1) // patch + 1] == 1 then
        for c = 1, 3 do values[c][y][x] = 128 end
      end
    end
  end
  return require("vbl").tensor(values, {dtype = "u8"})
end

local tasks = {}

function tasks.mlm(view, batch, o, lines)
  local masked, labels = view:mask_tokens(batch.tokens, batch.lengths, {probability = o.probability or 0.15, seed = o.seed or 0, step = o.step or 1})
  lines[#lines + 1] = "masked:  " .. tokens_text(view.data, masked:totable()[1])
  local wanted = {}
  for t, label in ipairs(labels:totable()[1]) do
    if label ~= -100 then wanted[#wanted + 1] = ("%d: %s"):format(t, view.data.tokenizer:token(label)) end
  end
  lines[#lines + 1] = "predict: " .. (#wanted > 0 and table.concat(wanted, ", ") or "nothing (no token was drawn)")
  return batch.images
end

function tasks.ap(view, batch, o, lines)
  local s = view:swap_captions(batch, {seed = o.seed or 0, step = o.step or 1, epoch = o.epoch or 0})
  lines[#lines + 1] = "caption: " .. tokens_text(view.data, s.tokens:totable()[1])
  lines[#lines + 1] = ("match:   %d%s"):format(s.labels[1], s.labels[1] == 0 and (" (the caption of sample %d)"):format(s.from[1]) or "")
  return batch.images
end

function tasks.mim(view, batch, o, lines)
  local mask = view:mask_patches(1, {probability = o.probability or 0.3, seed = o.seed or 0, step = o.step or 1}):totable()[1]
  local hidden = 0
  for _, m in ipairs(mask) do hidden = hidden + m end
  lines[#lines + 1] = ("patches: %d of %d hidden (gray in the picture)"):format(hidden, #mask)
  return hide_patches(batch.images:narrow(1, 1, 1):reshape(3, view.data.image, view.data.image), mask, view.data.patch)
end

local function label_text(view, i)
  local kind, names = view.data:labels()
  if not kind then return "none" end
  local label = view:label(i)
  if label == nil then return "not known" end
  if kind == "class" then return ("%d (%s)"):format(label, names[label + 1]) end
  local list = {}
  if kind == "multi" then
    for k, class in ipairs(label) do list[k] = names[class + 1] end
  else
    for class, weight in pairs(label) do list[#list + 1] = ("%s %.1f"):format(names[class + 1], weight) end
    table.sort(list)
  end
  return #list > 0 and table.concat(list, ", ") or "none of the classes"
end

-- Sample i of a split as the model gets it -> {image = u8 [3, S, S], text = lines}. opts: split ("train"), epoch (0: whose turn it is among
-- several captions), task ("mlm", "ap" or "mim": with what it hides or swaps; probability, seed, step of its draw).
function about.show(data, i, o)
  o = o or {}
  local view = data:split(o.split or "train")
  local id = view:image_id(i)
  local batch = view:batch({i}, {epoch = o.epoch or 0})
  local mean, std = data.mean, data.std
  local lines = {
    ("sample %d of %s: %s"):format(i, o.split or "train", id),
    ("text:    %s"):format(data.tokenizer:decode(batch.tokens:totable()[1])),
    ("tokens:  %s"):format(tokens_text(data, batch.tokens:totable()[1])),
    ("ids:     %s"):format(table.concat(batch.tokens:totable()[1], " ")),
    ("label:   %s"):format(label_text(view, i)),
    ("pixels:  %dx%d; the model gets (v / 255 - mean) / std, mean %g %g %g, std %g %g %g"):format(data.image, data.image, mean[1], mean[2], mean[3],
      std[1], std[2], std[3]),
  }
  local image = batch.images
  if o.task then
    local task = tasks[o.task]
    if not task then error(("show: no task '%s' (mlm, ap, mim)"):format(o.task), 0) end
    image = task(view, batch, o, lines)
  end
  return {image = image:reshape(3, data.image, data.image):contiguous(), text = table.concat(lines, "\n")}
end

return about

-- Samples of a page: what the model was shown and what it said.
--   samples(run, n) -> markup, or nil and why there are none     n: runs in the page, which share its room
-- A run with predictions: some of the furthest from their label and some evenly from the split. Else held-out pairs with the tasks' views of
-- them: the caption with masked words, the caption that alignment prediction puts in its place.
local markup = require "vbl.report.markup"
local scores = require "vbl.report.scores"
local sorted_keys = require "vbl.sorted_keys"

local WORST, EVEN, PLAIN, CLASSES = 8, 4, 8, 3

local e, text = markup.element, markup.text

-- Of so many of one run, how many where n share a page.
local function share(most, n) return n <= 2 and most or math.max(math.min(2, most), 2 * most // n) end

-- The picture of a sample with its caption of that number (1).
local function picture(view, i, caption)
  local batch = view:batch({i}, {caption = caption or 1})
  local shape = batch.images:shape()
  local uri, small = markup.image(batch.images:reshape(3, shape[3], shape[4]):contiguous())
  return e("img", {src = uri, alt = "image " .. view:image_id(i), class = small and "small" or nil, loading = "lazy"}), batch
end

local function card(...) return e("div", {class = "sample"}, ...) end

-- ---- held-out pairs

local function words(data, ids, marked)
  local parts = {}
  for i = 2, #ids do
    local token = data.tokenizer:token(ids[i])
    if token == "[SEP]" or token == "[PAD]" then break end
    local piece = token:match "^##(.*)"
    parts[#parts + 1] = (piece and "" or " ") .. (marked and marked[i] and e("b", nil, text(piece or token)) or text(piece or token))
  end
  return table.concat(parts):gsub("^ ", "")
end

local function masked_line(view, batch, seed)
  local masked, labels = view:mask_tokens(batch.tokens, batch.lengths, {probability = 0.15, seed = seed, step = 1})
  local ids, wanted, marked = masked:totable()[1], {}, {}
  for t, label in ipairs(labels:totable()[1]) do
    if label >= 0 then marked[t], wanted[#wanted + 1] = true, view.data.tokenizer:token(label) end
  end
  if #wanted == 0 then return "" end
  return e("p", {class = "id"}, "MLM sees: ", words(view.data, ids, marked), ", to find ", text(table.concat(wanted, ", ")))
end

local function held_out(run, n)
  local view, cards = run.view, {}
  local tasks = type(run.config.tasks) == "table" and run.config.tasks or {}
  for i = 1, math.min(share(PLAIN, n), view:size()) do
    local image, batch = picture(view, i)
    cards[i] = card(image, e("p", nil, (words(view.data, batch.tokens:totable()[1]))), tasks.mlm and masked_line(view, batch, run.config.seed or 0) or "",
                    e("p", {class = "id"}, text(view:image_id(i))))
  end
  return e("p", {class = "note"}, ("The first pairs of the split “%s”, at the size that the model sees. This run stored no predictions."):format(text(run.split))) ..
    e("div", {class = "samples"}, table.concat(cards))
end

-- ---- predictions

-- A list by class (from 1); where there are very many classes a run keeps the largest alone, as class -> score, and the others count as 0.
local function scores_of(row)
  if type(row.scores) ~= "table" then return {row.scores} end
  if row.scores[1] or next(row.scores) == nil then return row.scores end
  local list, most = {}, 0
  for class in pairs(row.scores) do most = math.max(most, tonumber(class) + 1) end
  for k = 1, most do list[k] = row.scores[("%d"):format(k - 1)] or 0 end
  return list
end

local function label_set(row)
  local set = {}
  if type(row.label) == "table" then
    if #row.label > 0 then
      for _, class in ipairs(row.label) do set[class] = 1 end
    else
      for class, weight in pairs(row.label) do set[tonumber(class)] = weight end
    end
  elseif row.label then
    set[row.label] = 1
  end
  return set
end

-- How far from the label, from 0: by kind of the scores.
local distance = {
  binary = function(row) return math.abs((scores_of(row)[1] or 0.5) - (row.label or 0)) end,
  multiclass = function(row) return 1 - (scores_of(row)[(row.label or 0) + 1] or 0) end,
  multilabel = function(row)
    local set, sum, list = label_set(row), 0, scores_of(row)
    for k, p in ipairs(list) do sum = sum + math.abs(p - (set[k - 1] or 0)) end
    return sum / math.max(#list, 1)
  end,
  soft = function(row)
    local set, sum = label_set(row), 0
    for k, p in ipairs(scores_of(row)) do sum = sum + p * (set[k - 1] or 0) end
    return 1 - sum
  end,
  retrieval = function(row) return math.max(row.ranks.t2i, row.ranks.i2t or 0) end,
}

-- Row numbers: the WORST furthest ones, and EVEN of the rest; fewer where n runs share a page.
local function chosen(p, n)
  local far, order, worst, even, taken = distance[p.header.kind], {}, {}, {}, {}
  if not far then return {}, {} end
  local at = {}
  for i, row in ipairs(p.rows) do order[i], at[i] = i, far(row) end
  table.sort(order, function(a, b) return at[a] > at[b] or at[a] == at[b] and a < b end)
  for k = 1, math.min(share(WORST, n), #order) do worst[k], taken[order[k]] = order[k], true end
  local evenly = n <= 2 and EVEN or 1
  for k = 0, evenly - 1 do
    local i = 1 + k * #p.rows // evenly
    if p.rows[i] and not taken[i] then even[#even + 1], taken[i] = i, true end
  end
  return worst, even
end

local function bar(name, score, class)
  return e("div", {class = "bar"}, e("span", {class = class, title = name}, e("b", {style = ("width:%.1f%%"):format(100 * math.max(0, math.min(1, score)))}), text(name)),
           e("em", nil, ("%.2f"):format(score)))
end

local function class_name(header, class) return header.classes and header.classes[class + 1] or ("class %d"):format(class) end

local function scores_markup(header, row)
  if header.kind == "retrieval" then
    return e("p", nil, ("rank of its image %s%s"):format(text(row.ranks.t2i), row.ranks.i2t and ", of its text " .. text(row.ranks.i2t) or ""))
  end
  local set, list, order, parts = label_set(row), scores_of(row), {}, {}
  if header.kind == "binary" then
    local threshold = header.thresholds and header.thresholds[1] or 0.5
    local right = scores.said("binary", row, threshold) == row.label
    local label = row.label == nil and "not known" or class_name(header, row.label)
    return bar(class_name(header, 1), list[1], right and "right" or "wrong") .. e("p", {class = "id"}, "label: " .. text(label))
  end
  for k = 1, #list do order[k] = k end
  table.sort(order, function(a, b) return list[a] > list[b] or list[a] == list[b] and a < b end)
  for k = 1, math.min(CLASSES, #order) do
    local class = order[k] - 1
    parts[#parts + 1] = bar(class_name(header, class), list[order[k]], set[class] and "right" or k == 1 and "wrong" or nil)
  end
  local labels = sorted_keys(set)
  for k, class in ipairs(labels) do labels[k] = class_name(header, class) .. (set[class] ~= 1 and (" %.1f"):format(set[class]) or "") end
  return table.concat(parts) .. e("p", {class = "id"}, "label: " .. text(#labels > 0 and table.concat(labels, ", ") or "none"))
end

-- id -> number of the sample in the view, as far as asked for: the rows are those of the split, in its order, but for samples that could not be scored.
local function finder(view)
  local numbers
  local function number_of(id)
    if not numbers then
      numbers = {}
      for i = 1, view:size() do numbers[view:image_id(i)] = i end
    end
    return numbers[id]
  end
  -- -> the sample of row i, and which of its captions it is of: ID#2 is the second one's.
  return function(i, id)
    if i <= view:size() and view:image_id(i) == id then return i, 1 end
    local found = number_of(id)
    if found then return found, 1 end
    local stem, caption = id:match "^(.*)#(%d+)$"
    found = stem and number_of(stem)
    return found, found and tonumber(caption)
  end
end

-- Pairs that the task drew have another sample's text where they do not belong together.
local function drawn(view, p) return p.header.classes and p.header.classes[1] == "no match" and not view.data:labels() end

local function predicted(run, split, p, n)
  local view = run.view_of and run.view_of(split)
  local find = view and finder(view)
  local function cards(list)
    local parts = {}
    for k, i in ipairs(list) do
      local row, image, caption = p.rows[i], "", ""
      local sample, number
      if view then sample, number = find(i, row.id) end
      if sample then
        local batch
        image, batch = picture(view, sample, number)
        if drawn(view, p) then batch = view:fixed_swaps(batch) end
        caption = e("p", nil, (words(view.data, batch.tokens:totable()[1])))
      end
      parts[k] = card(image, caption, scores_markup(p.header, row), e("p", {class = "id"}, text(row.id)))
    end
    return e("div", {class = "samples"}, table.concat(parts))
  end
  local worst, even = chosen(p, n)
  local epoch = p.header.checkpoint and p.header.checkpoint.epoch
  return e("p", {class = "note"}, ("%d predictions on “%s”%s."):format(p.n, text(split), epoch and (", checkpoint of epoch %s"):format(text(epoch)) or "")) ..
    (#worst > 0 and e("h3", nil, "Furthest from their label") .. cards(worst) or "") .. (#even > 0 and e("h3", nil, "Evenly from the split") .. cards(even) or "")
end

return function(run, n)
  local parts = {}
  for _, split in ipairs(run:splits()) do
    if run.predicted[split] then parts[#parts + 1] = predicted(run, split, run.predicted[split], n) end
  end
  if #parts > 0 then return table.concat(parts) end
  if run.view then return held_out(run, n) end
  return nil, run.no_data and "The data set could not be opened: " .. run.no_data or "The data set has no held-out split."
end

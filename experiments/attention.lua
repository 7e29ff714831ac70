-- Who attends to whom: for some held-out pairs of a run, attention by layer and head within and across the streams, rollout, entropy of the heads,
-- and what the alignment logit (or the predicted class) rests on. Pictures in RUN/analysis/attention-*.png, of which `vbl report RUN` has it to click on, or in --out DIR.
--   vbl experiments/attention.lua runs/2025-09-03-210336-pretrain_all
--   vbl experiments/attention.lua runs/2025-09-03-210336-pretrain_all/checkpoints/best first=100 pairs=4
local vbl = require "vbl"

local config = vbl.config({
  first = 1,                    -- number of the first held-out pair
  pairs = 6,                    -- how many
  map = "",                     -- the map of the pictures, such as fusion.1.text; else text to image of the last co-attending block
  head = -1,                    -- head of the pictures, from 0; -1: the mean of all
  target = "",                  -- what the attribution explains: alignment, class, or the number of a class; else what the model has
}, nil, {"RUN|CHECKPOINT", out = "where the files go (RUN/analysis)"})

local targets = require "vbl.analysis.attention.targets"
local record = require "vbl.analysis.attention.record"
local sheet = require "vbl.analysis.sheet"
local usage = require "vbl.usage"

local job = vbl.train.open(config.operands[1])
local out = require("vbl.analysis.folder")(job.run, config.flags) .. "/attention"
local target = config.target == "" and targets.default(job.model) or config.target ~= "" and config.target or nil
if tonumber(target) then target = {class = math.tointeger(tonumber(target))} end
if config.first < 1 or config.first + config.pairs - 1 > job.test:size() then
  usage(("attention: first = %d, pairs = %d: there are held-out pairs 1 to %d"):format(config.first, config.pairs, job.test:size()))
end

-- The map to draw: text to image of the last block that attends across.
local function map_of(view)
  if config.map ~= "" then return view:map(config.map) end
  for i = #view.maps, 1, -1 do
    if view.maps[i].query == "text" and view.maps[i].key == "vision" then return view.maps[i] end
  end
end

-- One panel a token: where it looks in the image; for a map of other streams there is no such picture.
local function draw(i, view, attributions)
  local map, image = map_of(view), view.pair.images:reshape(3, job.data.image, job.data.image):contiguous()
  local panels = {{title = "image", image = image}}
  local function patches(x) return x:narrow(1, 2, x:size(1) - 1):reshape(view.grid[1], view.grid[2]) end
  if map and map.query == "text" and map.key == "vision" then
    if config.head >= map.p:size(1) then usage(("attention: head = %d: %s has heads 0 to %d"):format(config.head, map.name, map.p:size(1) - 1)) end
    local p = config.head < 0 and map.p:mean(1) or map.p:select(1, config.head + 1)
    for t, word in ipairs(view.words) do panels[#panels + 1] = {title = word, image = image, weights = patches(p:select(1, t))} end
  end
  for _, a in ipairs(attributions) do panels[#panels + 1] = {title = a.name, image = image, weights = patches(a.result.vision)} end
  local of = map and ("%s, %s"):format(map.name, config.head < 0 and "mean of the heads" or "head " .. config.head) or "no co-attention"
  vbl.plot.pictures(("%s-%d"):format(out, i), {title = ("Where each word looks: %s"):format(of), panels = panels,
    note = "pale: an even share of the attention or less; red: eight times as much; last: what the logit rests on"})
end

local all, entropies = {pairs = {}, checkpoint = job.checkpoint}, {}
for i = config.first, config.first + config.pairs - 1 do
  local pair, attributions = job.test:batch {i}, {}
  local view = vbl.analysis.attention(job.model, pair, {data = job.data})
  if target then attributions[1] = {name = type(target) == "table" and "class " .. target.class or target, result = view:attribution(target)} end
  draw(i, view, attributions)
  local made = record(view, {id = job.test:image_id(i), caption = job.data.tokenizer:decode(pair.tokens:totable()[1]), attributions = attributions})
  all.pairs[#all.pairs + 1] = made
  for m, row in ipairs(made.entropy) do
    entropies[m] = entropies[m] or {row.name}
    for h, v in ipairs(row.heads) do entropies[m][h + 1] = (entropies[m][h + 1] or 0) + v / config.pairs end
  end
end
vbl.save(out .. ".json", all)
local columns = {"attention"}
for _, row in ipairs(entropies) do
  for h = #columns, #row - 1 do columns[h + 1] = "head " .. h - 1 end
end
print(sheet.new {title = "Entropy of the heads (0: one key, 1: all alike)", note = ("mean of %d pairs, checkpoint %s"):format(config.pairs, job.checkpoint), columns = columns, rows = entropies})
print("written to " .. out .. "-*.png and " .. out .. ".json" .. (config.flags.given.out and "" or "; `vbl report " .. job.run .. "` shows it"))

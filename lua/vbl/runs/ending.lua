-- What the event file gets at the end of a run: its plots as images, samples of its predictions as text, and how it ended.
-- ending(run): run of vbl.runs.folder, still open
local c = require "vbl.store.c"
local events = require "vbl.runs.events"
local record = require "vbl.runs.record"
local system = require "vbl.system.c"

local SAMPLES, CLASSES = 20, 5  -- shown

local function images(run, step)
  for _, name in ipairs(system.list(run.path .. "/plots") or {}) do
    if name:find "%.png$" then run:image(step, "plots/" .. name:sub(1, -5), c.read_file(run.path .. "/plots/" .. name)) end
  end
end

local function class_name(header, class) return header.classes and header.classes[class + 1] or tostring(class) end

local function label_text(header, label)
  if type(label) ~= "table" then return label == nil and "?" or class_name(header, label) end
  local words = {}
  for key, item in pairs(label) do  -- a list of classes, or class -> weight
    words[#words + 1] = type(key) == "string" and ("%s %.2g"):format(class_name(header, tonumber(key)), item) or class_name(header, item)
  end
  table.sort(words)
  return table.concat(words, ", ")
end

-- The largest scores with their classes; one number: that of the second class.
local function score_text(header, scores)
  if type(scores) ~= "table" then return ("%s %.3f"):format(class_name(header, 1), scores) end
  if #scores == 1 then return ("%s %.3f"):format(class_name(header, 1), scores[1]) end
  local list = {}
  for key, score in pairs(scores) do list[#list + 1] = {class = type(key) == "string" and tonumber(key) or key - 1, score = score} end
  table.sort(list, function(a, b) return a.score > b.score or a.score == b.score and a.class < b.class end)
  local words = {}
  for i = 1, math.min(CLASSES, #list) do words[i] = ("%s %.3f"):format(class_name(header, list[i].class), list[i].score) end
  return table.concat(words, ", ")
end

local function ranks_text(ranks)
  return ("rank %g of its image%s"):format(ranks.t2i, ranks.i2t and (", %g of its text"):format(ranks.i2t) or "")
end

local function samples(run, step, found)
  for _, split in ipairs(found:splits()) do
    local header, rows = found:predictions(split)
    local lines = {"| id | label | prediction |", "|---|---|---|"}
    for i = 1, math.min(SAMPLES, #rows) do
      local row = rows[i]
      local said = row.ranks and ranks_text(row.ranks) or score_text(header, row.scores)
      local cells = {tostring(row.id), row.ranks and "" or label_text(header, row.label), said}
      for k, text in ipairs(cells) do cells[k] = text:gsub("[|\\]", "\\%0") end
      lines[#lines + 1] = "| " .. table.concat(cells, " | ") .. " |"
    end
    run:text(step, "predictions/" .. split, table.concat(lines, "\n"))
  end
end

return function(run)
  local found, step = record.read(run.path), run.last_step or 0
  images(run, step)
  samples(run, step, found)
  run.files["events.out.tfevents.vbl"]:write(events.session_end(system.time(), found.result.status))
end

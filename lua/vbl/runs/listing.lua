-- Runs as lines of text: id, name, status, kind, task, seed, main values, tags, age; in a narrow terminal what is the same for all goes first.
-- listing(records, newest, {width =, color =, now =}) -> text     newest: of vbl.runs.index; width: columns of the terminal, nil: no end
--   listing.values(record, newest) -> its main values as text; the first line of why it failed, of one that did
local age = require "vbl.runs.age"
local length = require("vbl.columns").length
local metric_names = require "vbl.metric_names"
local visible = require "vbl.visible"

local listing = {}

local colors = {finished = 32, running = 36, failed = 31, damaged = 31, invalid = 35, unfinished = 33, interrupted = 33}

-- Metrics in the order in which they are asked for; others follow by the alphabet, losses last.
local first = {"auroc", "accuracy", "f1_macro", "f1_micro", "vqa_accuracy", "r1_t2i", "r1_i2t"}

local function rank(name, best)
  if name == best then return 0 end
  for i, metric in ipairs(first) do
    if name == metric or name:sub(1, #metric + 1) == metric .. "." then return i end
  end
  return name:find "^loss" and 100 or 50
end

-- {[name] = value} of the test split, else of val; nil where there is neither.
local function of_split(values)
  for _, split in ipairs {"test", "val"} do
    local found = {}
    for key, value in pairs(values) do
      local name = key:match("^" .. split .. "%.(.+)$")
      if name and not metric_names.beside(name) then found[name] = value end
    end
    if next(found) then return split, found end
  end
end

local function value_text(values, best, task)
  local split, found = of_split(values)
  if not split then return "" end
  best = best and best:match "^%a+%.(.+)$" or best
  local names, parts = {}, {}
  for name in pairs(found) do names[#names + 1] = name end
  table.sort(names, function(a, b)
    local x, y = rank(a, best), rank(b, best)
    if x ~= y then return x < y end
    return a < b
  end)
  for i, name in ipairs(names) do
    local short = task and name:sub(-#task - 1) == "." .. task and name:sub(1, -#task - 2) or name
    parts[i] = ("%s %.4g"):format(short, found[name])
  end
  return split .. " " .. table.concat(parts, ", ")
end

function listing.values(record, newest)
  if record.status == "damaged" then return record.problems[1]:sub(#record.path + 2) end
  local best = type(record.result.best) == "table" and record.result.best.metric or nil
  local text = value_text(next(record.values) and record.values or newest and newest.values or {}, best, record.task)
  if not next(record.values) and newest and newest.epoch and text ~= "" then text = ("epoch %g: %s"):format(newest.epoch, text) end
  if record.status == "failed" and record.message then return record.message:match "[^\n]*" end
  return text
end

-- What it trains: the task; of a pretraining its tasks.
local function task_of(record)
  if record.task then return record.task end
  local names = {}
  for name, task in pairs(type(record.config.tasks) == "table" and record.config.tasks or {}) do
    if task then names[#names + 1] = name end
  end
  table.sort(names)
  return table.concat(names, "+")
end

local columns = {"id", "name", "status", "kind", "task", "seed", "values", "tags", "age"}
local right = {seed = true, age = true}

local function cut(text, width)
  if length(text) <= width then return text end
  local stop = utf8.len(text) and utf8.offset(text, width) or width
  return text:sub(1, stop - 1) .. "…"
end

local function pad(text, width, at_right)
  local blanks = (" "):rep(width - length(text))
  return at_right and blanks .. text or text .. blanks
end

-- Enough digits that no two are the same, at least 4.
local function id_digits(records)
  for digits = 4, 7 do
    local seen, twice = {}, false
    for _, record in ipairs(records) do
      local id = record.id:sub(1, digits)
      twice, seen[id] = twice or seen[id], true
    end
    if not twice then return digits end
  end
  return 8
end

local function total(widths)
  local sum = -2
  for _, column in ipairs(columns) do sum = sum + (widths[column] and widths[column] + 2 or 0) end
  return sum
end

-- Whether all rows show the same there.
local function constant(rows, column)
  for _, row in ipairs(rows) do
    if row[column] ~= rows[1][column] then return false end
  end
  return #rows > 1
end

-- Makes them fit: long values are cut, columns that tell nothing apart go, then the rest gives way in the order of its weight.
local function fit(widths, rows, width)
  local natural = widths.values
  local function shrink(column, least)
    local over = total(widths) - width
    if over > 0 and widths[column] then widths[column] = math.max(math.min(least, widths[column]), widths[column] - over) end
  end
  local function drop(column)
    if total(widths) > width then widths[column] = nil end
  end
  shrink("values", 26)
  for _, column in ipairs {"kind", "task"} do
    if constant(rows, column) then drop(column) end
  end
  shrink("name", 14)
  shrink("values", 16)
  for _, column in ipairs {"name", "kind", "tags", "seed", "age", "task"} do drop(column) end
  if natural then widths.values = math.min(natural, widths.values + math.max(0, width - total(widths))) end  -- what dropped columns left
end

local function measure(rows, titles)
  local widths = {}
  for _, column in ipairs(columns) do
    local most = 0
    for _, row in ipairs(rows) do most = math.max(most, length(row[column])) end
    if most > 0 then widths[column] = math.max(most, length(titles[column])) end
  end
  return widths
end

local function line(row, widths, color)
  local cells = {}
  for _, column in ipairs(columns) do
    if widths[column] then
      local text = pad(cut(row[column], widths[column]), widths[column], right[column])
      if column == "status" and color and colors[row.status] then text = ("\27[%dm%s\27[0m"):format(colors[row.status], text) end
      cells[#cells + 1] = text
    end
  end
  return (table.concat(cells, "  "):gsub("%s+$", ""))
end

return setmetatable(listing, {__call = function(_, records, newest, opts)
  local rows, digits, titles = {}, id_digits(records), {}
  for _, column in ipairs(columns) do titles[column] = column end
  for i, record in ipairs(records) do
    rows[i] = {
      id = record.id:sub(1, digits), status = record.status, kind = record.kind or "", task = task_of(record), seed = tostring(record.seed or ""),
      values = listing.values(record, newest[record]), tags = table.concat(record.tags, " "), age = age.text(age(record.created, opts.now)),
      name = opts.width and record.name:gsub("^%d+%-%d+%-%d+%-%d+%-", "") or record.name,
    }
    for column, text in pairs(rows[i]) do rows[i][column] = visible(text):gsub("%s+", " ") end
  end
  local widths = measure(rows, titles)
  if opts.width then fit(widths, rows, opts.width) end
  local lines = {line(titles, widths, false)}
  for _, row in ipairs(rows) do lines[#lines + 1] = line(row, widths, opts.color) end
  return table.concat(lines, "\n") .. "\n"
end})

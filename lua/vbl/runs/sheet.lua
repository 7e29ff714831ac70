-- One run as a page of text.
-- sheet(record, {width = 80, now =}) -> text: what it is, values by split, alignment, checkpoints, files, config, machine, warnings
local age = require "vbl.runs.age"
local c = require "vbl.store.c"
local config_values = require "vbl.config.values"
local flatten = require "vbl.runs.flatten"
local metric_names = require "vbl.metric_names"
local sorted_keys = require "vbl.sorted_keys"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local visible = require "vbl.visible"

-- Words one behind the other, two blanks between them, in lines of at most `width`.
local function wrap(words, width, indent)
  local lines, line = {}, nil
  for _, word in ipairs(words) do
    if line and #line + 2 + #word > width then
      lines[#lines + 1] = line
      line = nil
    end
    line = line and line .. "  " .. word or indent .. word
  end
  lines[#lines + 1] = line
  return lines
end

-- "key=value" of every leaf, as a command line has it.
local function words_of(t)
  local flat, words = flatten(t), {}
  for i, key in ipairs(sorted_keys(flat)) do words[i] = key .. "=" .. (type(flat[key]) == "string" and flat[key] or config_values.show(flat[key])) end
  return words
end

local function opening(add, r, now)
  local parts = {"id " .. r.id:sub(1, 8)}
  if r.kind then parts[#parts + 1] = r.task and r.kind .. " " .. r.task or r.kind end
  if r.seed then parts[#parts + 1] = "seed " .. tostring(r.seed) end
  if r.created then parts[#parts + 1] = ("made %s, %s ago"):format(r.created, age.text(age(r.created, now))) end
  add(("%s: %s"):format(r.name, r.status))
  add("  " .. r.path)
  add("  " .. table.concat(parts, "; "))
  if #r.tags > 0 then add("  tags: " .. table.concat(r.tags, " ")) end
  if r.note ~= "" then add("  note: " .. r.note) end
  if r.message then add("  why: " .. r.message) end
end

-- "val.accuracy.ap" -> val, accuracy.ap; nil for what belongs to no split of the data.
local function split_of(key)
  local split, name = key:match "^(%a+)%.(.+)$"
  if split == "train" or split == "val" or split == "test" then return split, name end
end

local function values(add, r)
  local all, title = r.values, "values"
  if not next(all) then
    local epoch
    all, epoch = r:last()
    title = ("newest values%s"):format(epoch and (", epoch %d"):format(epoch) or "")
  end
  local names, splits, width = {}, {}, 0
  for key, value in pairs(all) do
    local split, name = split_of(key)
    if split then
      splits[split], names[name] = true, names[name] or {}
      names[name][split], width = value, math.max(width, #name)
    end
  end
  if not next(names) then return end
  local head, order = {}, {}
  for _, split in ipairs {"train", "val", "test"} do
    if splits[split] then
      order[#order + 1] = split
      head[#head + 1] = ("%10s"):format(split)
    end
  end
  add ""
  add(("%-" .. math.max(width + 2, #title) .. "s%s"):format(title, table.concat(head)))
  for _, name in ipairs(sorted_keys(names)) do
    local cells = {}
    for i, split in ipairs(order) do
      local value = names[name][split]
      cells[i] = ("%10s"):format(value and (metric_names.count(name, value) or ("%.4g"):format(value)) or "")
    end
    add(("  %-" .. math.max(width, #title - 2) .. "s%s"):format(name, table.concat(cells)))
  end
  local best = r.result.best
  if type(best) == "table" and best.metric then add(("  best checkpoint: epoch %s, %s %.4g"):format(best.epoch, best.metric, best.value)) end
end

-- What is wrong with a checkpoint's files, without reading them whole; nil: nothing.
local function checkpoint_problem(path)
  local ok, state = pcall(function() return c.json_decode(c.read_file(path .. "/state.json"), {where = path .. "/state.json", nan = "string"}) end)
  if not ok then return "no state.json" end
  for file, expected in pairs(type(state.files) == "table" and state.files or {}) do
    local stat = system.stat(path .. "/" .. file)
    if not stat then return file .. " is missing" end
    if stat.size ~= expected.size then return file .. " was cut off" end
  end
end

local function checkpoints(add, warn, r)
  local shown, have = {}, {}
  for _, kind in ipairs(system.list(r.path .. "/checkpoints") or {}) do
    if kind:sub(1, 1) ~= "." then
      local problem = checkpoint_problem(r.path .. "/checkpoints/" .. kind)
      have[kind] = not problem
      shown[#shown + 1] = problem and kind .. " (damaged)" or kind
      if problem then warn(("checkpoint %s: %s"):format(kind, problem)) end
    end
  end
  add("checkpoints: " .. (#shown > 0 and table.concat(shown, ", ") or "none"))
  if r.status == "finished" and not have.best and not have.last then
    warn "it has no whole checkpoint: it can neither be tested nor gone on from"
  end
end

local function files(add, r)
  local list = {}
  for _, split in ipairs(r:splits()) do list[#list + 1] = "predictions of " .. split end
  for _, name in ipairs {"plots", "report.html", "log.txt"} do
    if system.exists(r.path .. "/" .. name) then list[#list + 1] = name end
  end
  add("files: " .. table.concat(list, ", "))
end

local SHOWN = 3  -- of a kind

local function alarms(warn, r)
  local counts = {}
  local ok, rows = pcall(r.alarms, r)
  if not ok then return warn(usage.strip(rows)) end
  for _, row in ipairs(rows) do
    counts[row.kind] = (counts[row.kind] or 0) + 1
    if counts[row.kind] <= SHOWN then warn(row.text) end
  end
  for _, kind in ipairs(sorted_keys(counts)) do
    if counts[kind] > SHOWN then warn(("%d more of the kind '%s' in warnings.jsonl"):format(counts[kind] - SHOWN, kind)) end
  end
end

return function(r, opts)
  local lines, warnings = {}, {}
  local width = opts and opts.width or 80
  local function add(text) lines[#lines + 1] = text end
  local function warn(text) warnings[#warnings + 1] = text end
  for _, problem in ipairs(r.problems) do warn(problem) end
  if r.status == "invalid" then warn "tagged invalid: it is in no table" end
  alarms(warn, r)
  opening(add, r, opts and opts.now)
  local ok, message = pcall(values, add, r)
  if not ok then warn(usage.strip(message)) end
  add ""
  checkpoints(add, warn, r)
  files(add, r)
  for _, part in ipairs {"config", "manifest"} do
    add(part)
    for _, line in ipairs(wrap(words_of(r[part]), width, "  ")) do add(line) end
  end
  for _, text in ipairs(warnings) do add("warning: " .. text) end
  return visible(table.concat(lines, "\n") .. "\n")
end

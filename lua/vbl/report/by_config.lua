-- by_config(records) -> groups {{name =, runs = {record, ...}}, ...} of runs whose configs differ in the seed only, or in the data set, which
-- makes columns of a table, not rows, or in what changes no number (memory, the log). A group is named by the values in which the groups differ.
local flatten = require "vbl.runs.flatten"
local show = require("vbl.config.values").show
local sorted_keys = require "vbl.sorted_keys"

local aside = {seed = true, data = true, task = true, val = true, test = true, micro_batch = true, checkpointing = true, tasks_together = true, cuda_graph = true,
               log_every = true, checkpoint_every = true}

local function plain(record)
  local flat = {}
  for key, value in pairs(flatten(record.config)) do
    if not aside[key] then flat[key] = type(value) == "table" and show(value) or tostring(value) end
  end
  return flat
end

local function text_of(flat)
  local lines = {}
  for i, key in ipairs(sorted_keys(flat)) do lines[i] = key .. "=" .. flat[key] end
  return table.concat(lines, "\n")
end

-- The keys that are not the same in all groups.
local function differing(groups)
  local all, list = {}, {}
  for _, group in ipairs(groups) do
    for key in pairs(group.flat) do all[key] = true end
  end
  for _, key in ipairs(sorted_keys(all)) do
    for _, group in ipairs(groups) do
      if group.flat[key] ~= groups[1].flat[key] then
        list[#list + 1] = key
        break
      end
    end
  end
  return list
end

local MOST = 4  -- keys in a name; what differs in more of them is called after its first run

local function name_of(group, keys)
  if #keys == 0 or #keys > MOST then return (group.runs[1].name:gsub("^%d+%-%d+%-%d+%-%d+%-", "")) end
  if #keys == 1 and group.flat[keys[1]] then return group.flat[keys[1]] end
  local parts = {}
  for i, key in ipairs(keys) do parts[i] = ("%s=%s"):format(key, group.flat[key] or "–") end
  return table.concat(parts, ", ")
end

return function(records)
  local groups, known = {}, {}
  for _, record in ipairs(records) do
    local flat = plain(record)
    local key = text_of(flat)
    if not known[key] then
      known[key] = {runs = {}, flat = flat}
      groups[#groups + 1] = known[key]
    end
    table.insert(known[key].runs, record)
  end
  local keys = differing(groups)
  for _, group in ipairs(groups) do group.name = name_of(group, keys) end
  return groups
end

-- by_config(records) -> groups {{name =, runs = {record, ...}}, ...} of runs whose configs differ in the seed only, or in what is set aside
-- (vbl.report.unlike). A group is named by the values in which the groups differ; no two have one name.
local sorted_keys = require "vbl.sorted_keys"
local unlike = require "vbl.report.unlike"

local function text_of(flat)
  local lines = {}
  for i, key in ipairs(sorted_keys(flat)) do lines[i] = key .. "=" .. flat[key] end
  return table.concat(lines, "\n")
end

local MOST = 4  -- keys in a name; what differs in more of them is called after its first run

local function name_of(group, keys)
  if #keys == 0 or #keys > MOST then return (group.runs[1].name:gsub("^%d+%-%d+%-%d+%-%d+%-", "")) end
  if #keys == 1 and group.flat[keys[1]] then return group.flat[keys[1]] end
  local parts = {}
  for i, key in ipairs(keys) do parts[i] = ("%s=%s"):format(key, group.flat[key] or "–") end
  return table.concat(parts, ", ")
end

-- The runs of one script are called alike but for their date: the id of its first run tells a group.
local function name_all(groups)
  local flats, count = {}, {}
  for i, group in ipairs(groups) do flats[i] = group.flat end
  local keys = unlike.among(flats)
  for _, group in ipairs(groups) do
    group.name = name_of(group, keys)
    count[group.name] = (count[group.name] or 0) + 1
  end
  for _, group in ipairs(groups) do
    if count[group.name] > 1 then group.name = ("%s %s"):format(group.name, group.runs[1].id) end
  end
end

return function(records)
  local groups, known = {}, {}
  for _, record in ipairs(records) do
    local flat = unlike.keys(record)
    local key = text_of(flat)
    if not known[key] then
      known[key] = {runs = {}, flat = flat}
      groups[#groups + 1] = known[key]
    end
    table.insert(known[key].runs, record)
  end
  name_all(groups)
  return groups
end

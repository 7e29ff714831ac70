-- What the tasks of runs are called side by side: task_names(groups) -> function(record) -> name
-- The task's own name; where runs of one task are of several data sets, the set's name behind it. A pretraining run's is "pretraining".
-- A set is told by its hash (by its path where none is on record): one that was moved is the same, one that was changed is not. The built-in
-- scenes are one set, whatever they are drawn from: that is in the config. A set's name is the last part of its path; the whole path where two
-- sets end alike; and the hash where they share that too.
local trimmed = require "vbl.trimmed"

local function path_of(record) return trimmed(tostring(record.manifest.data or record.config.data or "?")) end

local function identity(record)
  local path = path_of(record)
  return path ~= "scenes" and record.manifest.data_hash or path
end

local function last_part(path) return path:match "([^/:]+)/*$" or path end

local function hash_of(set) return ("%s %s"):format(set.path, set.hash and set.hash:match("[^:]*$"):sub(1, 8) or "without a hash") end

-- set.name of each: by the first way that tells it from the others of its task.
local function name_all(sets)
  for _, way in ipairs {function(set) return last_part(set.path) end, function(set) return set.path end, hash_of} do
    local count = {}
    for _, set in ipairs(sets) do count[way(set)] = (count[way(set)] or 0) + 1 end
    for _, set in ipairs(sets) do
      if count[way(set)] == 1 then set.name = set.name or way(set) end
    end
  end
  for _, set in ipairs(sets) do set.name = set.name or hash_of(set) end
end

local function task_of(record) return record.task or "pretraining" end

return function(groups)
  local by_task = {}
  for _, group in ipairs(groups) do
    for _, record in ipairs(group.runs) do
      local task, id = task_of(record), identity(record)
      local sets = by_task[task] or {}
      by_task[task] = sets
      if not sets[id] then
        sets[id] = {path = path_of(record), hash = record.manifest.data_hash}
        sets[#sets + 1] = sets[id]
      end
    end
  end
  for _, sets in pairs(by_task) do name_all(sets) end
  return function(record)
    local sets = by_task[task_of(record)]
    if not sets or #sets < 2 then return task_of(record) end
    local set = sets[identity(record)]  -- none: of a run that is not among the groups', which counts nowhere
    return ("%s (%s)"):format(task_of(record), set and set.name or last_part(path_of(record)))
  end
end

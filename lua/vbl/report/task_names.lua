-- What the tasks of runs are called side by side: task_names(groups) -> function(record) -> name
-- The task's own name; where runs of one task are of several data sets, the set's name behind it. A pretraining run's is "pretraining".
local function set_of(record) return (tostring(record.manifest.data or record.config.data or "?"):match "([^/:]+)/*$") end

return function(groups)
  local sets = {}
  for _, group in ipairs(groups) do
    for _, record in ipairs(group.runs) do
      local task = record.task or "pretraining"
      sets[task] = sets[task] or {}
      local set = set_of(record)
      if not sets[task][set] then sets[task][set], sets[task][#sets[task] + 1] = true, set end
    end
  end
  return function(record)
    local task = record.task or "pretraining"
    return #(sets[task] or {}) > 1 and ("%s (%s)"):format(task, set_of(record)) or task
  end
end

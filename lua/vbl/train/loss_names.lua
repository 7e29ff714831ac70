-- What the losses of a job are called, in the order in which they are told: those of pretraining, with AP's contrastive term, then the tasks
-- that are none of these, in the job's order.
local order = {"mlm", "ap", "contrastive", "mim"}

return function(job)
  local list, known = table.move(order, 1, #order, 1, {}), {}
  for _, name in ipairs(order) do known[name] = true end
  for _, task in ipairs(job.tasks) do
    if not known[task.name] then list[#list + 1] = task.name end
  end
  return list
end

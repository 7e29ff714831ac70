-- Who holds the gradient: after a step, before the gradients are cleared, or of the step whose norms (optimizer:norms()) are given.
--   shares.groups(job[, norms]) -> {text = share, vision =, fusion =, heads =} of the squared norm; nil where it is 0. A model has the groups that its
--     parameters fall in
--   shares.largest(job[, norms]) -> name of the parameter that holds most of it, its share; nil where the norm is 0
local shares = {}

local groups = {bert = "text", vit = "vision", fusion = "fusion"}

local function squares(job, norms)
  local list, total = norms or job.optimizer:norms(), 0
  for i, norm in ipairs(list) do
    list[i] = norm * norm
    total = total + list[i]
  end
  return list, total
end

function shares.groups(job, norms)
  local list, total = squares(job, norms)
  if total == 0 then return nil end
  local found = {}
  for i, square in ipairs(list) do
    local group = groups[job.mix.parameters[i].name:match "^%a+"] or "heads"
    found[group] = (found[group] or 0) + square / total
  end
  return found
end

function shares.largest(job, norms)
  local list, total = squares(job, norms)
  if total == 0 then return nil end
  local best = 1
  for i, square in ipairs(list) do
    if square > list[best] then best = i end
  end
  return job.mix.parameters[best].name, list[best] / total
end

return shares

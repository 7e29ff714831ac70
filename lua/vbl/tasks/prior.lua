-- What a classifier reaches that knows how often each label occurs and nothing else.
--   prior.entropy(task, view) -> nats, or nil for a view without labels     task: vbl.tasks.classification, of any kind
-- The least loss, as the task takes it (vbl.tasks.labels), of one constant answer to all samples of the view:
--   binary, multiclass   the entropy -sum q ln q of the classes' shares q of the class weights (ln 2 of two balanced classes)
--   multilabel           the mean over the classes of the entropy of "has it or not"
--   soft                 their sum, of each answer's mean weight (binary cross entropy is linear in its target)
-- A task that draws its own labels swaps half of the pairs: ln 2.
local prior = {}

local function plogp(p) return p > 0 and p * math.log(p) or 0 end

-- Sum over all classes of each sample's weight on them: class -> sum, and the number of labelled samples or their weight.
local function sums(view, add)
  local sum, total = {}, 0
  for i = 1, view:size() do
    local label = view:label(i)
    if label then total = total + add(sum, label) end
  end
  return sum, total
end

local function of_classes(task, view)
  local weights = task.class_weights
  local mass, total = sums(view, function(sum, class)
    local weight = weights and weights[class + 1] or 1
    sum[class] = (sum[class] or 0) + weight
    return weight
  end)
  local h = 0
  for _, m in pairs(mass) do h = h - plogp(m / total) end
  return h, total
end

local function of_bits(view, add)
  local mass, total = sums(view, add)
  local h = 0
  for _, m in pairs(mass) do h = h - plogp(m / total) - plogp(1 - m / total) end
  return h, total
end

local function each(sum, list)
  for _, class in ipairs(list) do sum[class] = (sum[class] or 0) + 1 end
  return 1
end

local function weighted(sum, answers)
  for class, weight in pairs(answers) do sum[class] = (sum[class] or 0) + weight end
  return 1
end

local kinds = {
  binary = of_classes,
  multiclass = of_classes,
  multilabel = function(task, view)
    local h, total = of_bits(view, each)
    return h / #task.classes, total
  end,
  soft = function(_, view) return of_bits(view, weighted) end,
}

function prior.entropy(task, view)
  if task.drawn then return math.log(2) end
  local h, total = kinds[task.kind](task, view)
  return total > 0 and h or nil
end

return prior

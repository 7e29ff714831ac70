-- Order among trials with one or several objectives. A point is a list of numbers, all to be minimised.
--
--   pareto.dominates(a, b)      a is nowhere worse and somewhere better
--   pareto.front(points) -> indices of those that no other dominates, in their order
--   pareto.ranked(points) -> indices, best first. One objective: by value. Several: by the front they lie in (nondominated sorting),
--                            within a front by crowding distance, the lonely first (Deb et al., "A fast and elitist multiobjective
--                            genetic algorithm: NSGA-II", IEEE TEC 2002, section III); ties by index
local pareto = {}

function pareto.dominates(a, b)
  local better = false
  for i, x in ipairs(a) do
    if x > b[i] then return false end
    better = better or x < b[i]
  end
  return better
end

local function undominated(points, among)
  local front, rest = {}, {}
  for _, i in ipairs(among) do
    local dominated = false
    for _, j in ipairs(among) do dominated = dominated or pareto.dominates(points[j], points[i]) end
    local list = dominated and rest or front
    list[#list + 1] = i
  end
  return front, rest
end

local function all_of(points)
  local list = {}
  for i = 1, #points do list[i] = i end
  return list
end

function pareto.front(points) return (undominated(points, all_of(points))) end

-- index -> sum over the objectives of the gap between its neighbours in the front, as a share of the front's extent.
local function crowding(points, front)
  local distance = {}
  for _, i in ipairs(front) do distance[i] = 0 end
  for m = 1, #points[front[1]] do
    local order = {table.unpack(front)}
    table.sort(order, function(a, b)
      if points[a][m] ~= points[b][m] then return points[a][m] < points[b][m] end
      return a < b
    end)
    local extent = points[order[#order]][m] - points[order[1]][m]
    distance[order[1]], distance[order[#order]] = math.huge, math.huge
    for k = 2, #order - 1 do
      if extent > 0 then distance[order[k]] = distance[order[k]] + (points[order[k + 1]][m] - points[order[k - 1]][m]) / extent end
    end
  end
  return distance
end

local function by_value(points)
  local order = all_of(points)
  table.sort(order, function(a, b)
    if points[a][1] ~= points[b][1] then return points[a][1] < points[b][1] end
    return a < b
  end)
  return order
end

function pareto.ranked(points)
  if #points == 0 or #points[1] == 1 then return by_value(points) end
  local order, left, front = {}, all_of(points), nil
  while #left > 0 do
    front, left = undominated(points, left)
    local distance = crowding(points, front)
    table.sort(front, function(a, b)
      if distance[a] ~= distance[b] then return distance[a] > distance[b] end
      return a < b
    end)
    table.move(front, 1, #front, #order + 1, order)
  end
  return order
end

return pareto

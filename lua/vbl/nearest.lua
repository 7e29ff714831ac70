-- "Did you mean": the known word nearest to a misspelt one, by edit distance.
local nearest = {}

local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal
    diagonal, row[0] = row[0], i
    for j = 1, #b do
      local cost = diagonal + (a:byte(i) == b:byte(j) and 0 or 1)
      diagonal, row[j] = row[j], math.min(cost, row[j] + 1, row[j - 1] + 1)
    end
  end
  return row[#b]
end

-- words: an array of strings, or a table whose keys are the words. nil when none is near (more than half of it differs).
function nearest.find(word, words)
  local best, best_distance
  local most = math.max(1, #tostring(word) // 2)
  local function try(candidate)
    if math.abs(#tostring(candidate) - #tostring(word)) > most then return end  -- farther away than that, and a long word would take long
    local d = distance(tostring(word):lower(), tostring(candidate):lower())
    if not best or d < best_distance or d == best_distance and candidate < best then best, best_distance = candidate, d end
  end
  if words[1] ~= nil then
    for _, w in ipairs(words) do try(w) end
  else
    for w in pairs(words) do if type(w) == "string" then try(w) end end
  end
  if best and best_distance <= most then return best end
end

-- ", did you mean 'x'?" or "".
function nearest.hint(word, words)
  local best = nearest.find(word, words)
  return best and string.format(", did you mean '%s'?", best) or ""
end

return nearest

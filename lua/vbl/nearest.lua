-- "Did you mean": our name for what other libraries call otherwise, else the known word that is nearest to a misspelt one. Nearest by edit distance, two
-- letters in the wrong order being one mistake (the optimal string alignment distance).
local nearest = {}

local function distance(a, b)
  local before, above, row = {}, {}, {}
  for j = 0, #b do above[j] = j end
  for i = 1, #a do
    row[0] = i
    for j = 1, #b do
      local x, y = a:byte(i), b:byte(j)
      row[j] = math.min(above[j - 1] + (x == y and 0 or 1), above[j] + 1, row[j - 1] + 1)
      if i > 1 and j > 1 and x == b:byte(j - 1) and a:byte(i - 1) == y then row[j] = math.min(row[j], before[j - 2] + 1) end
    end
    before, above, row = above, row, before
  end
  return above[#b]
end

-- What other libraries call a key of ours (torch, timm, transformers).
local other_names = {hidden = "dim", hidden_size = "dim", width = "dim", embed_dim = "dim", d_model = "dim", num_layers = "layers", num_hidden_layers = "layers",
                     num_heads = "attention_heads", num_attention_heads = "attention_heads", intermediate_size = "mlp", vocab_size = "vocab", image_size = "image",
                     patch_size = "patch", batch_size = "batch", learning_rate = "lr"}

local function by_other_name(word, words)
  local prefix, last = word:match "^(.-)([^.]*)$"
  local name = other_names[last] and prefix .. other_names[last]
  if not name or words[1] == nil then return name and words[name] ~= nil and name or nil end
  for _, w in ipairs(words) do
    if w == name then return name end
  end
end

-- words: an array of strings, or a table whose keys are the words. nil when none is near (more than a third of it differs).
function nearest.find(word, words)
  local ours = by_other_name(tostring(word), words)
  if ours then return ours end
  local best, best_distance
  local most = math.max(1, (#tostring(word) + 1) // 3)
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

-- Taps: hidden states by name. text.embeddings text.0 ... text.final, vision.embeddings vision.0 ... vision.norm vision.final,
-- fusion.0.text fusion.0.vision ... A pattern is a name in which * stands for anything; nothing about the model changes.
local F = require "vbl.nn.functional"
local nearest = require "vbl.nearest"

local taps = {}

function taps.names(c)
  local names = {"text.embeddings"}
  for i = 0, c.layers - 1 do names[#names + 1] = "text." .. i end
  names[#names + 1] = "text.final"
  names[#names + 1] = "vision.embeddings"
  for i = 0, c.layers - 1 do names[#names + 1] = "vision." .. i end
  names[#names + 1] = "vision.norm"
  names[#names + 1] = "vision.final"
  local blocks = c.fusion == "stacked" and c.depth or c.coattention and #c.coattention.text or 0
  for i = 0, blocks - 1 do
    names[#names + 1] = "fusion." .. i .. ".text"
    names[#names + 1] = "fusion." .. i .. ".vision"
  end
  return names
end

-- A name pattern with * as a Lua pattern.
function taps.pattern(glob) return "^" .. glob:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*") .. "$" end

local function components(name)
  local list = {}
  for part in name:gmatch "[^.]+" do list[#list + 1] = part end
  return list
end

-- What the glob would have to be to fit the name: the name's components, with * where the glob (its components: parts) has it. A misspelt glob is told by
-- the nearest of these. A * at an end stands for any number of components; nil where the name cannot fit, by its length.
local function in_form(parts, name)
  local own, n = components(name), #parts
  local from = parts[1] == "*" and #own - n or 0
  if #own < n or #own > n and from == 0 and parts[n] ~= "*" then return nil end
  for i = 1, n do own[from + i] = parts[i] == "*" and "*" or own[from + i] end
  return table.concat(own, ".", from + 1, from + n)
end

-- ", did you mean 'bert.*'?", or else "; names begin with bert, fusion, vit".
local function hint(glob, names)
  local parts, list, firsts, seen = components(glob), {}, {}, {}
  for _, name in ipairs(names) do
    local first = name:match "^[^.]*"
    list[#list + 1] = in_form(parts, name)
    if not seen[first] then seen[first], firsts[#firsts + 1] = true, first end
  end
  local found = nearest.hint(glob, list)
  return found ~= "" and found or "; names begin with " .. table.concat(firsts, ", ")
end

-- A list of patterns, or one -> set of names; a pattern that meets no name is an error, which begins with `what`.
function taps.check(patterns, names, what)
  local set = {}
  if type(patterns) == "string" then patterns = {patterns} end
  local function refuse(given) error(("%s is named by %s: expected a list of names such as {\"bert.*\"}"):format(what, given), 0) end
  if type(patterns) ~= "table" then refuse(tostring(patterns)) end
  for key, glob in pairs(patterns) do
    if math.type(key) ~= "integer" or type(glob) ~= "string" then refuse(("%s = %s"):format(tostring(key), tostring(glob))) end
    local any, pattern = false, taps.pattern(glob)
    for _, name in ipairs(names) do
      if name:match(pattern) then set[name], any = true, true end
    end
    if not any then error(string.format("%s is named '%s'%s", what, glob, hint(glob, names)), 0) end
  end
  return set
end

-- A function(name, rows, layout) that keeps what was asked for.
function taps.collector(set, found)
  return function(name, rows, lay)
    if set[name] then found[name] = {rows = rows, layout = lay} end
  end
end

-- rows [N, D] -> [B, T or P, D], zeros past the lengths.
function taps.unpack(rows, lay)
  if not lay.scatter then return rows:reshape(lay.B, lay.P, -1) end
  return F.scatter_rows(rows, lay.scatter, {rows = lay.B * lay.T}):reshape(lay.B, lay.T, -1)
end

return taps

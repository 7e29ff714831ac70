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

-- patterns -> set of names; a pattern that meets no name is an error, which begins with `what`.
function taps.check(patterns, names, what)
  local set = {}
  for _, glob in ipairs(patterns) do
    local any, pattern = false, taps.pattern(glob)
    for _, name in ipairs(names) do
      if name:match(pattern) then set[name], any = true, true end
    end
    if not any then error(string.format("%s is named '%s'%s", what or "tap: no layer", glob, nearest.hint(glob, names)), 0) end
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

-- What loading did, as text: matched, missing, unexpected, shape differences, and what was taken as read.
local nearest = require "vbl.nearest"
local sorted_keys = require "vbl.sorted_keys"

local report = {}

local SHOWN = 8

-- The list as lines, the first few of them; hint(name) -> text behind a name.
local function lines(out, title, list, hint)
  if #list == 0 then return end
  out[#out + 1] = ("  %s: %d"):format(title, #list)
  for i = 1, math.min(SHOWN, #list) do out[#out + 1] = ("    %s%s"):format(list[i], hint and hint(list[i]) or "") end
  if #list > SHOWN then out[#out + 1] = ("    and %d more"):format(#list - SHOWN) end
end

-- {path, targets, missing, unexpected, unused, differences, notes} -> text
function report.text(r)
  local out = {("weights %s: %d tensors matched"):format(table.concat(r.paths, ", "), r.matched)}
  lines(out, "missing (no tensor of that name in the file)", r.missing)
  -- A misspelt name is near to one that is missing.
  lines(out, "unexpected (no parameter of that name)", r.unexpected, function(name) return nearest.hint(name, #r.missing > 0 and r.missing or {"\0"}) end)
  lines(out, "shapes that differ", r.differences)
  lines(out, "in the file and not used", sorted_keys(r.unused), function(name) return " (" .. r.unused[name] .. ")" end)
  for _, note in ipairs(r.notes) do out[#out + 1] = "  " .. note end
  return table.concat(out, "\n")
end

return report

-- vbl.measure.matrix(Xs, Ys, name, opts) -> tensor f64 [#Xs, #Ys], statuses: a measure of every X with every Y (layer x layer maps).
-- Xs, Ys: lists of tensors [n, d] or of what prepare() gave; with prepared ones, measures called one after another share Gram matrices,
-- SVDs and neighbour lists. Pass one list twice for a map within a stream: symmetric measures then compute half of it. statuses[i][j] is "OK" or
-- why the number is NaN.
local c = require "vbl.measure.c"
local settings = require "vbl.measure.settings"

local function prepare_all(list, name, own)
  local out = {}
  if type(list) ~= "table" or #list == 0 then error(("matrix: %s: expected a list of at least one matrix"):format(name), 3) end
  for i, m in ipairs(list) do
    local made
    out[i], made = settings.prepared(m, ("%s[%d]"):format(name, i))
    if made then own[#own + 1] = out[i] end
  end
  return out
end

return function(Xs, Ys, name, opts)
  local own = {}
  local xs = prepare_all(Xs, "Xs", own)
  local ys = rawequal(Xs, Ys) and xs or prepare_all(Ys, "Ys", own)
  local values, statuses = c.table(name, xs, ys, opts)
  for _, m in ipairs(own) do m:release() end
  return values, statuses
end

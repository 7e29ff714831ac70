-- Similarity measures that stand still while the features move: a call that was switched off, or an algorithm that failed and says 0.0.
--   constant.check(s, epoch, layers) -> {{kind = "constant", text =}, ...}     layers: partner -> one record a layer (vbl.train.probe)
--     s.measures keeps the values for the next epoch
-- A measure is constant over the layers, or a layer's over two epochs, when it moves by no more than 1e-6. That the features did change is
-- known from the other measures: one of them moved by more than that at the same place. Measures that are undefined (nan) are told elsewhere, and of fewer than
-- FEWEST pairs those that count neighbours take few values and meet by chance.
local analysis = require "vbl.analysis"

local constant = {STILL = 1e-6, FEWEST = 64, LAYERS = 3}

local function moved(x, y) return x and y and x == x and y == y and math.abs(x - y) > constant.STILL end
local function same(x, y) return x and y and math.abs(x - y) <= constant.STILL end

local function values_of(list, name)
  local values = {}
  for i, layer in ipairs(list) do values[i] = layer[name] or 0 / 0 end
  return values
end

-- Whether at the places i a measure other than `name` moves from x to y.
local function others_move(name, all, before, i, j)
  for _, other in ipairs(analysis.names) do
    if other ~= name and all[other] and before[other] and moved(all[other][i], before[other][j]) then return true end
  end
  return false
end

local function over_layers(name, all)
  local values = all[name]
  for i = 2, #values do
    if not same(values[i], values[1]) or not others_move(name, all, all, i, i - 1) then return false end
  end
  return #values >= constant.LAYERS
end

-- At every layer whose features changed, and at some layer they did.
local function over_epochs(name, all, before)
  local count = 0
  for i, value in ipairs(all[name]) do
    if others_move(name, all, before, i, i) then
      if not same(value, before[name] and before[name][i]) then return false end
      count = count + 1
    end
  end
  return count >= constant.LAYERS
end

local function look(alarms, partner, epoch, all, before)
  for _, name in ipairs(analysis.names) do
    local value = all[name][1]
    local where = over_layers(name, all) and ("at all %d layers"):format(#all[name]) or
                  before and over_epochs(name, all, before) and ("at each layer since epoch %d"):format(before.epoch)
    if where then
      alarms[#alarms + 1] = {kind = "constant", text = ("epoch %d: %s (%s) is the same to 1e-6 %s (%.6f at the first), although the features differ: it measures nothing here"):format(
        epoch, name, partner, where, value)}
    end
  end
end

function constant.check(s, epoch, layers)
  local alarms, kept = {}, {}
  for partner, list in pairs(layers) do
    local all = {epoch = epoch}
    for _, name in ipairs(analysis.names) do all[name] = values_of(list, name) end
    if list[1].n >= constant.FEWEST then look(alarms, partner, epoch, all, s.measures and s.measures[partner]) end
    kept[partner] = all
  end
  s.measures = kept
  table.sort(alarms, function(a, b) return a.text < b.text end)
  return alarms
end

return constant

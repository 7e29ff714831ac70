-- What the name of a metric says of it, "accuracy.ap" of the file of metrics or "accuracy" of a task's own.
--   metric_names.lower(name)      whether smaller is better
--   metric_names.neutral(name)    whether neither side is: controls (loss.mlm_shuffled), levels of chance, counts
--   metric_names.beside(name)     whether it only stands beside a score: the ends of its interval, a level of chance, a count
--   metric_names.control(name)    the loss of the control with shuffled images (vbl.train.evaluate) that belongs to this loss
--   metric_names.controlled(name) -> the loss whose control it is, or nil
--   metric_names.count(name, value) -> the text of a metric that counts: whole where it is, with one decimal where it is a mean of batches; nil of any
--     other metric
local metric_names = {}

local CONTROL = "_shuffled"

local function counts(name) return name:find "^candidates%." ~= nil or name:find "^left_out%." ~= nil end

local function of_chance(name) return name:find "^chance%." ~= nil end

function metric_names.control(name) return name .. CONTROL end

function metric_names.controlled(name) return name:sub(-#CONTROL) == CONTROL and name:sub(1, -#CONTROL - 1) or nil end

function metric_names.neutral(name) return metric_names.controlled(name) ~= nil or of_chance(name) or counts(name) end

function metric_names.beside(name) return name:find "%.low$" ~= nil or name:find "%.high$" ~= nil or of_chance(name) or counts(name) end

function metric_names.lower(name) return not metric_names.neutral(name) and (name:find "^loss" ~= nil or name:find "^median_rank" ~= nil) end

function metric_names.count(name, value)
  if not counts(name) then return nil end
  return math.tointeger(value) and ("%d"):format(math.tointeger(value)) or ("%.1f"):format(value)
end

return metric_names

-- Groups of rows that show the same thing, as the captions of one image do, and what measures have to know of them.
--   groups.read(labels, n) -> list of n labels; nil where each row is alone (nor are there any for nil and false)
--   groups.options(name, options, labels) -> the options, with what the measure has for such rows where the caller gave none: every row of a group is
--                              a right answer (retrieval); a group is in one fold whole (ridge_r2_cv)
--   groups.chance(name, record, labels) -> the chance level of a record; nil where it is a law of rows that are exchanged one by one
--   groups.remark(labels)    what a table without a chance level says of it; "" where there is one
--   groups.folds(labels, count, seed, shares) -> list of the fold, from 0, of each row: whole groups, drawn by the seed, each to the fold that lacks most
--                              rows of its share (equal ones by default)
local merged = require "vbl.merged"
local statistics = require "vbl.statistics"
local vbl = require "vbl"

local groups = {}

function groups.read(labels, n)
  if not labels then return nil end
  local list = type(labels) == "table" and labels or vbl.is_tensor(labels) and labels:totable()
  if not list or #list ~= n then error(("groups: expected %d integers, the label of each row, got %s"):format(n, list and #list or type(labels)), 0) end
  local repeated, seen = false, {}
  for i, label in ipairs(list) do
    if not math.tointeger(label) then error(("groups: expected integers, got %s for row %d"):format(tostring(label), i), 0) end
    repeated, seen[label] = repeated or seen[label] ~= nil, true
  end
  return repeated and list or nil
end

-- group -> its rows, and the groups in a drawn order.
local function drawn(labels, seed)
  local rows, names, order = {}, {}, {}
  for i, label in ipairs(labels) do
    if not rows[label] then rows[label], names[#names + 1] = {}, label end
    table.insert(rows[label], i)
  end
  for i, at in ipairs(statistics.permutation(#names, seed, 0)) do order[i] = names[at] end
  return rows, order
end

function groups.folds(labels, count, seed, shares)
  local rows, order = drawn(labels, seed)
  if #order < count then error(("groups: %d groups cannot be divided into %d parts"):format(#order, count), 0) end
  local fold, lacks = {}, {}
  for f = 1, count do lacks[f] = #labels * (shares and shares[f] or 1 / count) end
  for _, label in ipairs(order) do
    local most = 1
    for f = 2, count do most = lacks[f] > lacks[most] and f or most end
    lacks[most] = lacks[most] - #rows[label]
    for _, i in ipairs(rows[label]) do fold[i] = most - 1 end
  end
  return fold
end

function groups.options(name, options, labels)
  if not labels then return options end
  local out = merged(options)
  if name == "retrieval" and out.groups == nil then out.groups = labels end
  if name == "ridge_r2_cv" and out.assignment == nil then out.assignment = groups.folds(labels, out.folds or 5, out.seed or 0) end
  return out
end

function groups.chance(name, record, labels)
  if labels and name ~= "retrieval" then return nil end
  return record.chance
end

function groups.remark(labels)
  return labels and "; several pairs show one image: the chance level is that of whole images shuffled, in vbl.analysis.table" or ""
end

return groups

-- Measures two files of features, from any framework: .npy, or .npz and .safetensors that hold one array (else FILE:NAME). Row i of A and
-- row i of B are of one item.
--   vbl experiments/measure_files.lua text.npy vision.npy
--   vbl experiments/measure_files.lua run.safetensors:text.11 run.safetensors:vision.11 measures='{"cka", "mknn"}' k=20
local vbl = require "vbl"

local config = vbl.config({
  measures = {"cka", "mknn", "knn_jaccard", "rank_sim", "svcca", "procrustes", "rsa", "cosine", "retrieval"},  -- names of vbl.measure
  k = 10,                 -- neighbours
  null = 200,             -- permutations behind each p; 0: none
  interval = true,        -- 95 % intervals from subsets of half the rows
  pool = "none",          -- of [n, T, d] arrays: cls (the first token) or mean (of all tokens: no padding)
  groups = "",            -- a .npy or .tsv of n labels: rows of one label (captions of one image) stay together
  save = "",              -- .tsv or .json to write as well
}, nil, {"A", "B"})

local function complain(...) require "vbl.usage"(string.format(...)) end

local function load_file(path)
  local ok, value = pcall(vbl.load, path)
  if not ok then complain("%s", require("vbl.usage").strip(value)) end
  return value
end

-- A table of texts or of rows is none of arrays.
local function holds_arrays(value)
  for _, item in pairs(type(value) == "table" and value or {}) do
    if not vbl.is_tensor(item) then return false end
  end
  return type(value) == "table" and next(value) ~= nil
end

-- The arrays of a file that holds several, as "name [shape]".
local function contents(arrays)
  local list = {}
  for name, t in pairs(arrays) do list[#list + 1] = ("%s [%s]"):format(name, table.concat(t:shape(), ", ")) end
  table.sort(list)
  return list
end

local function load_array(word)
  local path, name = word:match "^(.*%.%a+):(.+)$"
  local value = load_file(path or word)
  if vbl.is_tensor(value) then return value end
  if not holds_arrays(value) then complain("%s: holds no arrays; expected .npy, .npz or .safetensors", word) end
  local list = contents(value)
  if not name and #list == 1 then return select(2, next(value)) end
  if name and value[name] then return value[name] end
  complain("%s: %s; it holds %s", word, name and "no array of this name" or "several arrays: say which (FILE:NAME)", table.concat(list, ", "))
end

local function rows_of(word)
  local x = load_array(word)
  local shape = table.concat(x:shape(), ", ")
  if x:dtype() == "i32" or x:dtype() == "u8" then complain("%s: holds %s, expected real numbers", word, x:dtype()) end
  if x:ndim() == 2 then return x end
  if x:ndim() ~= 3 then complain("%s: expected [n, d] (or [n, T, d] with pool=cls or pool=mean), got [%s]", word, shape) end
  if config.pool == "cls" then return x:select(2, 1) end
  if config.pool == "mean" then return x:mean(2) end
  complain("%s: [%s] has tokens; pool=cls takes the first of each row, pool=mean their mean (leave the padding out yourself)", word, shape)
end

local function groups_of(path, n)
  if path == "" then return nil end
  local labels, known, count = load_file(path), {}, 0
  if type(labels) ~= "table" and not vbl.is_tensor(labels) then complain("%s: holds no labels; expected one a row", path) end
  if vbl.is_tensor(labels) then labels = labels:totable() end
  for i, label in ipairs(labels) do
    label = type(label) == "table" and label[#label] or label
    if known[label] == nil then known[label], count = count, count + 1 end
    labels[i] = known[label]
  end
  if #labels ~= n then complain("%s: %d labels for %d rows", path, #labels, n) end
  return labels
end

if config.pool ~= "none" and config.pool ~= "cls" and config.pool ~= "mean" then complain("pool: expected none, cls or mean, got '%s'", config.pool) end
local a, b = config.operands[1], config.operands[2]
local x, y = rows_of(a), rows_of(b)
if x:size(1) ~= y:size(1) then complain("%s has %d rows and %s has %d; row i of both must be of one item", a, x:size(1), b, y:size(1)) end
require("vbl.analysis.gate").check(config.measures)
local prepared, ok = {}, nil
for i, word in ipairs(config.operands) do
  ok, prepared[i] = pcall(vbl.measure.prepare, i == 1 and x or y, word)
  if not ok then complain("%s", require("vbl.usage").strip(prepared[i])) end
end
local groups, report = groups_of(config.groups, x:size(1)), nil
ok, report = pcall(vbl.measure.report, prepared[1], prepared[2], config.measures, {null = config.null, interval = config.interval and "subsample",
                                                                                   k = config.k, groups = groups, seed = config.flags.seed})
if not ok then complain("%s", require("vbl.usage").strip(report)) end
print(("A %s [%s], B %s [%s]"):format(a, table.concat(x:shape(), ", "), b, table.concat(y:shape(), ", ")))
print(report)
if config.save ~= "" then report:save(config.save) end

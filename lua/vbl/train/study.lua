-- A study: several runs of one script, each made once. Started again, it keeps the runs that are finished, goes on with those that were
-- stopped, and makes those that are missing; a run whose config was changed is another run.
--   study.run(cells, flags) -> cells with their record (vbl.runs.open)
--     cells: {{name =, seed =, kind = "finetune"|"pretrain", config = table, labels = {KEY = value}}, ...}; config may be a function that
--     returns the table (it may lean on cells before it); flags: those of the script's config; runs go to flags.out, named
--     NAME-sSEED-HASH, HASH being of the config
--   study.groups(cells, key, where) -> {{name =, runs = {record, ...}}, ...} for vbl.report.table: by labels[key], in order
--   study.correlation(cells, names, opts) -> sheet of vbl.analysis.downstream: each run's mean over its layers of the measures, after
--     training, texts and images mismatched, against its best validation score; groups: the tasks
--   study.paths(cells) -> run folders, one of each cell's name
--   study.publish(path, tables, sheet)     PATH.md, .tex and .csv of the tables, the sheet's figure and files, prints both
local vbl = require "vbl"
local loop = require "vbl.train.loop"
local kinds = {pretrain = "vbl.train.pretraining", finetune = "vbl.train.finetuning"}
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local values = require "vbl.config.values"

local study = {}

local function copy(t)
  local new = {}
  for key, value in pairs(t) do new[key] = type(value) == "table" and copy(value) or value end
  return new
end

local function full_name(cell, config)
  return ("%s-s%d-%s"):format(cell.name:gsub("[^%w%-_.]+", "-"), cell.seed, store.sha256(values.write(config)):sub(1, 8))
end

-- The newest run of that name.
local function find(out, name)
  local found
  for _, record in ipairs(system.exists(out) and vbl.runs.list {out = out} or {}) do
    if record.name:sub(-#name - 1) == "-" .. name then found = record end
  end
  return found
end

local function wanted(record, flags)
  if record.status ~= "finished" then return true end
  local tested = false
  for name in pairs(record.values) do tested = tested or name:find "^test%." end
  return flags.final and record.kind == "finetune" and not tested
end

local function make(cell, flags)
  local config = copy(type(cell.config) == "function" and cell.config() or cell.config)
  local name = full_name(cell, config)
  local record = find(flags.out, name)
  if record and not wanted(record, flags) then return record end
  config.flags = copy(flags)
  config.flags.seed, config.flags.name, config.flags.words, config.flags.given = cell.seed, name, {}, {}
  config.flags.resume = record and record.path
  local result = loop.run(config, {kind = require(kinds[cell.kind or "finetune"])})
  collectgarbage()
  return vbl.runs.open(result.folder)
end

function study.run(cells, flags)
  for i, cell in ipairs(cells) do
    print(("== %d of %d: %s, seed %d"):format(i, #cells, cell.name, cell.seed))
    cell.record = make(cell, flags)
    if cell.record.result.best then print(("   %s: best %s %.4f"):format(cell.record.path, cell.record.result.best.metric, cell.record.result.best.value)) end
  end
  return cells
end

function study.groups(cells, key, where)
  local groups, by_name = {}, {}
  for _, cell in ipairs(cells) do
    local name, fits = tostring(cell.labels[key]), cell.kind ~= "pretrain"
    for k, v in pairs(where or {}) do fits = fits and cell.labels[k] == v end
    if fits then
      if not by_name[name] then
        by_name[name] = {name = name, runs = {}}
        groups[#groups + 1] = by_name[name]
      end
      table.insert(by_name[name].runs, cell.record)
    end
  end
  return groups
end

-- The folders of the cells' runs, those of one seed of each being enough for a page.
function study.paths(cells)
  local paths, seen = {}, {}
  for _, cell in ipairs(cells) do
    if not seen[cell.name] then paths[#paths + 1], seen[cell.name] = cell.record.path, true end
  end
  return paths
end

-- The mean over the layers of each measure, of the names that the layer table has for it.
local own_names = {knn_jaccard = "jaccard", rank_sim = "rank"}

local function means(layers, names)
  local row = {}
  for _, name in ipairs(names) do
    local sum, n = 0, 0
    for _, layer in ipairs(layers or {}) do
      local v = layer[own_names[name] or name]
      if type(v) == "number" and v == v then sum, n = sum + v, n + 1 end
    end
    row[name] = n > 0 and sum / n or nil
  end
  return row
end

function study.correlation(cells, names, opts)
  local rows = {}
  for _, cell in ipairs(cells) do
    local result = cell.record.result
    if cell.kind ~= "pretrain" and result.best and result.alignment and result.alignment.after then
      local row = means(result.alignment.after.mismatched, names)
      row.model, row.group, row.score = cell.record.name, result.task, result.best.value
      rows[#rows + 1] = row
    end
  end
  return vbl.analysis.downstream(rows, names, opts or {})
end

function study.publish(path, tables, sheet)
  store.make_folder((path:match "^(.*)/" or "."))
  for _, t in ipairs(tables) do
    print(t)
    t:save(path .. ".md")
    t:save(path .. ".tex")
    t:save(path .. ".csv")
  end
  if not sheet then return end
  print(sheet)
  sheet:save(path .. "-correlation")
  sheet:draw(path .. "-correlation")
end

return study

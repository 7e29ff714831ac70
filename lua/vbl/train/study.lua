-- A study: several runs of one script, each made once, then compared. Started again, it keeps the runs that are finished, goes on with those
-- that were stopped, and makes those that are missing; a run whose config was changed is another run. None begins where one would be refused.
--   study.run(cells, flags, opts) -> vbl.report.comparison, saved and on a page; nil with --plan
--     cells: {{name =, seed =, kind = "finetune"|"pretrain", config = table, labels = {KEY = value}, after = cell}, ...}. A cell with `after` waits for
--     that cell, and its config may be a function that makes the table from that cell's record. flags: those of the script's config; runs go to
--     flags.out, named NAME-sSEED-HASH, HASH being of the config
--     opts {by = "KEY", the label that makes the groups, name =, jobs = 1: runs at a time, each with that share of the threads, and what
--     vbl.report.comparison takes: title, baseline, measures, ...}; flags.out/NAME.md, .tex, .csv, its figures and NAME.html
local merged = require "vbl.merged"
local vbl = require "vbl"
local cells_of = require "vbl.train.study_cell"
local check = require "vbl.train.study_check"
local crew = require "vbl.train.study_crew"
local dist = require "vbl.dist"
local store = require "vbl.store.c"
local usage = require "vbl.usage"

local study = {}

-- The fine-tuned runs by labels[key], in the cells' order: {{name =, runs = {record, ...}}, ...}.
local function groups_of(cells, key)
  local groups, by_name = {}, {}
  for _, cell in ipairs(cells) do
    local name = tostring(cell.labels[key])
    if cell.kind ~= "pretrain" and cell.record then
      if not by_name[name] then
        by_name[name] = {name = name, runs = {}}
        groups[#groups + 1] = by_name[name]
      end
      table.insert(by_name[name].runs, cell.record)
    end
  end
  return groups
end

-- The folders of the cells' runs, those of one seed of each being enough for the page's charts.
local function paths(cells)
  local list, seen = {}, {}
  for _, cell in ipairs(cells) do
    if cell.record and not seen[cell.name] then list[#list + 1], seen[cell.name] = cell.record.path, true end
  end
  return list
end

local states = {done = "finished", resume = "goes on", new = "to be made"}

local function plan(cells, flags)
  for _, cell in ipairs(cells) do
    local state = cell.after and not cell.after.record and "new" or cells_of.look(cell, flags)
    print(("%-40s %s%s"):format(("%s, seed %d"):format(cell.name, cell.seed), states[state], cell.record and ": " .. cell.record.path or ""))
  end
  print(("%d runs; --plan of experiments/finetune.lua counts one"):format(#cells))
end

local function publish(cells, flags, opts)
  local given, out = merged(opts), ("%s/%s"):format(flags.out, opts.name)
  given.by, given.name, given.jobs = nil, nil, nil
  local comparison = vbl.report.comparison(groups_of(cells, opts.by), given)
  store.make_folder((out:match "^(.*)/" or "."))
  comparison:save(out)
  print(comparison)
  print("the runs on one page: " .. vbl.report.html(paths(cells), {out = out .. ".html", comparison = comparison}))
  return comparison
end

function study.run(cells, flags, opts)
  dist.refuse "a study"
  if flags.resume then usage "study: --resume is of one run; a study goes on by itself when it is started again with the same words" end
  local jobs = opts.jobs or 1
  if not math.tointeger(jobs) or jobs < 1 then usage(("study: jobs: expected a whole number of at least 1, got %s"):format(tostring(jobs))) end
  vbl.report.comparison.check(opts.measures)
  check(cells, flags)
  if flags.plan then return plan(cells, flags) end
  local failed = crew.run(cells, flags, jobs)
  if #failed == #cells then usage(("study: no run succeeded; the first: %s: %s"):format(failed[1].name, failed[1].failure)) end
  local comparison = publish(cells, flags, opts)
  if #failed > 0 then usage(("study: %d of %d runs failed; the first: %s: %s"):format(#failed, #cells, failed[1].name, failed[1].failure)) end
  return comparison
end

return study

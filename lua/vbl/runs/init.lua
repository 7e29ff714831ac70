-- vbl.runs: the runs in a folder. vbl.runs.folder makes and resumes one (its writer); here is what reads them and what people do to them.
-- The same at the command line: vbl runs.
--
--   vbl.runs.open(path or word) -> record     what a run is: vbl.runs.record; a word is what vbl.runs.find takes; raises for a folder that is
--     none, or whose files are damaged
--   vbl.runs.list{out = "runs", where = function(record) | table} -> records, oldest first     where: vbl.runs.query. Every run is in
--     the list, whatever its status: ask for {status = "finished"} where only whole results count. A damaged one has the status
--     "damaged" and says why in `problems`; one tagged "invalid" has the status "invalid".
--   vbl.runs.group(records, "config.model.placement") -> {{name = "late", runs = {record, ...}}, ...}, in the order of their first runs, as
--     vbl.report.table takes it; runs without the key are in the group "without KEY"
--   vbl.runs.find(word[, out]) -> path     the run of that name, id or part of a name: vbl.runs.find
--   vbl.runs.tag(record, {"paper", "-draft"})   vbl.runs.note(record, text)     vbl.runs.notes
--   vbl.runs.remove(record)     vbl.runs.remove
--   vbl.runs.diff(a, b) -> {config =, data =, versions =, metrics =}     vbl.runs.diff
--   vbl.runs.why(a, b) -> the first step at which their numbers differ, and its cause     vbl.runs.why
--   vbl.runs.import(source[, out]) -> paths     vbl.runs.import
--   vbl.runs.csv.runs(records), vbl.runs.csv.metrics(record) -> text     vbl.runs.csv
local known = require "vbl.known"
local notes = require "vbl.runs.notes"
local query = require "vbl.runs.query"
local record = require "vbl.runs.record"
local system = require "vbl.system.c"

local runs = {
  folder = require "vbl.runs.folder",
  metrics = require "vbl.runs.metrics",
  checkpoint = require "vbl.runs.checkpoint",
  csv = require "vbl.runs.csv",
  diff = require "vbl.runs.diff",
  why = require "vbl.runs.why",
  remove = require "vbl.runs.remove",
  tag = notes.tag,
  note = notes.note,
}

function runs.find(word, out) return require "vbl.runs.find"(word, out or "runs") end

function runs.import(source, out) return require "vbl.runs.import"(source, out or "runs") end

function runs.open(path)
  if not system.exists(path) then path = runs.find(path) end
  if not record.is_run(path) then error(("%s: not a run's folder (no config.lua in it); expected one such as runs/DATE-TIME-NAME"):format(path), 0) end
  local found = record.read(path)
  if #found.problems > 0 then error(found.problems[1], 0) end
  return found
end

-- By the time of their making, then by name: names of one second order its runs.
local function older(a, b)
  local x, y = a.created or a.name, b.created or b.name
  if x ~= y then return x < y end
  return a.name < b.name
end

function runs.list(opts)
  opts = known("runs.list", opts, {"out", "where"})
  local out, list = opts.out or "runs", {}
  local names, message = system.list(out)
  if not names then error(message, 0) end
  for _, name in ipairs(names) do
    local path = out .. "/" .. name
    if name:sub(1, 1) ~= "." and record.is_run(path) then
      local found = record.read(path)
      if query.test(found, opts.where) then list[#list + 1] = found end
    end
  end
  table.sort(list, older)
  return list
end

function runs.group(records, key)
  local groups, known = {}, {}
  for _, one in ipairs(records) do
    local value = query.get(one, key)
    local name = value == nil and "without " .. key or type(value) == "table" and require("vbl.config.values").show(value) or tostring(value)
    if not known[name] then
      known[name] = {name = name, runs = {}}
      groups[#groups + 1] = known[name]
    end
    table.insert(known[name].runs, one)
  end
  return groups
end

return runs

-- find(word, out[, otherwise]) -> path of the run that a word means. The first of these that there is:
--   1. with a / in the word: a run's folder
--   2. of the runs in `out` the one of that name, or of that id (its first digits do), or the only one whose name holds the word
--   3. DIR/WORD: the same of WORD among the runs in DIR
--   4. a folder of that name here that is surely a run's: a project's folder may have the name of an experiment
-- Where several fit, or none does and there is no `otherwise`, it raises, with what there is.
local c = require "vbl.store.c"
local nearest = require "vbl.nearest"
local record = require "vbl.runs.record"
local system = require "vbl.system.c"
local trimmed = require "vbl.trimmed"

local function names_in(out)
  local list = {}
  for _, name in ipairs(system.list(out) or {}) do
    if name:sub(1, 1) ~= "." and record.is_run(out .. "/" .. name) then list[#list + 1] = name end
  end
  return list
end

local function of_id(name, word) return #word >= 4 and word:find "^%x+$" and c.sha256(name):sub(1, #word) == word end
local function holds(name, word) return name:find(word, 1, true) end

local function fitting(names, word, fits)
  local list = {}
  for _, name in ipairs(names) do
    if fits(name, word) then list[#list + 1] = name end
  end
  return list
end

local function several(word, list)
  local shown = table.concat(list, "\n  ", 1, math.min(#list, 8))
  error(("'%s' fits %d runs; say more of the name, or the id of vbl runs ls:\n  %s%s"):format(word, #list, shown, #list > 8 and "\n  ..." or ""), 0)
end

local function among(names, word)
  for _, fits in ipairs {rawequal, of_id, holds} do
    local list = fitting(names, word, fits)
    if #list > 1 then several(word, list) end
    if list[1] then return list[1] end
  end
end

return function(word, out, otherwise)
  local path = trimmed(word)
  if (word:find "/" or word:find "^%.+$") and record.is_run(word) then return path end
  local names = names_in(out)
  local name = among(names, word)
  if name then return out .. "/" .. name end
  local folder, last = path:match "^(.*)/([^/]+)$"
  local inside = folder and not system.exists(path) and among(names_in(folder), last)
  if inside then return folder .. "/" .. inside end
  if record.is_surely_run(word) then return path end
  if otherwise then return otherwise end
  if word:find "/" and system.exists(word) then error(("%s: not a run's folder (no config.lua in it)"):format(word), 0) end
  local there = #names == 0 and "which holds none" or #names == 1 and "1 run" or #names .. " runs"
  error(("no run '%s' in %s (%s)%s"):format(word, out, there, nearest.hint(word, names)), 0)
end

-- What a process that met a fault, and went on or ended by itself, leaves beside its results: descriptors, files that grow, what its files claim.
--   traces.descriptors(open, before) -> nil or what is open that was not: both are lists of what descriptors led to, a line each
--   traces.runs(folder) -> the run folders in it, at any depth
--   traces.run(path, r) -> nil or what is wrong: files whole (each line of those that grow, each file that is replaced), and no success in them that
--     the process did not have. r: {code =, err =, all =} of the process that wrote it; nil: not known. all: each
--     request was refused from one on: it can do nothing more, its end included
--   traces.turns(got, want, needs, count) -> nil or what is wrong of a session at the prompt, its output cut at the marks that traces.marked made:
--     one turn may be another, and those that need it
--   traces.marked(turns) -> the session's text, needs; turns: {{LINE, needs = {n, ...}}, ...}
local metrics = require "vbl.runs.metrics"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local traces = {}

-- ---- descriptors -------------------------------------------------------------------------------------------------------------------

-- Numbers (of processes, times, pipes) differ between runs.
local function counted(open)
  local counts = {}
  for line in open:gmatch "[^\n]+" do
    local name = line:gsub("%d+", "#")
    counts[name] = (counts[name] or 0) + 1
  end
  return counts
end

function traces.descriptors(open, before)
  local known = counted(before)
  for name, n in pairs(counted(open)) do
    if n > (known[name] or 0) then return ("left open: %s, %d times, %d without the fault"):format(name, n, known[name] or 0) end
  end
end

-- ---- the files of a run ------------------------------------------------------------------------------------------------------------

function traces.runs(folder, list)
  list = list or {}
  for _, name in ipairs(system.list(folder) or {}) do
    local path = folder .. "/" .. name
    if system.exists(path .. "/config.lua") then list[#list + 1] = path elseif system.list(path) then traces.runs(path, list) end
  end
  return list
end

local function text_of(path) return system.exists(path) and store.read_file(path) or nil end

-- Each line whole: a line that was begun and not ended has the next one's begin in it, or no end.
local function check_lines(path, whole)
  local text = text_of(path) or ""
  if text ~= "" and text:sub(-1) ~= "\n" then return path .. " ends within a line: " .. text:match "[^\n]*$":sub(1, 200) end
  for line in text:gmatch "([^\n]*)\n" do
    if not whole(line) then return ("%s: no whole line: %s"):format(path, line:sub(1, 300)) end
  end
end

local function json_line(line) return (pcall(store.json_decode, line, {nan = "string"})) end

local stamp = "%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d %- %u+ %- "

-- A message may have lines of its own, without a time; a time stands at a line's begin alone.
local function log_line(line) return not line:find("%z") and not line:find(stamp, 2) end

local function check_replaced(run)
  for _, name in ipairs {"manifest.json", "result.json"} do
    local text = text_of(run .. "/" .. name)
    if text and not pcall(store.json_decode, text, {nan = "string"}) then return name .. " is no whole JSON" end
  end
  if not pcall(dofile, run .. "/config.lua") then return "config.lua does not load" end
  local page = text_of(run .. "/report.html")
  if page and not page:find "</html>%s*$" then return "report.html is not whole" end
end

-- The run's last word, as its process said it.
local function check_claims(run, r)
  local text, page, log = text_of(run .. "/result.json"), text_of(run .. "/report.html"), text_of(run .. "/log.txt") or ""
  local status = text and store.json_decode(text, {nan = "string"}).status or "none"
  local shown = page and page:match 'class="status (%a+)'
  local failed = r and r.code ~= 0
  -- Exit code 1 of a run that is finished: something beside it failed, which is said.
  local besides = r and (r.err:find("the run is finished, but", 1, true) or r.err:find("standard output: not all could be written", 1, true) or
                         r.err:find "its result was not saved: .*cannot flush folder" or r.err:find("\nlibgomp: ", 1, true) or r.all and r.err:find("not enough memory", 1, true))
  if status == "finished" and failed and not besides then return "result.json says finished, the process ended with " .. r.code end
  if shown == "finished" and status ~= "finished" then return "report.html says finished, result.json " .. status end
  -- One who could not read the run's files says so: damaged.
  if status == "finished" and shown and shown ~= "finished" and shown ~= "damaged" and not failed then return "result.json says finished, report.html " .. shown end
  if status == "failed" and text:find '"message": ""' then return "result.json gives no reason" end
  local _, closed = log:find("INFO - run folder ", 1, true)
  local told = closed and (log:find("WARNING - its result was not saved", closed, true) or log:find("WARNING - the end of the run is in no checkpoint", closed, true))
  if closed and not told and status ~= "finished" and failed and not besides then return "log.txt ends as if the run were finished" end
  if status == "finished" and metrics.read(run .. "/metrics.jsonl")[1] == nil then return "result.json says finished, there are no metrics" end
end

function traces.run(run, r)
  for _, name in ipairs {"metrics.jsonl", "warnings.jsonl"} do
    local wrong = check_lines(run .. "/" .. name, json_line)
    if wrong then return wrong end
  end
  return check_lines(run .. "/log.txt", log_line) or check_replaced(run) or check_claims(run, r)
end

-- ---- the prompt --------------------------------------------------------------------------------------------------------------------

function traces.marked(turns)
  local lines, needs = {}, {}
  for i, turn in ipairs(turns) do
    lines[#lines + 1] = turn[1]
    lines[#lines + 1] = ('io.write("<%d>\\n");'):format(i)
    needs[i] = {}
    for _, j in ipairs(turn.needs or {}) do needs[i][j] = true end
  end
  return table.concat(lines, "\n") .. "\n", needs
end

-- What each turn wrote. A mark that failed itself leaves its turn's text to the next one: then that is all of both, and neither is compared.
local function cut(text, n)
  local parts, at, from = {}, 1, 1
  for i = 1, n do
    local first, last = text:find(("<%d>\n"):format(i), at, true)
    if first then
      for j = from, i do parts[j] = j == i and from == i and text:sub(at, first - 1) or false end
      at, from = last + 1, i + 1
    end
  end
  for j = from, n do parts[j] = false end
  return parts
end

function traces.turns(got, want, needs)
  local n = #needs
  local mine, theirs = cut(got, n), cut(want, n)
  local lost, root = 0, nil
  for i = 1, n do
    if mine[i] == false then
      lost = lost + 1
    elseif mine[i] ~= theirs[i] then
      local follows = false
      for j in pairs(needs[i]) do follows = follows or mine[j] ~= theirs[j] end
      if not follows and root then return ("turns %d and %d are both other than without the fault: %s"):format(root, i, mine[i]) end
      if not follows then root = i end
    end
  end
  if lost > 2 then return ("%d turns did not come"):format(lost) end
end

return traces

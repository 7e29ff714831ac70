-- A sweep as one reads it, from its folder alone.
--
--   status.open(folder) -> {folder, name, state, trials, best}     raises where it is no sweep's folder
--     trials: {number, status, config, values, sd, n, message, runs = {{seed, status, folder, values, message, seconds}, ...}}; values: means
--     over the seeds (sd: deviation of a sample, n - 1); best: those that no other dominates, one with one objective
--   tostring(it) -> the table that `vbl sweep status` prints: best first, then what runs, waits, was pruned, failed
--   status.command(definition, trial, run) -> the command line that does this run again
local columns = require "vbl.columns"
local journal_of = require "vbl.sweep.journal"
local lease = require "vbl.sweep.lease"
local state_of = require "vbl.sweep.state"
local objective = require "vbl.sweep.objective"
local pareto = require "vbl.sweep.pareto"
local system = require "vbl.system.c"
local trial = require "vbl.sweep.trial"
local trimmed = require "vbl.trimmed"
local values = require "vbl.config.values"

local status = {}

local Status = {}
Status.__index = Status

function status.read(folder)
  if not system.exists(folder .. "/journal/000001.json") then
    error(("sweep: %s: no sweep's folder (it has no journal/000001.json)"):format(folder), 0)
  end
  local state, journal = state_of.new(), journal_of.open(folder, "reader")
  for _, entry in ipairs(journal:read()) do state:apply(entry) end
  return state
end

local function deviation(runs, name, mean)
  local sum = 0
  for _, run in ipairs(runs) do sum = sum + (run.values[name] - mean) ^ 2 end
  return #runs > 1 and math.sqrt(sum / (#runs - 1)) or nil
end

local function first_message(runs)
  for _, run in ipairs(runs) do
    if (run.status == "failed" or run.status == "pruned") and run.message then return run.message end
  end
end

local function record_of(state, t, folder)
  local r = {number = t.number, status = state:status(t), config = t.config, values = state:values(t), sd = {}, n = #t.runs, runs = {}}
  for i, run in ipairs(t.runs) do
    r.runs[i] = {seed = run.seed, status = run.status, folder = run.folder and folder .. "/" .. run.folder, values = run.values, message = run.message,
                 seconds = run.seconds}
  end
  for name, mean in pairs(r.values or {}) do r.sd[name] = deviation(t.runs, name, mean) end
  r.message = first_message(t.runs)
  return r
end

function status.open(folder)
  folder = trimmed(folder)
  local state = status.read(folder)
  local self = setmetatable({folder = folder, name = state.spec.name, state = state, trials = {}, best = {}}, Status)
  for i, t in ipairs(state.trials) do self.trials[i] = record_of(state, t, folder) end
  for i, t in ipairs(state:best()) do self.best[i] = self.trials[t.number + 1] end
  return self
end

local function quote(word) return word:find "[^%w%-_./=:,+@]" and "'" .. word:gsub("'", "'\\''") .. "'" or word end

function status.command(definition, config, seed)
  local words = {"vbl", quote(definition.experiment)}
  for _, word in ipairs(trial.words(config)) do words[#words + 1] = quote(word) end
  return ("%s --seed %d --threads %d"):format(table.concat(words, " "), seed, definition.threads)
end

local order = {finished = 1, running = 2, waiting = 3, pruned = 4, failed = 5}

-- Finished ones best first, the others by state and number.
local function sorted(self)
  local points, finished, list = {}, {}, {}
  for _, t in ipairs(self.trials) do
    if t.values then
      finished[#finished + 1], points[#points + 1] = t, objective.point(self.state.spec.objectives, t.values)
    else
      list[#list + 1] = t
    end
  end
  table.sort(list, function(a, b)
    if a.status ~= b.status then return order[a.status] < order[b.status] end
    return a.number < b.number
  end)
  local result = {}
  for i, at in ipairs(pareto.ranked(points)) do result[i] = finished[at] end
  return table.move(list, 1, #list, #result + 1, result)
end

local function score(t, name)
  if not t.values then return "" end
  return t.sd[name] and ("%s ± %s (%d)"):format(objective.text(t.values[name], 5), objective.text(t.sd[name], 2), t.n) or objective.text(t.values[name])
end

local function seconds(t)
  local sum = 0
  for _, run in ipairs(t.runs) do sum = sum + (run.seconds or 0) end
  return sum > 0 and (sum < 100 and "%.1f" or "%.0f"):format(sum) or ""
end

local function shown(value)
  if value == nil then return "" end
  return type(value) == "string" and value or type(value) == "number" and ("%.4g"):format(value) or values.show(value)
end

local function row_of(self, t, best)
  local spec, row = self.state.spec, {(best[t] and "*" or "") .. t.number, t.status}
  for _, o in ipairs(spec.objectives) do row[#row + 1] = score(t, o.name) end
  row[#row + 1] = seconds(t)
  for _, dim in ipairs(spec.dims) do row[#row + 1] = shown(t.config[dim.key]) end
  return row
end

local function header(self)
  local spec, list = self.state.spec, {}
  for i, o in ipairs(spec.objectives) do list[i] = o.direction .. " " .. o.name end
  local seeds = #spec.seeds > 1 and (", seeds %s"):format(table.concat(spec.seeds, " ")) or ""
  return ("%s: %s, %s over %d trials%s, %s"):format(self.folder, spec.name, spec.method, self.state.budget, seeds, table.concat(list, ", "))
end

local function counts_of(self)
  local counts, parts = self.state:counts(), {}
  for _, name in ipairs {"finished", "running", "waiting", "pruned", "failed"} do
    if counts[name] > 0 then parts[#parts + 1] = ("%d %s"):format(counts[name], name) end
  end
  local left = self.state.budget - #self.trials
  if left > 0 then parts[#parts + 1] = ("%d to come"):format(left) end
  return table.concat(parts, ", ")
end

-- Running ones whose worker is known to be dead: only resume goes on with them.
local function orphans(self)
  local list = {}
  for _, t in ipairs(self.state.trials) do
    for _, run in ipairs(t.runs) do
      if run.status == "running" and lease.alive(run.owner) == false then list[#list + 1] = tostring(t.number) end
    end
  end
  return list
end

function Status:__tostring()
  local spec, best, lines = self.state.spec, {}, {header(self), counts_of(self)}
  for _, t in ipairs(self.best) do best[t] = true end
  local rows = {{"trial", "status"}}
  for _, o in ipairs(spec.objectives) do rows[1][#rows[1] + 1] = o.name end
  rows[1][#rows[1] + 1] = "seconds"
  for _, dim in ipairs(spec.dims) do rows[1][#rows[1] + 1] = dim.key end
  for _, t in ipairs(sorted(self)) do rows[#rows + 1] = row_of(self, t, best) end
  if #rows > 1 then
    lines[#lines + 1] = ""
    for _, line in ipairs(columns(rows)) do lines[#lines + 1] = "  " .. line end
  end
  for _, t in ipairs(self.trials) do
    if t.message then lines[#lines + 1] = ("trial %d: %s: %s"):format(t.number, t.status, t.message) end
  end
  lines[#lines + 1] = ""
  for _, t in ipairs(self.best) do
    lines[#lines + 1] = ("%s trial %d, again: %s"):format(#spec.objectives > 1 and "* Pareto front:" or "* best:", t.number,
                                                          status.command(spec, t.config, t.runs[1].seed))
  end
  local dead = orphans(self)
  if #dead > 0 then lines[#lines + 1] = ("trials whose worker is dead: %s; go on with: vbl sweep resume %s"):format(table.concat(dead, " "), self.folder) end
  return table.concat(lines, "\n")
end

return status

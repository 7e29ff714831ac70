-- What a sweep came to, as files in its folder, made from the journal alone:
--   results.write(status)     of vbl.sweep.status
--     trials.tsv            a line a trial, in the order of their numbers: status, objectives (mean and deviation over the seeds), seconds,
--                           what was varied, whether it is the best or on the front, why it failed or was pruned
--     objectives.svg, .png  several objectives: every finished trial, the first objective against the second, and the Pareto front;
--                           one: the trials in their order and the best so far
local figure = require "vbl.plot.figure"
local merged = require "vbl.merged"
local store = require "vbl.store"
local values = require "vbl.config.values"

local results = {}

local function seconds_of(t)
  local sum = 0
  for _, run in ipairs(t.runs) do sum = sum + (run.seconds or 0) end
  return sum
end

local function text_of(value)
  if value == nil then return "" end
  return type(value) == "table" and values.show(value) or value
end

local function rows_of(self)
  local spec, best = self.state.spec, {}
  for _, t in ipairs(self.best) do best[t] = true end
  local rows = {{"trial", "status"}}
  for _, o in ipairs(spec.objectives) do table.move({o.name, o.name .. " sd"}, 1, 2, #rows[1] + 1, rows[1]) end
  table.move({"runs", "seconds", "best"}, 1, 3, #rows[1] + 1, rows[1])
  for _, dim in ipairs(spec.dims) do table.insert(rows[1], dim.key) end
  table.insert(rows[1], "message")
  for _, t in ipairs(self.trials) do
    local row = {t.number, t.status}
    for _, o in ipairs(spec.objectives) do table.move({t.values and t.values[o.name] or "", t.sd[o.name] or ""}, 1, 2, #row + 1, row) end
    table.move({t.n, seconds_of(t), best[t] and "yes" or ""}, 1, 3, #row + 1, row)
    for _, dim in ipairs(spec.dims) do row[#row + 1] = text_of(t.config[dim.key]) end
    row[#row + 1] = t.message or ""
    rows[#rows + 1] = row
  end
  return rows
end

local function points_of(trials, x, y)
  local s = {x = {}, y = {}}
  for _, t in ipairs(trials) do
    if t.values then
      s.x[#s.x + 1], s.y[#s.y + 1] = x(t), y(t)
    end
  end
  return s
end

local function against_cost(self, first, second)
  local function x(t) return t.values[second.name] end
  local function y(t) return t.values[first.name] end
  local front = {table.unpack(self.best)}
  table.sort(front, function(a, b) return x(a) < x(b) end)
  return {xlabel = second.name, ylabel = first.name, margin = 0.05, series = {
    merged(points_of(self.trials, x, y), {name = "trials", points = true, color = 6}),
    merged(points_of(front, x, y), {name = ("Pareto front (%d)"):format(#front), color = 2}),
  }}
end

local function over_trials(self, first)
  local sofar = {name = "best so far", x = {}, y = {}, color = 2}
  local all = merged(points_of(self.trials, function(t) return t.number end, function(t) return t.values[first.name] end), {name = "trials", points = true, color = 6})
  for i, y in ipairs(all.y) do
    local last = sofar.y[i - 1] or y
    sofar.x[i], sofar.y[i] = all.x[i], first.direction == "max" and math.max(last, y) or math.min(last, y)
  end
  return {xlabel = "trial", ylabel = first.name, integer_x = true, series = {all, sofar}}
end

function results.write(self)
  store.save(self.folder .. "/trials.tsv", rows_of(self))
  local first, second = table.unpack(self.state.spec.objectives)
  if #self.best == 0 then return end
  local panel = second and against_cost(self, first, second) or over_trials(self, first)
  figure.draw(self.folder .. "/objectives", {title = ("%s: %d trials"):format(self.name, #self.trials), panels = {panel}})
end

return results

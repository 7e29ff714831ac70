-- The figures of a comparison, as vbl.plot.figure takes them; a page draws the same.
--   figures.of(groups, t) -> list {name =, title =, columns =, panels =, folded =}     t: the vbl.report.table of the groups
--     scores            a panel a task, its main metric: each run, the group's mean, and the interval of the table
--     layers-PARTNER    of each task: a panel a measure, a line a group (mean over its runs, +- their sample deviation), after training
--   figures.correlation(rows, measures) -> the same     rows: {model, group (task), cluster (group of runs), score, metric, NAME = value}
local listed = require "vbl.report.comparison_sheets"
local resample = require "vbl.report.resample"
local titles = require "vbl.plot.titles"

local figures = {}

local function names_of(list)
  local names = {}
  for i, one in ipairs(list) do names[i] = one.name end
  return names
end

-- Of labels that are one class: what a constant answer gets.
local function majority(p)
  if not p or p.kind ~= "binary" and p.kind ~= "multiclass" then return nil end
  local counts, most = {}, 0
  for _, label in ipairs(p.labels) do
    counts[label] = (counts[label] or 0) + 1
    most = math.max(most, counts[label])
  end
  return most / p.n
end

local function chance_of(t, column)
  if column.metric:find "^auroc" then return {0.5, "chance, 0.5"} end
  local share = column.metric:find "^accuracy" and majority(t.first[column.task])
  return share and {share, ("largest class, %.3f"):format(share)} or nil
end

-- A line across where it is near; far below, it would press the scores into one another, and stands in the title.
local function with_chance(panel, chance)
  local low, high = math.huge, -math.huge
  for _, s in ipairs(panel.series) do
    for _, list in ipairs {s.y, s.low or {}, s.high or {}} do
      for _, v in ipairs(list) do
        if v == v then low, high = math.min(low, v), math.max(high, v) end
      end
    end
  end
  if chance and low - chance[1] <= 1.5 * (high - low) then panel.refs = {chance} elseif chance then panel.title = ("%s (%s)"):format(panel.title, chance[2]) end
  return panel
end

local function score_panel(t, c)
  local column, intervals = t.columns[c], false
  local runs, means = {name = "a run", x = {}, y = {}, labels = {}, points = true, color = 6}, {name = "mean", x = {}, y = {}, low = {}, high = {}, points = true, color = 1}
  for i, row in ipairs(t.rows) do
    local cell = row.cells[c]
    for k, v in ipairs(cell and cell.values or {}) do
      table.insert(runs.x, i + 0.16)
      table.insert(runs.y, v)
      table.insert(runs.labels, ("%s, seed %s"):format(row.name, cell.seeds[k]))
    end
    if cell then
      table.insert(means.x, i)
      table.insert(means.y, cell.mean)
      table.insert(means.low, cell.low or 0 / 0)
      table.insert(means.high, cell.high or 0 / 0)
      intervals = intervals or cell.low ~= nil
    end
  end
  if intervals then means.name = ("mean, %g %% interval"):format(100 * (1 - t.opts.alpha)) else means.low, means.high = nil, nil end
  return with_chance({title = column.task, ylabel = ("%s %s"):format(t.split, column.metric), series = {runs, means}, ticks = names_of(t.rows)}, chance_of(t, column))
end

-- One panel a task: of its first metric.
local function scores(t)
  local panels, seen = {}, {}
  for c, column in ipairs(t.columns) do
    if not seen[column.task] then panels[#panels + 1], seen[column.task] = score_panel(t, c), true end
  end
  return {name = "scores", title = t.opts.title and t.opts.title .. ": scores" or "Scores", panels = panels}
end

-- ---- by layer

local function layers_of(record, partner)
  local after = record.status == "finished" and (record.result.alignment or {}).after
  return after and after[partner]
end

-- measure -> group -> layer -> values of its runs, and the measures in the order of their names.
local function collect(groups, partner, task, task_of)
  local found, measures = {}, {}
  for g, group in ipairs(groups) do
    for _, record in ipairs(group.runs) do
      for layer, row in ipairs(task_of(record) == task and layers_of(record, partner) or {}) do
        for _, measure in ipairs(listed.measures(row)) do
          local v = row[measure]
          if type(v) == "number" then
            if not found[measure] then found[measure], measures[#measures + 1] = {}, measure end
            found[measure][g] = found[measure][g] or {}
            found[measure][g][layer] = found[measure][g][layer] or {}
            table.insert(found[measure][g][layer], v)
          end
        end
      end
    end
  end
  table.sort(measures)
  return found, measures
end

local function line_of(by_layer, name, color)
  local s, last = {name = name, x = {}, y = {}, low = {}, high = {}, color = color}, 0
  for layer in pairs(by_layer) do last = math.max(last, layer) end
  for layer = 1, last do
    local mean, sd = resample.moments(by_layer[layer] or {0 / 0})
    s.x[layer], s.y[layer], s.low[layer], s.high[layer] = layer - 1, mean, sd and mean - sd or mean, sd and mean + sd or mean
  end
  return s
end

local about = {matched = "matched pairs", mismatched = "mismatched partners"}

local function by_layer(groups, partner, task, task_of, many)
  local found, measures = collect(groups, partner, task, task_of)
  local panels = {}
  for i, measure in ipairs(measures) do
    panels[i] = {title = titles.of(measure), xlabel = "layer", integer_x = true, series = {}}
    for g, group in ipairs(groups) do
      local values = found[measure][g]
      if values then table.insert(panels[i].series, line_of(values, group.name, g)) end
    end
  end
  local of = many and "-" .. task:gsub("[^%w]+", "-"):gsub("%-$", "") or ""
  return {name = ("layers%s-%s"):format(of, partner), title = ("Alignment by layer after training%s, %s; mean ± deviation of the runs"):format(
            many and ", " .. task or "", about[partner]),
          columns = 3, panels = panels, folded = partner == "matched"}
end

function figures.of(groups, t)
  local list = {#t.columns > 0 and scores(t) or nil}
  for _, partner in ipairs {"mismatched", "matched"} do
    for _, task in ipairs(t.tasks) do
      local made = by_layer(groups, partner, task, t.task_of, #t.tasks > 1)
      if #made.panels > 0 then list[#list + 1] = made end
    end
  end
  return list
end

-- ---- measures against the score

local function in_order(rows, key)
  local list = {}
  for _, row in ipairs(rows) do
    if not list[row[key]] then
      list[#list + 1] = row[key]
      list[row[key]] = #list
    end
  end
  return list
end

local function scatter(rows, measure, task, clusters)
  local panel = {title = titles.of(measure) .. (task and ", " .. task or ""), xlabel = "mean over the layers",
                 ylabel = "val " .. (rows[1].metric or "score"), series = {}, margin = 0.05}
  for k, name in ipairs(clusters) do
    local s = {name = name, x = {}, y = {}, labels = {}, points = true, color = k}
    for _, row in ipairs(rows) do
      if row.cluster == name and row[measure] then
        table.insert(s.x, row[measure])
        table.insert(s.y, row.score)
        table.insert(s.labels, row.model)
      end
    end
    if #s.x > 0 then panel.series[#panel.series + 1] = s end
  end
  return panel
end

function figures.correlation(rows, measures)
  local panels, tasks, clusters = {}, in_order(rows, "group"), in_order(rows, "cluster")
  for _, task in ipairs(tasks) do
    local own = {}
    for _, row in ipairs(rows) do
      if row.group == task then own[#own + 1] = row end
    end
    for _, measure in ipairs(measures) do panels[#panels + 1] = scatter(own, measure, #tasks > 1 and task or nil, clusters) end
  end
  return {name = "correlation", title = "Alignment after training (mismatched partners) against the score", columns = 3, panels = panels}
end

return figures

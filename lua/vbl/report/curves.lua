-- The curves of a page: one chart a metric, all runs and splits in it.
--   curves(runs) -> charts {title, xlabel, series, refs}, in groups: {{title = "Loss", charts = {..}}, ...}
-- The bounds of an interval (NAME.low, NAME.high) are a band of their metric, the loss with shuffled images is a line beside its own.
local chance = require "vbl.report.chance"
local metric_names = require "vbl.metric_names"
local series = require "vbl.runs.series"

local POINTS = 400  -- of a series, at most: of longer ones the least and the largest of each stretch are drawn

local groups = {
  {"Loss", {"^loss%."}},
  {"Scores", {"^accuracy", "^auroc", "^f1_", "^f1%.", "^average_precision", "^vqa_accuracy", "^r%d+_", "^mrr", "^median_rank"}},
  {"Optimisation", {"^lr$", "^grad_norm$", "^norm%.", "^share%.", "^weight%."}},
  {"Other metrics", {""}},
}

local split_names = {step = "train, each step", train = "train, mean of the epoch", train_eval = "train, in eval mode"}
local split_colors = {step = 6, train = 1, train_eval = 5, test = 2, val = 4}
local split_order = {step = 1, train = 2, train_eval = 3, val = 4, test = 5}

-- Of several runs a colour is a run's, and the splits are told by their lines; what is held out is drawn through.
local split_dashes = {step = false, train_eval = 3, val = false, test = false}

local function dash_of(split)
  if split_dashes[split] == nil then return 1 end
  return split_dashes[split] or nil
end

-- Of each stretch of the series its least and its largest value; values that are not finite stay.
local function thin_out(s)
  if #s.x <= POINTS then return s end
  local out, every = {x = {}, y = {}}, math.ceil(2 * #s.x / POINTS)
  for first = 1, #s.x, every do
    local least, most = first, first
    for i = first, math.min(first + every - 1, #s.x) do
      if not (s.y[i] >= s.y[least]) then least = i end
      if not (s.y[i] <= s.y[most]) then most = i end
    end
    for _, i in ipairs(least == most and {least} or {math.min(least, most), math.max(least, most)}) do
      out.x[#out.x + 1], out.y[#out.y + 1] = s.x[i], s.y[i]
    end
  end
  return out
end

local function band(found, name, split, s)
  local low, high = found[name .. ".low"], found[name .. ".high"]
  low, high = low and low[split], high and high[split]
  if low and high and #low.y == #s.y then return low.y, high.y end
end

local function sorted_splits(by_split)
  local list = {}
  for split in pairs(by_split) do
    if not split:find "^probe" then list[#list + 1] = split end
  end
  table.sort(list, function(a, b)
    local x, y = split_order[a] or 9, split_order[b] or 9
    return x < y or x == y and a < b
  end)
  return list
end

-- Of several runs the noise of each step is left out where there are means.
local function drawn(by_split, split, name, many)
  if (name == "lr" or name == "grad_norm") and by_split.step then return split ~= "train" end  -- a schedule's mean over an epoch says nothing
  return not (many and split == "step" and (by_split.train or by_split.test))
end

local function add_series(chart, runs, r, found, name)
  local many = #runs > 1
  for _, split in ipairs(sorted_splits(found[name] or {})) do
    local whole = found[name][split]
    if drawn(found[name], split, name, many) then
      local s, label = thin_out(whole), not many and split_names[split] or split ~= "" and split or name
      local made = {name = many and runs[r].short .. ", " .. label or label, x = s.x, y = s.y, thin = split == "step" or nil, dash = many and dash_of(split) or nil,
                    color = many and (r - 1) % 7 + 1 or split_colors[split] or 5}
      if #s.x == #whole.x then made.lo, made.hi = band(found, name, split, whole) end
      chart.series[#chart.series + 1] = made
    end
  end
  local control = (found[metric_names.control(name)] or {}).test
  if control then
    chart.series[#chart.series + 1] = {name = (many and runs[r].short .. ", " or "") .. "test, images shuffled", x = control.x, y = control.y,
                                       color = many and (r - 1) % 7 + 1 or 3, dash = many and 2 or 1}
  end
end

-- A weight that never moves is in the config.
local function constant(chart)
  local first
  for _, s in ipairs(chart.series) do
    for _, y in ipairs(s.y) do
      first = first or y
      if y ~= first then return false end
    end
  end
  return true
end

local function chart_of(runs, collected, name)
  local chart = {title = name, xlabel = "optimizer step", xname = "step", integer = true, series = {}}
  for r in ipairs(runs) do add_series(chart, runs, r, collected[r], name) end
  local lines = chance.lines(runs, name)
  chart.refs = #lines > 0 and lines or nil
  return chart
end

local function group_of(name)
  for g, group in ipairs(groups) do
    for _, pattern in ipairs(group[2]) do
      if name:find(pattern) then return g end
    end
  end
end

return function(runs)
  local collected, names, seen = {}, {}, {}
  for r, run in ipairs(runs) do
    local own
    collected[r], own = series.curves(run.rows)
    for _, name in ipairs(own) do
      local controlled = collected[r][metric_names.controlled(name) or ""]
      if not seen[name] and not metric_names.beside(name) and not controlled then names[#names + 1], seen[name] = name, true end
    end
  end
  local result = {}
  for g, group in ipairs(groups) do
    local charts = {}
    for _, name in ipairs(names) do
      if group_of(name) == g then
        local chart = chart_of(runs, collected, name)
        if #chart.series > 0 and not (name:find "^weight%." and constant(chart)) then charts[#charts + 1] = chart end
      end
    end
    if #charts > 0 then result[#result + 1] = {title = group[1], charts = charts} end
  end
  return result
end

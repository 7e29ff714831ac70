-- The measures of alignment in a page.
--   layers.by_layer(runs) -> {epochs, charts}      from metrics.jsonl: one chart a measure, a line a partner, chance dashed
--   layers.maps(runs) -> {epochs, charts}          from RUN/analysis: layer x layer, matched beside mismatched
-- Values stand in one list an epoch, for the slider; the scale of a chart is that of all its epochs and partners.
local series = require "vbl.runs.series"
local titles = require "vbl.plot.titles"

local layers = {}

local partners = {{"matched", "matched pairs"}, {"mismatched", "mismatched partner"}, {"none", "co-attention off"}}
local NAN = 0 / 0

-- What was measured of each run (vbl.runs.series), the measures of all in order of appearance, and the epochs, {[epoch] = true}.
local function collect(runs)
  local found, measures, epochs = {}, {}, {}
  for r, run in ipairs(runs) do
    local own_epochs, own_measures
    found[r], own_epochs, own_measures = series.layers(run.rows)
    for _, epoch in ipairs(own_epochs) do epochs[epoch] = true end
    for _, measure in ipairs(own_measures) do
      if not measures[measure] then measures[measure], measures[#measures + 1] = true, measure end
    end
  end
  return found, measures, epochs
end

-- The epochs of a set, in order. (A file that was changed by hand may have others than whole ones, which no slider stops at.)
local function sorted(set)
  local list = {}
  for key in pairs(set) do
    if math.type(key) == "integer" then list[#list + 1] = key end
  end
  table.sort(list)
  return list
end

-- One list an epoch; layers that were not measured are NaN.
local function values_of(by_epoch, epochs)
  local lists, count = {}, 0
  for _, list in pairs(by_epoch) do
    for layer in pairs(list) do count = math.max(count, layer) end
  end
  for place, epoch in ipairs(epochs) do
    lists[place] = {}
    for layer = 1, count do lists[place][layer] = (by_epoch[epoch] or {})[layer] or NAN end
  end
  return lists
end

local function range(chart, low, high)
  for _, s in ipairs(chart.series) do
    for _, list in ipairs(s.values) do
      for _, v in ipairs(list) do
        if v == v and math.abs(v) < math.huge then low, high = math.min(low, v), math.max(high, v) end
      end
    end
  end
  if low > high then return 0, 1 end
  local room = math.max((high - low) * 0.06, 1e-3)
  return low - room, high + room
end

local function shade(run)
  local list = {}
  for i, layer in ipairs(run.manifest.coattention_layers or {}) do list[i] = {layer - 0.5, layer + 0.5} end
  return list
end

local function equal(a, b)
  for epoch, list in ipairs(a) do
    for layer, v in ipairs(list) do
      local w = b[epoch][layer]
      if v ~= w and not (v ~= v and w ~= w) then return false end
    end
  end
  return #a[1] == #b[1]
end

-- One line where all runs that have a level have the same, else one a run: it hangs on the number of pairs and on their draw.
local function add_chance(chart, runs, found, measure, epochs)
  local levels, same = {}, true
  for r in ipairs(runs) do
    local by_epoch = (found[r].chance or {})[measure]
    if by_epoch then levels[#levels + 1] = {r, values_of(by_epoch, epochs)} end
    same = same and (#levels == 0 or equal(levels[#levels][2], levels[1][2]))
  end
  for _, level in ipairs(same and {levels[1]} or levels) do
    local r, values = table.unpack(level)
    chart.series[#chart.series + 1] = {name = (same and "" or runs[r].short .. ", ") .. "chance level", values = values,
                                       color = same and 7 or (r - 1) % 7 + 1, dash = 2, thin = true}
  end
end

function layers.by_layer(runs)
  local found, measures, set = collect(runs)
  local epochs, charts = sorted(set), {}
  for _, measure in ipairs(measures) do
    local chart = {title = titles.of(measure), xlabel = "layer", whole = true, series = {}, shade = shade(runs[1])}
    for r, run in ipairs(runs) do
      for p, partner in ipairs(partners) do
        local by_epoch = (found[r][partner[1]] or {})[measure]
        if by_epoch then
          chart.series[#chart.series + 1] = {name = (#runs > 1 and run.short .. ", " or "") .. partner[2], values = values_of(by_epoch, epochs),
                                             color = #runs > 1 and (r - 1) % 7 + 1 or p, dash = p > 1 and p - 1 or nil}
        end
      end
    end
    add_chance(chart, runs, found, measure, epochs)
    chart.low, chart.high = range(chart, math.huge, -math.huge)
    charts[#charts + 1] = chart
  end
  return {epochs = epochs, charts = charts}
end

-- ---- layer x layer

local function empty(n, m)
  local made = {}
  for i = 1, n do
    made[i] = {}
    for j = 1, m do made[i][j] = NAN end
  end
  return made
end

local function empty_like(matrix) return empty(#matrix, #matrix[1]) end

-- The sheet's matrices by key_of(row); a cell that no row has is NaN.
local function cells(sheet, key_of)
  local matrices, n, m = {}, 0, 0
  for _, row in ipairs(sheet.rows) do n, m = math.max(n, row[3] + 1), math.max(m, row[4] + 1) end
  for _, row in ipairs(sheet.rows) do
    local key, v = key_of(row), row[5]
    matrices[key] = matrices[key] or empty(n, m)
    matrices[key][row[3] + 1][row[4] + 1] = type(v) == "number" and v or NAN
  end
  return matrices
end

-- Of a measure without a known end (a distance): the largest value.
local function most_of(matrices)
  local high = 0
  for _, matrix in ipairs(matrices) do
    for _, row in ipairs(matrix) do
      for _, v in ipairs(row) do
        if v == v and v < math.huge then high = math.max(high, v) end
      end
    end
  end
  return high > 0 and high or 1
end

local function chart_of(run, many, sheet, block, partner, matrices)
  local n, m, co = #matrices[1], #matrices[1][1], run.manifest.coattention_layers or {}
  local first, second = block:match "^(%a+) %- (%a+)$"
  return {title = (many and run.short .. ": " or "") .. ("%s, %s"):format(block, partner), matrices = matrices, rows = titles.layers(n), columns = titles.layers(m),
          ylabel = first .. " layer", xlabel = second .. " layer", low = sheet.low or 0, high = sheet.high or most_of(matrices),
          chance = block == "text - vision" and sheet.chance or nil,
          marks = {rows = co, columns = co}, measure = sheet.columns[#sheet.columns], run = run}
end

-- Text against vision at every epoch.
local function add_evolution(list, run, many, sheet, epochs)
  local found = cells(sheet, function(row) return row[2] .. " " .. row[1] end)
  for _, partner in ipairs(partners) do
    local any
    for _, epoch in ipairs(epochs) do any = any or found[partner[1] .. " " .. epoch] end
    if any then
      local matrices = {}
      for place, epoch in ipairs(epochs) do matrices[place] = found[partner[1] .. " " .. epoch] or empty_like(any) end
      list[#list + 1] = chart_of(run, many, sheet, "text - vision", partner[1], matrices)
    end
  end
end

-- The blocks of one checkpoint: those within a stream; text against vision too where no evolution has it.
local function add_blocks(list, run, many, sheet, has_evolution)
  local found = cells(sheet, function(row) return row[1] .. " " .. row[2] end)
  for _, block in ipairs {"text - vision", "text - text", "vision - vision"} do
    for _, partner in ipairs(partners) do
      local matrix = found[partner[1] .. " " .. block]
      if matrix and not (has_evolution and block == "text - vision") then
        list[#list + 1] = chart_of(run, many, sheet, block, partner[1], {matrix})
      end
    end
  end
end

function layers.maps(runs)
  local set, list, epochs = {}, {}, nil
  for _, run in ipairs(runs) do
    for name, sheet in pairs(run.sheets) do
      if name:find "^evolution%-matrix%-" then
        for _, row in ipairs(sheet.rows) do set[row[1]] = true end
      end
    end
  end
  epochs = sorted(set)
  for _, run in ipairs(runs) do
    for _, name in ipairs(run.sheet_names) do
      local measure = name:match "^matrix%-(.+)$" or name:match "^evolution%-matrix%-(.+)$"
      if measure then
        local over = run.sheets["evolution-matrix-" .. measure]
        if name:find "^evolution" then add_evolution(list, run, #runs > 1, over, epochs) else add_blocks(list, run, #runs > 1, run.sheets[name], over ~= nil) end
      end
    end
  end
  -- A measure's charts stand together, those with the slider first, in the order of the runs.
  local order = {}
  for i, chart in ipairs(list) do order[chart] = i end
  table.sort(list, function(a, b)
    if a.measure ~= b.measure then return a.measure < b.measure end
    if (#a.matrices > 1) ~= (#b.matrices > 1) then return #a.matrices > 1 end
    return order[a] < order[b]
  end)
  for _, chart in ipairs(list) do chart.run = nil end
  return {epochs = epochs, charts = list}
end

return layers

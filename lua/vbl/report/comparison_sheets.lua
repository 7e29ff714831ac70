-- The runs of a comparison, one by one, as sheets (vbl.analysis.sheet): for a page, and for figures of one's own.
--   sheets.runs(groups, task_of)       a line a run
--   sheets.layers(groups, task_of)     a line a run, partner, layer and measure: before and after training
--   sheets.measures(row)               the names of the measures in one layer of a result's alignment, sorted
local sheet = require "vbl.analysis.sheet"

local sheets = {}

-- Names of the values that any of the runs has, without what was ablated, for which a line has no room.
local function value_names(groups)
  local seen, list = {}, {}
  for _, group in ipairs(groups) do
    for _, record in ipairs(group.runs) do
      for name in pairs(record.values) do
        if not seen[name] and not name:find(".without.", 1, true) then seen[name], list[#list + 1] = true, name end
      end
    end
  end
  table.sort(list)
  return list
end

function sheets.runs(groups, task_of)
  local names, rows, columns = value_names(groups), {}, {"group", "task", "seed", "status", "best epoch"}
  table.move(names, 1, #names, #columns + 1, columns)
  columns[#columns + 1], columns[#columns + 2] = "parameters", "folder"
  for _, group in ipairs(groups) do
    for _, record in ipairs(group.runs) do
      local row = {group.name, task_of(record), record.seed or "", record.status, (record.result.best or {}).epoch or ""}
      for _, name in ipairs(names) do row[#row + 1] = sheet.cell(tonumber(record.values[name])) end
      row[#row + 1], row[#row + 2] = record.manifest.total_parameters or "", record.path
      rows[#rows + 1] = row
    end
  end
  return sheet.new {title = ("All %d runs"):format(#rows), columns = columns, rows = rows}
end

local describes = {layer = true, coattention = true, n = true}

function sheets.measures(row)
  local list = {}
  for name in pairs(row) do
    if not describes[name] then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

local function add_layers(rows, first, when, partner, layers)
  for number, row in ipairs(layers) do
    for _, measure in ipairs(sheets.measures(row)) do
      local line = table.move(first, 1, #first, 1, {})
      table.move({when, partner, number - 1, row.coattention and "yes" or "no", measure, sheet.cell(tonumber(row[measure]))}, 1, 6, #line + 1, line)
      rows[#rows + 1] = line
    end
  end
end

function sheets.layers(groups, task_of)
  local rows = {}
  for _, group in ipairs(groups) do
    for _, record in ipairs(group.runs) do
      for _, when in ipairs {"before", "after"} do
        local alignment = record.status == "finished" and (record.result.alignment or {})[when] or {}
        for _, partner in ipairs {"matched", "mismatched", "none"} do
          add_layers(rows, {group.name, task_of(record), record.seed or ""}, when, partner, alignment[partner] or {})
        end
      end
    end
  end
  return sheet.new {title = "Alignment layer by layer", columns = {"group", "task", "seed", "when", "partner", "layer", "coattention", "measure", "value"}, rows = rows}
end

return sheets

-- What `vbl script.lua --help` prints: keys with defaults and meaning in the order of the source, then the flags.
local comments = require "vbl.config.comments"
local flags = require "vbl.config.flags"
local values = require "vbl.config.values"

-- Source order; keys that the source does not have (schemas') by the alphabet behind the last key of their table.
local function ordered(rows, order)
  local place = {}  -- of each key; of "model.", the place of its table's last key
  for i, path in ipairs(order) do
    place[path] = i
    for dot in path:gmatch "()%." do place[path:sub(1, dot)] = i end
  end
  local function rank(path)
    while path ~= "" do
      if place[path] then return place[path] end
      path = path:match "^(.*%.)[^.]" or path:match "^(.+)%.$" or ""
    end
    return #order + 1
  end
  local list = {}
  for path in pairs(rows) do list[#list + 1] = path end
  table.sort(list, function(a, b)
    local ra, rb = rank(a), rank(b)
    if ra ~= rb then return ra < rb end
    if (place[a] == nil) ~= (place[b] == nil) then return place[a] ~= nil end
    return a < b
  end)
  return list
end

local function print_rows(list)
  local width, middle = 0, 0
  for _, row in ipairs(list) do
    width = math.max(width, #row[1])
    middle = math.max(middle, math.min(#row[2], 24))
  end
  for _, row in ipairs(list) do
    print((("  %-" .. width .. "s  %-" .. middle .. "s  %s"):format(table.unpack(row)):gsub("%s+$", "")))
  end
end

-- What the options' owner takes where nothing is said, "(24000)" at a meaning's end, is none beside the script's own default.
local function meaning_of(row)
  local text = row.meaning or ""
  return row[1] ~= nil and not row.schema and text:gsub(" %([%w.]+%)$", "") or text
end

return function(rows, source, line, operands)
  local meanings, order = {}, {}
  if source then meanings, order = comments(source, line) end
  local keys = {}
  for _, path in ipairs(ordered(rows, order)) do
    local default = rows[path][1]
    local nested = type(default) == "table" and #default == 0
    local shown = default == nil and rows[path].unset or (nested or default == nil) and "" or values.show(default)
    keys[#keys + 1] = {path, shown, meanings[path] or meaning_of(rows[path])}
  end
  local words = operands and " " .. table.concat(operands, " ") or ""
  print(("usage: vbl %s%s [key=value ...] [flags]\n\nkeys, defaults, meaning:"):format(arg and arg[0] or "script.lua", words))
  print_rows(keys)
  print "\nflags:"
  print_rows(flags.shown(operands))
end

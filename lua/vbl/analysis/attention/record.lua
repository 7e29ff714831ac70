-- A view of vbl.analysis.attention as a plain table, for analysis/attention.json and the page that reads it.
--   record(view, {id =, caption =, attributions = {{name =, result = view:attribution(...)}, ...}}) ->
--     {id, caption, image = {format, data = base64}, words, grid, blocks = {{name, maps = {map, ...}}, ...}, entropy = {{name, heads}, ...}, attributions}
--     map: {query, key, rows, columns, heads (1: their mean), p = base64 of u8 [heads, rows, columns], top = [heads * rows]}: a probability is
--     u8 / 255 times its row's top
--     attributions: {name, score, text = [..], vision = [..]}
-- The last block is "rollout", all four directions. Of large maps the mean of the heads is kept.
local base64 = require "vbl.store.base64"
local c = require "vbl.store.c"

local LARGE = 30000  -- elements of a map, [heads, rows, columns], beyond which the heads' mean stands for them

local function bytes_of(p)
  local list = p:reshape(-1):to("i32"):totable()
  local parts = {}
  for first = 1, #list, 4096 do parts[#parts + 1] = string.char(table.unpack(list, first, math.min(first + 4095, #list))) end
  return table.concat(parts)
end

local function map_of(query, key, p)
  if p:numel() > LARGE then p = p:mean(1):unsqueeze(1) end
  local top = p:max(3)
  local scaled = p / (top + top:eq(0)):unsqueeze(3) * 255 + 0.5
  local tops = top:reshape(-1):totable()
  for i, v in ipairs(tops) do tops[i] = tonumber(("%.4g"):format(v)) end
  return {query = query, key = key, heads = p:size(1), rows = p:size(2), columns = p:size(3), p = base64(bytes_of(scaled:minimum(255))), top = tops}
end

local function blocks_of(view)
  local list = {}
  for _, map in ipairs(view.maps) do
    local last = list[#list]
    if not last or last.name ~= map.block then
      last = {name = map.block, maps = {}}
      list[#list + 1] = last
    end
    last.maps[#last.maps + 1] = map_of(map.query, map.key, map.p)
  end
  local rows, n, m = view:rollout(), view.sizes.text, view.sizes.vision
  local rollout = {name = "rollout", maps = {}}
  for _, query in ipairs {"text", "vision"} do
    rollout.maps[#rollout.maps + 1] = map_of(query, "text", rows[query]:narrow(2, 1, n):contiguous():unsqueeze(1))
    rollout.maps[#rollout.maps + 1] = map_of(query, "vision", rows[query]:narrow(2, n + 1, m):contiguous():unsqueeze(1))
  end
  list[#list + 1] = rollout
  return list
end

local function entropy_of(view)
  local list, found, seen = {}, view:entropy(), {}
  for _, map in ipairs(view.maps) do
    local name = map.source.name
    if not seen[name] then list[#list + 1], seen[name] = {name = name, heads = found[name]}, true end
  end
  return list
end

return function(view, about)
  local shape = view.pair.images:shape()
  local format = shape[3] <= 96 and "png" or "jpg"
  local image = view.pair.images:reshape(3, shape[3], shape[4]):contiguous()
  local made = {id = about.id, caption = about.caption, words = view.words, grid = view.grid, blocks = blocks_of(view), entropy = entropy_of(view), attributions = {},
                image = {format = format == "jpg" and "jpeg" or format, data = base64(c.image_encode(format, image, 85))}}
  for i, a in ipairs(about.attributions or {}) do
    made.attributions[i] = {name = a.name, score = a.result.score, text = a.result.text:totable(), vision = a.result.vision:totable()}
  end
  return made
end

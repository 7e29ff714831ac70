-- What goes into a page, made harmless: nothing of a run (captions, names, notes) is ever markup or script.
--   markup.text(value)               escaped text; bytes that are no UTF-8 become U+FFFD
--   markup.name(value)               the same of a name with dots or underscores, behind which a narrow page may break it
--   markup.element(tag, attributes, content, ...)    content: markup, concatenated; attributes {class = "n"}: values escaped; a `true` has no value
--   markup.table{columns = {..}, rows = {{..}, ..}, numeric = {[j] = true}, class = function(row, i) -> class or nil}    cells: markup.raw or plain values
--   markup.raw(text)                 a cell that is markup already
--   markup.number(v)                 four significant digits
--   markup.json(value)               for a <script type="application/json">: no "<" in it, so nothing in it can end the element; NaN is null, an
--                                    empty table a list
--   markup.image(tensor) -> data URI of a u8 [3, H, W]: PNG up to 96 pixels, JPEG above
local base64 = require "vbl.store.base64"
local c = require "vbl.store.c"
local sorted_keys = require "vbl.sorted_keys"

local markup = {}

local entities = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;"}

local function whole_utf8(text)
  if utf8.len(text) then return text end
  local parts, at = {}, 1
  while at <= #text do
    local _, bad = utf8.len(text, at)
    parts[#parts + 1] = text:sub(at, (bad or #text + 1) - 1)
    if not bad then break end
    parts[#parts + 1] = "\u{FFFD}"
    at = bad + 1
  end
  return table.concat(parts)
end

function markup.text(value) return (whole_utf8(tostring(value)):gsub("[&<>\"']", entities):gsub("[%z\1-\8\11\12\14-\31]", "\u{FFFD}")) end

function markup.name(value) return (markup.text(value):gsub("[._]+", "%0<wbr>")) end

function markup.element(tag, attributes, ...)
  local parts = {}
  for _, name in ipairs(sorted_keys(attributes or {})) do
    local value = attributes[name]
    if value then parts[#parts + 1] = value == true and " " .. name or (' %s="%s"'):format(name, markup.text(value)) end
  end
  local content = {...}
  for i = 1, select("#", ...) do content[i] = content[i] or "" end
  local open = "<" .. tag .. table.concat(parts) .. ">"
  if tag == "img" or tag == "input" then return open end
  return open .. table.concat(content) .. "</" .. tag .. ">"
end

function markup.raw(text) return {raw = text} end

function markup.number(v)
  if math.type(v) == "integer" then return ("%d"):format(v) end
  if v ~= v then return "undefined" end
  if math.abs(v) == math.huge then return v > 0 and "infinite" or "-infinite" end
  return ("%.4g"):format(v)
end

local function cell(value)
  if value == nil then return "" end
  if type(value) == "table" and value.raw then return value.raw end
  if type(value) == "number" then return markup.text(markup.number(value)) end
  return markup.text(value)
end

function markup.table(spec)
  local e, numeric, lines = markup.element, spec.numeric or {}, {}
  local function row_of(tag, row, class)
    local cells = {}
    for j = 1, #spec.columns do
      local right = numeric[j] or tag == "td" and type(row[j]) == "number"
      local key = j == 1 and tag == "td" and not right
      cells[j] = e(tag, {class = right and "n" or key and "key" or nil}, key and type(row[j]) == "string" and markup.name(row[j]) or cell(row[j]))
    end
    return e("tr", {class = class}, table.concat(cells))
  end
  for i, row in ipairs(spec.rows) do lines[i] = row_of("td", row, spec.class and spec.class(row, i)) end
  return e("div", {class = "scroll"}, e("table", nil, e("thead", nil, row_of("th", spec.columns)), e("tbody", nil, table.concat(lines, "\n"))))
end

local no_items = c.json_decode "[]"

-- NaN and infinities have no JSON form; an empty table is an empty list, as the scripts have no use for an empty object.
local function plain(value)
  if type(value) == "string" then return whole_utf8(value) end
  if type(value) == "number" and (value ~= value or math.abs(value) == math.huge) then return c.null end
  -- Charts need no more than a pixel's worth of digits.
  if math.type(value) == "float" then return tonumber(("%.6g"):format(value)) end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, item in pairs(value) do copy[key] = plain(item) end
  return next(copy) == nil and no_items or copy
end

function markup.json(value) return (c.json_encode(plain(value)):gsub("<", "\\u003c")) end

function markup.image(tensor)
  local shape = tensor:shape()
  local small = math.max(shape[2], shape[3]) <= 96
  return ("data:image/%s;base64,%s"):format(small and "png" or "jpeg", base64(c.image_encode(small and "png" or "jpg", tensor, 82))), small
end

return markup

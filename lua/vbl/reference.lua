-- All that vbl offers, by module and kind of object: what the reference pages and the editor's stubs are written from.
-- reference() -> {{name = "vbl.data" or "tensor", class = whether its entries are methods, about = string, entries = {entry, ...}}, ...}, modules first,
--   both by the alphabet. An entry is {name, signature, help, [example]}; they are sorted by name
local help = require "vbl.help"
local source = require "vbl.source"

local function add_rows(prefix, entries, known)
  for _, full in ipairs(help.names(prefix)) do
    local name, row = full:sub(#prefix + 1), help.row(full)
    if name:find "^[%w_]+$" and not known[name] and not row.help:find "^Module: " then
      known[name] = true
      entries[#entries + 1] = {name = name, signature = row.signature, help = row.help, example = row.example}
    end
  end
end

local function sorted(entries)
  table.sort(entries, function(a, b) return a.name < b.name end)
  return entries
end

local function module(name, about)
  local entries, known = {}, {}
  add_rows(name .. ".", entries, known)
  if name ~= "vbl" then add_rows(name:sub(5) .. ".", entries, known) end
  return {name = name, about = source.head(name) or about, entries = sorted(entries)}
end

local function class(name)
  local entries = {}
  add_rows(name .. ":", entries, {})
  return {name = name, class = true, about = "", entries = sorted(entries)}
end

return function()
  help.load()
  local list, classes = {module("vbl", "Tensors, and the modules of the library.")}, {}
  for _, full in ipairs(help.names "") do
    local about = help.row(full).help:match "^Module: (.*)"
    local found = about and module(full, about)
    if found and #found.entries > 0 then list[#list + 1] = found end
    local deeper = full:match "^(vbl%.[%w_]+%.[%w_.]+)%.[%w_]+$"
    if deeper and not classes[deeper] and not deeper:find "%.c$" then
      classes[deeper] = true
      list[#list + 1] = module(deeper, "")
    end
    local method = full:match "^(.*):"
    if method and not classes[method] then
      classes[method] = true
      classes[#classes + 1] = method
    end
  end
  for _, name in ipairs(classes) do list[#list + 1] = class(name) end
  return list
end

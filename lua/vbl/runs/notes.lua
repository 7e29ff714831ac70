-- notes.json, what people say about a run: {tags = {...}, note = "..."}. The tag "invalid" keeps it out of every table.
--   notes.tag(record, {"paper", "-draft"})     adds tags, removes those with a minus before them; returns the new list
--   notes.note(record, text)                   replaces the note; "" removes it
local c = require "vbl.store.c"

local notes = {}

local function write(record)
  local tags = #record.tags > 0 and record.tags or c.json_decode("[]", {where = "tags"})
  c.write_atomic(record.path .. "/notes.json", c.json_encode({tags = tags, note = record.note}, {indent = 2}))
end

local function without(list, tag)
  local kept = {}
  for _, item in ipairs(list) do
    if item ~= tag then kept[#kept + 1] = item end
  end
  return kept
end

function notes.tag(record, changes)
  for _, change in ipairs(changes) do
    local minus, tag = change:match "^(%-?)([%w][%w_.:-]*)$"
    if not tag then error(("tag '%s': expected letters, digits and _ . : -, the first a letter or digit (-TAG removes one)"):format(change), 0) end
    record.tags = without(record.tags, tag)
    if minus == "" then table.insert(record.tags, tag) end
  end
  write(record)
  return record.tags
end

function notes.note(record, text)
  record.note = text
  write(record)
end

return notes

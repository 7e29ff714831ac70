-- Hateful Memes, the final release (ids are strings; dev_seen, dev_unseen, test_seen, test_unseen) and phase 1 (dev, test; ids may be
-- numbers). The splits stay apart: dev_seen and dev_unseen share 400 ids. Class 1 is hateful; the test of phase 1 has no labels.
local reading = require "vbl.data.reading"
local store = require "vbl.store.c"

local hateful = {
  name = "hateful_memes",
  expects = "train.jsonl, dev_seen.jsonl, dev_unseen.jsonl, test_seen.jsonl, test_unseen.jsonl (or dev.jsonl, test.jsonl) beside img/",
  options = {},
}

local splits = {"train", "dev", "dev_seen", "dev_unseen", "test", "test_seen", "test_unseen"}

-- The names of images have five digits; numbers among the ids get their zeros back.
local function id_of(value) return math.type(value) == "integer" and ("%05d"):format(value) or type(value) == "string" and value or nil end

function hateful.found(folder)
  if not reading.is_folder(folder .. "/img") or not reading.is_file(folder .. "/train.jsonl") then return nil end
  local line = reading.first_line(folder .. "/train.jsonl") or ""
  if not line:find '"img"%s*:%s*"img/' or not line:find '"label"%s*:%s*[01]%s*[,}]' then return nil end
  local names = {}
  for _, split in ipairs(splits) do
    if reading.is_file(("%s/%s.jsonl"):format(folder, split)) then names[#names + 1] = split end
  end
  return "Hateful Memes: " .. table.concat(names, ", ")
end

local function add(records, split, number, row)
  local id, label = id_of(row.id), row.label
  if not id then return records:skip(number, "no id") end
  if type(row.img) ~= "string" or type(row.text) ~= "string" then return records:skip(number, ("id %s: no img or text"):format(id)) end
  if label == store.null then label = nil end
  if label ~= nil and math.type(label) ~= "integer" then return records:skip(number, ("id %s: label %s; expected 0 or 1"):format(id, tostring(label))) end
  records:add(number, id, split, row.img, reading.clean(row.text), label)
end

function hateful.read(folder, _, base)
  local records, any = reading.records(folder, base), false
  records:classes("class", {"not hateful", "hateful"})
  for _, split in ipairs(splits) do
    local path = ("%s/%s.jsonl"):format(folder, split)
    if reading.is_file(path) then
      any = true
      records:file(path)
      reading.jsonl(path, records, function(number, row) add(records, split, number, row) end)
    end
  end
  if not any then error(("%s: no Hateful Memes here; expected %s"):format(folder, hateful.expects), 0) end
  return records, folder
end

return hateful

-- Image-text matching: lines path<TAB>caption<TAB>label, 1 where the caption belongs to the image, else 0; no header, no quoting. A folder
-- with itm_train.tsv, itm_dev.tsv and itm_test.tsv; a file NAME_clean.tsv counts instead of NAME.tsv, as one whose leak was taken out. Paths
-- are relative to the folder; a record's id is its image and line.
local reading = require "vbl.data.reading"

local itm = {
  name = "itm",
  expects = "itm_train.tsv and itm_dev.tsv, itm_test.tsv (or itm_*_clean.tsv), lines path<TAB>caption<TAB>0 or 1",
  options = {},
}

-- A set of captions lies in the same folder as a rule: this reader is only taken by name.
function itm.found() return nil end

local function add(records, split, number, line)
  local image, text, label = line:match "^([^\t]+)\t(.*)\t([01])$"
  if not image then return records:skip(number, "expected path<TAB>caption<TAB>0 or 1") end
  records:add(number, ("%s#%s-%d"):format(image, split, number), split, image, text, math.tointeger(tonumber(label)))
end

function itm.read(folder, _, base)
  local records = reading.records(folder, base)
  records:classes("class", {"no match", "match"})
  records:unit "lines"
  for _, split in ipairs {"train", "dev", "test"} do
    local names = {("itm_%s_clean.tsv"):format(split), ("itm_%s.tsv"):format(split)}
    local name = split == "train" and reading.need(folder, names, "matching file") or reading.first(folder, names)
    if name then
      records:file(folder .. "/" .. name)
      for number, line in reading.lines(folder .. "/" .. name) do
        if line ~= "" then add(records, split, number, line) end
      end
    end
  end
  return records, folder
end

return itm

-- WebDataset shards, as img2dataset writes them: tar archives whose members KEY.jpg, KEY.txt, KEY.json belong together (KEY ends at the
-- first dot after the last slash). The image is read from where it lies in the shard; the caption is KEY.txt, else the "caption" of KEY.json.
-- PATH: a folder of .tar files, one file, a pattern with * and ?, or a list in braces: "/data/{00000..00330}.tar".
-- The id is the key; where any two shards share a key (each counting from 0, say), every id is SHARD/KEY, with the shard's file name, or where
-- two shards have one name (in folders of their own) with what differs of their paths.
local c = require "vbl.data.c"
local reading = require "vbl.data.reading"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local webdataset = {
  name = "webdataset",
  expects = "shards NAME.tar with members KEY.jpg (.jpeg, .png) and KEY.txt or KEY.json",
  options = {},
}

local image_suffix = {jpg = true, jpeg = true, png = true, webp = true}

-- "a{1..3}b" -> a1b a2b a3b, with the width of the first number; "{x,y}" -> x y; nested and several braces too.
local function expand(pattern)
  local before, inner, after = pattern:match "^(.-){([^{}]*)}(.*)$"
  if not before then return {pattern} end
  local list, parts = {}, {}
  local from, to = inner:match "^(%d+)%.%.(%d+)$"
  if from then
    if tonumber(to) - tonumber(from) > 1000000 then error(("%s: more than a million shards"):format(pattern), 0) end
    for i = tonumber(from), tonumber(to) do parts[#parts + 1] = ("%0" .. #from .. "d"):format(i) end
  else
    for part in (inner .. ","):gmatch "(.-)," do parts[#parts + 1] = part end
  end
  for _, part in ipairs(parts) do
    for _, path in ipairs(expand(before .. part .. after)) do list[#list + 1] = path end
  end
  return list
end

local function glob(path)
  local folder, name = reading.split_path(path)
  local pattern = "^" .. name:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
  local list = {}
  for _, found in ipairs(reading.names(folder, pattern)) do list[#list + 1] = folder .. "/" .. found end
  return list
end

-- The shards that a path names, those that are not there apart.
function webdataset.shards(path)
  local shards, missing = {}, {}
  if reading.is_folder(path) then path = path .. "/*.tar" end
  for _, one in ipairs(expand(path)) do
    if one:find "[*?]" and not reading.is_file(one) then
      table.move(glob(one), 1, #glob(one), #shards + 1, shards)
    elseif reading.is_file(one) then
      shards[#shards + 1] = one
    else
      missing[#missing + 1] = one
    end
  end
  if #shards == 0 then error(("%s: no shard there; expected %s"):format(path, webdataset.expects), 0) end
  return shards, missing
end

local function caption_of(tar, sample)
  if sample.txt then return tar:read(sample.txt[1], sample.txt[2]) end
  if not sample.json then return nil, "neither txt nor json" end
  local ok, object = pcall(store.json_decode, tar:read(sample.json[1], sample.json[2]), {where = "json"})
  if not ok then return nil, tostring(object) end
  local text = type(object) == "table" and object.caption
  return type(text) == "string" and text or nil, 'no txt, and no "caption" in json'
end

-- True: its key is the id, and another shard has it too.
local function add_sample(records, shard, tar, sample)
  if not sample.image then return records:skip(sample.key, "no image") end
  local ok, text, why = pcall(caption_of, tar, sample)
  if not ok then text, why = nil, text end
  if not text then return records:skip(sample.key, why) end
  local other = not shard.prefix and records:archive_of(sample.key)
  if other and other ~= shard.archive then return true end
  records:add(sample.key, (shard.prefix or "") .. sample.key, nil, sample.image[3], reading.clean(text), nil, shard.archive, sample.image[1], sample.image[2])
end

-- The members of a key follow each other. True as of add_sample; then the rest was not read.
local function read_shard(records, shard, tar)
  local sample
  for name, offset, bytes in tar.next, tar do
    local folder, file = name:match "^(.*/)([^/]*)$"
    local stem, suffix = (file or name):match "^([^.]+)%.(.*)$"
    local key = stem and (folder or "") .. stem
    if key then
      if sample and sample.key ~= key and add_sample(records, shard, tar, sample) then return true end
      if not sample or sample.key ~= key then sample = {key = key} end
      suffix = suffix:lower()
      if image_suffix[suffix] and not sample.image then
        sample.image = {offset, bytes, name}
      elseif suffix == "txt" or suffix == "json" then
        sample[suffix] = {offset, bytes}
      end
    end
  end
  return sample and add_sample(records, shard, tar, sample)
end

-- What stands before the keys of each shard.
local function prefixes(shards)
  local list, known, twice = {}, {}, false
  for i, path in ipairs(shards) do
    local _, file = reading.split_path(path)
    list[i] = file:gsub("%.tar$", "") .. "/"
    twice = twice or known[list[i]] ~= nil and known[list[i]] ~= path
    known[list[i]] = path
  end
  if not twice then return list end
  local shared = reading.split_path(shards[1]) .. "/"
  for _, path in ipairs(shards) do
    while path:sub(1, #shared) ~= shared do shared = shared:match "^(.*/)[^/]*/$" or "" end
  end
  for i, path in ipairs(shards) do list[i] = path:sub(#shared + 1):gsub("%.tar$", "") .. "/" end
  return list
end

-- True as of add_sample.
local function read_path(records, shard, path)
  records:file(path)
  local ok, tar = pcall(c.tar, path)
  if not ok then return records:skip("shard", tostring(tar)) end
  local whole, why = pcall(read_shard, records, shard, tar)
  if whole and why then
    tar:close()
    return true
  end
  if not whole then records:skip("shard", (tostring(why):gsub("^.-: ", "", 1))) end
  local count, text, ended = tar:damage()
  if whole and not ended then records:note(("%s: the archive's end is missing: it was cut off, and samples may be missing"):format(path)) end
  if count > 0 then records:note((text:gsub("\n$", ""))) end
  for _ = 1, count do records:skip("damaged", "a piece of the shard cannot be read (see above)") end
  tar:close()
end

function webdataset.found(folder)
  local shards = reading.names(folder, "%.tar$")
  return #shards > 0 and ("WebDataset, %d shard%s"):format(#shards, #shards == 1 and "" or "s") or nil
end

function webdataset.read(path, _, base)
  local shards, missing = webdataset.shards(path)
  -- split.tsv lies beside the shards (the first one's folder), never where the program happens to be started.
  local folder = reading.split_path(shards[1])
  local function read_all(prefix)
    local records = reading.records(folder, base)
    records:unit "samples"
    for _, name in ipairs(missing) do records:skip(name, "no such shard") end
    for i, name in ipairs(shards) do
      local own, file = reading.split_path(name)
      local archive = own == folder and file or name:find "^/" and name or system.cwd() .. "/" .. name
      if read_path(records, {archive = records:archive(archive), prefix = prefix and prefix[i]}, name) then return nil end
    end
    return records
  end
  return read_all() or read_all(prefixes(shards)), path
end

return webdataset

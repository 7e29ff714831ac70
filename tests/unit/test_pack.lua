-- Packing: what is read back is the source, bit for bit, bad images included; the same bytes whatever the threads, the kills, the resumes;
-- damaged, cut, foreign and other folders are refused with their reason.
local check = require "check"
local packed = require "vbl.data.packed"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local folder = os.tmpname()
os.remove(folder)
store.make_folder(folder .. "/images")
local function at(name) return folder .. "/" .. name end

local function write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

-- 150 images of different sizes, every 40th with pixels cut off behind a whole structure; texts with accents; a split file.
local lines, split = {}, {}
for i = 1, 150 do
  local image = vbl.full({3, 20 + i % 9, 17 + i % 11}, i, {dtype = "u8"})
  image:select(1, 1 + i % 3):narrow(1, 3, 9):narrow(2, 2 + i % 5, 8):fill_(255 - i)
  local name = ("%03d.%s"):format(i, i % 2 == 0 and "jpg" or "png")
  vbl.save(at("images/" .. name), image)
  if i % 40 == 0 then  -- a JPEG whose entropy-coded data ends in the middle, its end marker in place
    local bytes = store.read_file(at("images/" .. name))
    write(at("images/" .. name), bytes:sub(1, #bytes - 12) .. "\xFF\xD9")
  end
  for k = 0, i % 3 do lines[#lines + 1] = ("images/%s\tpicture %d, crème brûlée %s"):format(name, i, ("x "):rep(k * i % 20)) end
  split[i] = ("images/%s\t%s"):format(name, i % 10 == 0 and "dev" or i % 7 == 0 and "test" or "train")
end
write(at "captions.tsv", table.concat(lines, "\n") .. "\n")
write(at "split.tsv", table.concat(split, "\n") .. "\n")

local options = {image = 32, max_tokens = 12, max_bad = 0.1, vocabulary_limit = 300}
local function copy(t, more)
  local all = {}
  for k, v in pairs(t) do all[k] = v end
  for k, v in pairs(more or {}) do all[k] = v end
  return all
end
local function open_source() return vbl.data.open("captions:" .. at "captions.tsv", copy(options, {seed = 4})) end
local source = open_source()
local manifest = packed.pack(source, at "one", {threads = 1, shard = 16, options = options})

local function files(path)
  local all = {}
  for _, name in ipairs(system.list(path)) do all[#all + 1] = name .. " " .. store.sha256_file(path .. "/" .. name) end
  return table.concat(all, "\n")
end
local want = files(at "one")

local function equal(a, b) return a:to("f32"):sub(b:to("f32")):abs():max():item() == 0 end

check.group("read back: the source, bit for bit", function()
  local set = vbl.data.open("packed:" .. at "one", {seed = 4, image = 32})
  check.equal(#manifest.skipped, 3)
  check.equal(table.concat(set.tokenizer:encode "Crème brûlée, picture", " "), table.concat(source.tokenizer:encode "Crème brûlée, picture", " "))
  check.equal(set:hash(), source:hash())
  check.equal(set:describe():match "\n(.*)":gsub("^found [^\n]*\n", ""), source:describe():match "\n(.*)")
  check.equal((source:check()), (set:check()))
  for _, name in ipairs {"train", "dev", "test"} do
    local a, b = source:split(name), set:split(name)
    check.equal(b:size(), a:size())
    for i = 1, a:size() do
      if b:image_id(i) ~= a:image_id(i) or b:captions(i) ~= a:captions(i) then check.ok(false, name .. i) end
      for k = 1, a:captions(i) do if b:caption(i, k) ~= a:caption(i, k) then check.ok(false, name .. i) end end
    end
    for epoch = 0, 3 do
      local order = a:order(1, epoch)
      local x, y = a:batch(order, {epoch = epoch}), b:batch(order, {epoch = epoch})
      check.ok(equal(x.images, y.images) and equal(x.tokens, y.tokens) and equal(x.lengths, y.lengths))
      check.equal(table.concat(x.index, " "), table.concat(y.index, " "))
      local p, q = a:swap_captions(x, {seed = 1, step = epoch, epoch = epoch}), b:swap_captions(y, {seed = 1, step = epoch, epoch = epoch})
      check.ok(equal(p.tokens, q.tokens))
    end
  end
  check.equal(set:report(), source:report())  -- the images that fail, with the same reasons
  check.ok(set:report():find("damaged image data", 1, true))
  check.equal(vbl.data.open(at "one/manifest.json"):size "train", source:size "train")
  check.equal(vbl.data.open(at "one"):size "train", source:size "train")
end)

check.group("the same bytes with four threads", function()
  packed.pack(open_source(), at "four", {threads = 4, shard = 16, options = options})
  check.equal(files(at "four"), want)
end)

-- A packer of its own that is killed when it has written that many shards.
local script = at "pack.lua"
write(script, ([[
local packed = require "vbl.data.packed"
local system = require "vbl.system.c"
local options = {image = 32, max_tokens = 12, max_bad = 0.1, vocabulary_limit = 300}
local data = vbl.data.open("captions:%s", options)
packed.pack(data, arg[1], {threads = 2, shard = 16, options = options, progress = function(done)
  if done >= tonumber(arg[2]) then system.run {"/bin/kill", "-9", tostring(system.pid())} end
end})
]]):format(at "captions.tsv"))

-- The same of the scenes, of which packing takes long enough to be killed within.
write(at "scenes.lua", [[
local packed = require "vbl.data.packed"
local system = require "vbl.system.c"
packed.pack(vbl.data.open("scenes", {image = 64, train = 5000, test = 0, seed = 2}), arg[1], {threads = 2, shard = 64, progress = function(done)
  if done >= tonumber(arg[2]) then system.run {"/bin/kill", "-9", tostring(system.pid())} end
end})
]])

check.group("killed twice, then finished", function()
  for _, done in ipairs {500, 2000} do
    check.equal(system.run {system.executable(), at "scenes.lua", at "killed", tostring(done)}, 128 + 9)
    check.ok(not system.exists(at "killed/manifest.json"))
  end
  check.error(function() vbl.data.open("packed:" .. at "killed") end, "packing was not finished")
  local scenes = vbl.data.open("scenes", {image = 64, train = 5000, test = 0, seed = 2})
  local _, kept = packed.pack(scenes, at "killed", {threads = 2, shard = 64})
  check.ok(kept > 0 and kept < 5000, "kept " .. kept)
  packed.pack(scenes, at "undisturbed", {threads = 1, shard = 64})
  check.equal(files(at "killed"), files(at "undisturbed"))
  store.remove(at "killed")
  store.remove(at "undisturbed")
end)

local function damage(name, change)
  system.run {"/bin/rm", "-rf", at "bad"}
  system.run {"/bin/cp", "-r", at "one", at "bad"}
  local path = at "bad/" .. name
  write(path, change(store.read_file(path)))
end

check.group("damaged, cut, foreign", function()
  local function refuse(...)
    local parts = {...}
    check.error(function() vbl.data.open("packed:" .. at "bad") end, table.unpack(parts))
  end
  damage("shard-00003.vbl", function(s) return s:sub(1, -2) end)
  refuse("shard-00003.vbl: truncated", "remove this file and pack again")
  damage("shard-00003.vbl", function(s) return s .. "x" end)
  refuse "bytes after its end"
  damage("shard-00003.vbl", function() return "" end)
  refuse "not a shard of a packed data set (0 bytes)"
  damage("shard-00003.vbl", function(s) return s:sub(1, -3) .. "\xAA" .. s:sub(-1) end)
  refuse("shard-00003.vbl: damaged: its tables do not fit their checksum")
  damage("shard-00003.vbl", function(s) return s:sub(1, 20) .. "\xAA" .. s:sub(22) end)
  refuse "its header does not fit its checksum"
  damage("shard-00003.vbl", function(s) return s:sub(1, 8) .. "\9" .. s:sub(10) end)
  refuse "version 9 of the format; this program reads version 1: pack the source again"
  damage("shard-00003.vbl", function(s) return s:sub(1, 12) .. s:sub(13, 16):reverse() .. s:sub(17) end)
  refuse "packed on a machine of the other byte order"
  damage("shard-00003.vbl", function() return store.read_file(at "one/shard-00004.vbl") end)
  refuse "shard-00003.vbl is of another data set than the manifest beside it"
  damage("manifest.json", function(s) return (s:gsub('"version": 1', '"version": 2')) end)
  refuse "manifest.json: version 2 of the format"
  damage("manifest.json", function(s) return s:sub(1, 100) end)
  refuse "manifest.json"
  damage("vocab.txt", function(s) return s:sub(1, 100) .. "\n" end)
  refuse "vocab.txt has"
  -- Every bit of the header, and of the first tables, one by one: refused or harmless, never a crash.
  local whole = store.read_file(at "one/shard-00009.vbl")
  local refused = 0
  for byte = 1, 352, 3 do
    damage("shard-00009.vbl", function(s) return s:sub(1, byte - 1) .. string.char(s:byte(byte) ~ 0x10) .. s:sub(byte + 1) end)
    if not pcall(vbl.data.open, "packed:" .. at "bad") then refused = refused + 1 end
  end
  check.equal(refused, (352 + 2) // 3)
  check.ok(#whole > 0)
end)

check.group("a damaged image is met, counted and replaced", function()
  damage("shard-00001.vbl", function(s) return s:sub(1, 4096 + 5 * 3072 + 7) .. "\xEE" .. s:sub(4096 + 5 * 3072 + 9) end)
  local set = vbl.data.open("packed:" .. at "bad", {seed = 4})
  local train = set:split "train"
  for first = 1, train:size(), 50 do train:range(first, math.min(50, train:size() - first + 1)) end
  check.ok(set:report():find("shard-00001.vbl: image 5 does not fit its checksum", 1, true), set:report())
  -- Packing again finds and mends it.
  os.remove(at "bad/manifest.json")
  packed.pack(open_source(), at "bad", {threads = 2, shard = 16, options = options})
  check.equal(files(at "bad"), want)
end)

check.group("other folders, other options", function()
  check.error(function() vbl.data.open("packed:" .. at "nowhere") end, "no packed data set there")
  check.error(function() vbl.data.open("packed:" .. at "one", {image = 64}) end, "was packed with image = 32; image = 64 needs packing again (an experiment takes it as it is with model.image=32)")
  check.error(function() vbl.data.open("packed:" .. at "one", {crop = "squash"}) end, "was packed with crop = center")
  check.error(function() vbl.data.open("packed:" .. at "one", {imagee = 32}) end, "no option 'imagee', did you mean 'image'?")
  local other = vbl.data.open("captions:" .. at "captions.tsv", copy(options, {image = 16}))
  check.error(function() packed.pack(other, at "one") end, "holds another packed data set")
  os.remove(at "bad/manifest.json")
  check.error(function() packed.pack(other, at "bad", {shard = 16}) end, "belongs to another data set, or was packed with other options")
  check.error(function() packed.pack(source, at "images") end, "is not empty and holds no packed data set (001.png)")
  local _, kept = packed.pack(source, at "one", {shard = 16, options = options})
  check.equal(kept, 150)
  check.error(function() packed.pack(open_source(), "/proc/nowhere", {options = options}) end, "/proc/nowhere")
end)

check.group("a set without stored images: scenes", function()
  local scenes = vbl.data.open("scenes", {image = 16, train = 70, test = 10, seed = 2})
  packed.pack(scenes, at "scenes")
  local set = vbl.data.open("packed:" .. at "scenes", {seed = 2})
  local x, y = scenes:split("test"):range(1, 10), set:split("test"):range(1, 10)
  check.ok(equal(x.images, y.images) and equal(x.tokens, y.tokens))
end)

check.group("the rules of a cased vocabulary go along", function()
  write(at "vocab.txt", table.concat({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "P", "p", "##icture", "picture", "crème", ","}, "\n") .. "\n")
  write(at "tokenizer_config.json", '{"do_lower_case": false, "tokenizer_class": "BertTokenizerFast"}')
  local given = {image = 32, max_tokens = 12, max_bad = 0.1, vocabulary = at "vocab.txt"}
  local cased = vbl.data.open("captions:" .. at "captions.tsv", given)
  packed.pack(cased, at "cased", {options = given})
  local set = vbl.data.open("packed:" .. at "cased")
  local a, b = cased.tokenizer:rules(), set.tokenizer:rules()
  for key, value in pairs(a) do check.equal(b[key], value) end
  check.ok(not b.lower_case and not b.strip_accents and b.fast)
  check.equal(table.concat(set.tokenizer:encode "Picture crème", " "), table.concat(cased.tokenizer:encode "Picture crème", " "))
  -- The option counts more than the file beside the vocabulary, is part of the hash and of what was packed.
  local other = vbl.data.open("captions:" .. at "captions.tsv", copy(given, {tokenizer = "bert"}))
  check.ok(not other.tokenizer:rules().fast and other.tokenizer:rules().max_chars == 200 and not other.tokenizer:rules().lower_case)
  check.ok(other:hash() ~= cased:hash())
  check.error(function() vbl.data.open("packed:" .. at "cased", {tokenizer = "bert"}) end, "tokenizer = bert needs packing again")
  check.error(function() vbl.data.open("captions:" .. at "captions.tsv", {tokenizer = "fast"}) end, "expected vocabulary=FILE too")
  check.error(function() vbl.data.open("captions:" .. at "captions.tsv", copy(given, {tokenizer = "fats"})) end, "fast")
end)

check.group("a full disk", function()
  local code = system.run {"/bin/sh", "-c", ("ulimit -f 20; exec %s %s %s 1000 2>%s"):format(system.executable(), script, at "full", at "message")}
  check.equal(code, 1)
  check.ok(store.read_file(at "message"):find "shard%-0000%d.vbl: cannot write", store.read_file(at "message"))
  for _, name in ipairs(system.list(at "full")) do check.ok(not name:find ".tmp", name) end
end)

store.remove(folder)
check.done()

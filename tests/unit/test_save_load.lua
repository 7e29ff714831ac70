-- vbl.save and vbl.load: every suffix there and back, and what they refuse.
local check = require "check"
local vbl = require "vbl"
local c = require "vbl.store.c"
local store = require "vbl.store"

local root = require "fresh_folder" "save"
local function at(name) return root .. "/" .. name end

local function equal_tensors(a, b)
  check.equal(a:dtype(), b:dtype())
  check.equal(c.json_encode(a:totable(), {nan = "string"}), c.json_encode(b:totable(), {nan = "string"}))
end

check.group("tensors", function()
  local all = {f = vbl.tensor {{1.5, -2}, {1 / 0, 4}}, i = vbl.tensor({7, -8}, {dtype = "i32"}), u = vbl.tensor({0, 255}, {dtype = "u8"}),
               d = vbl.tensor({0.1}, {dtype = "f64"}), h = vbl.tensor({1, -0.5}, {dtype = "bf16"})}
  vbl.save(at "x.safetensors", all, {metadata = {b = "2", a = "1"}})
  local got, names, metadata = vbl.load(at "x.safetensors")
  check.equal(table.concat(names), "dfhiu")
  check.equal(metadata.a .. metadata.b, "12")
  for name, t in pairs(all) do equal_tensors(got[name], t) end
  vbl.save(at "y.safetensors", all, {metadata = {a = "1", b = "2"}})
  check.equal(c.sha256_file(at "x.safetensors"), c.sha256_file(at "y.safetensors"))
  vbl.save(at "x.npz", {f = all.f, u = all.u})
  local arrays = vbl.load(at "x.npz")
  equal_tensors(arrays.f, all.f)
  equal_tensors(arrays.u, all.u)
  vbl.save(at "x.npy", all.f:transpose(1, 2))
  equal_tensors(vbl.load(at "x.npy"), all.f:transpose(1, 2):contiguous())
  check.error(function() vbl.save(at "x.safetensors", {a = 1}) end, '"a" is a number, expected a tensor')
  check.error(function() vbl.save(at "x.safetensors", all, {names = {"f", "g"}}) end, "x.safetensors", "no tensor 'g'")
end)

check.group("json", function()
  local value = {name = "é\n", list = {1, 2.5, true, store.null}, empty = {}, nested = {deep = {1}}}
  vbl.save(at "x.json", value)
  local got = vbl.load(at "x.json")
  check.equal(c.json_encode(got), c.json_encode(value))
  check.equal(math.type(got.list[1]) .. math.type(got.list[2]), "integerfloat")
  check.equal(c.json_encode(c.json_decode '{"b":[],"a":{},"n":9007199254740993}'), '{"a":{},"b":[],"n":9007199254740993}')
  check.equal(c.json_encode({a = 1, b = 2, z = 0}, {order = {"z", "b", "y"}}), '{"z":0,"b":2,"a":1}')
  check.error(function() c.json_encode {a = {1, 0 / 0}} end, "value.a[2]", "NaN")
  check.error(function() c.json_encode {1, nil, 3} end, "neither 1..n")
  check.error(function() c.json_encode {[1] = 1, x = 2} end, "neither 1..n")
  check.error(function() c.json_encode {x = "\xff"} end, "value.x", "UTF-8")
  local loop = {}
  loop.x = loop
  check.error(function() c.json_encode(loop) end, "nested too deep")
  check.error(function() c.json_encode({}, {ident = 2}) end, "ident", "indent")
  c.write_atomic(at "bad.json", '{"a": 1,\n "a": 2}')
  check.error(function() vbl.load(at "bad.json") end, "bad.json:2", '"a" appears twice')
  vbl.save(at "x.jsonl", {{a = 1}, {a = "two"}})
  check.equal(vbl.load(at "x.jsonl")[2].a, "two")
  c.write_atomic(at "bad.jsonl", '{"a": 1}\n{"a": }\n')
  check.error(function() vbl.load(at "bad.jsonl") end, "bad.jsonl:2:1:7")
end)

check.group("tables", function()
  local rows = {{"id", "text"}, {1, 'a "quoted", field'}, {2.5, "two\nlines"}, {3, ""}}
  vbl.save(at "x.csv", rows)
  local got = vbl.load(at "x.csv")
  check.equal(#got, 4)
  check.equal(got[2][2], 'a "quoted", field')
  check.equal(got[3][1] .. got[3][2], "2.5two\nlines")
  check.equal(got[4][2], "")
  check.equal(vbl.load(at "x.csv", {header = true})[2].text, "two\nlines")
  c.write_atomic(at "windows.csv", '\xEF\xBB\xBFa,b\r\n"1",2\r\n,')
  got = vbl.load(at "windows.csv")
  check.equal(got[1][1] .. got[1][2] .. got[2][1] .. got[2][2], "ab12")
  check.equal(#got[3], 2)
  vbl.save(at "x.tsv", {{"a", "b c"}, {"", "d"}})
  check.equal(c.read_file(at "x.tsv"), "a\tb c\n\td\n")
  check.equal(vbl.load(at "x.tsv")[2][2], "d")
  check.error(function() vbl.save(at "x.tsv", {{"a\tb"}}) end, "x.tsv: row 1", "write .csv")
  c.write_atomic(at "bad.csv", 'a,b\n"c,d')
  check.error(function() vbl.load(at "bad.csv") end, "bad.csv:2", "does not end")
  c.write_atomic(at "bad.csv", 'a,b\n"c"x,d')
  check.error(function() vbl.load(at "bad.csv") end, "row 2", "after a quoted field")
  c.write_atomic(at "bad.csv", "a,b\nc")
  check.error(function() vbl.load(at "bad.csv", {header = true}) end, "row 2 has 1 fields, the header 2")
end)

check.group("images and refusals", function()
  vbl.save(at "x.png", vbl.full({3, 4, 5}, 200, {dtype = "u8"}))
  check.equal(c.read_file(at "x.png"):sub(1, 4), "\x89PNG")
  local pixels = vbl.randint(0, 256, {3, 7, 9}, {dtype = "u8"})
  vbl.save(at "y.png", pixels)
  equal_tensors(vbl.load(at "y.png"), pixels)
  vbl.save(at "y.jpg", vbl.full({8, 8}, 100, {dtype = "u8"}))
  local gray = vbl.load(at "y.jpg"):totable()
  check.equal(#gray, 3)
  check.near(gray[2][4][5], 100, 2)  -- quality 95: quantisation steps of 1 to 2 at the mean
  check.error(function() vbl.save(at "x.png", vbl.zeros(3, 4, 5)) end, "u8", "f32 [3, 4, 5]")
  check.error(function() vbl.load(at "x.txt") end, "x.txt: no format of this suffix", "safetensors")
  check.error(function() vbl.load(at "missing.npy") end, "missing.npy", "No such file")
end)

check.group("files that grow", function()
  local file = c.append(at "log")
  file:write "one\n"
  file:write "two\n"
  check.equal(file:tell(), 8)
  check.error(function() c.append(at "log") end, "another process")
  file:truncate(4)
  file:write "three\n"
  check.equal(c.read_file(at "log"), "one\nthree\n")
  check.error(function() file:truncate(100) end, "has 10 bytes")
  file:close()
  check.error(function() file:write "x" end, "closed")
  local full <close> = c.append "/dev/full"
  check.error(function() full:write "x" end, "/dev/full", "No space left")
end)

check.done()

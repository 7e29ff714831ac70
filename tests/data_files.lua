-- Small files in exactly the forms of data sets, for tests: a folder of its own, images that differ, tar archives as Python's tarfile and
-- GNU tar write them.
--   local files = require("data_files").new()   files.path   files:write(name, bytes)   files:image(name[, number])   files:remove()
--   data_files.has(text, part, ...)   data_files.sizes(data) -> "train=3 test=1"
--   data_files.tar{{name, body, pax = {key = value}, long = "gnu"|nil, type =}, ...} -> bytes
local check = require "check"
local store = require "vbl.store.c"
local vbl = require "vbl"

local data_files = {}
local Files = {}
Files.__index = Files

function data_files.new()
  local path = os.tmpname()
  os.remove(path)
  store.make_folder(path)
  return setmetatable({path = path, made = {}}, Files)
end

function Files:remove() store.remove(self.path) end

function Files:write(name, bytes)
  local full = self.path .. "/" .. name
  store.make_folder((full:match "^(.*)/"))
  local file = assert(io.open(full, "wb"))
  file:write(bytes)
  file:close()
  return full
end

-- Bytes of a JPEG (PNG for suffix ".png") of one colour, which `number` gives.
function data_files.picture(number, suffix)
  local path = os.tmpname() .. suffix
  local level = 20 + number * 37 % 200
  vbl.save(path, vbl.full({3, 20, 24}, level, {dtype = "u8"}))
  local bytes = store.read_file(path)
  os.remove(path)
  return bytes
end

function Files:image(name, number)
  local suffix = name:match "%.png$" or ".jpg"
  self.made[suffix .. (number or 0)] = self.made[suffix .. (number or 0)] or data_files.picture(number or 0, suffix)
  return self:write(name, self.made[suffix .. (number or 0)])
end

local function header(name, size, kind, gnu)
  local text = name:sub(1, 100) .. ("\0"):rep(100 - #name) .. "0000444\0" .. "0000000\0" .. "0000000\0" .. ("%011o\0"):format(size) ..
    ("%011o\0"):format(1700000000) .. "        " .. kind .. ("\0"):rep(100) .. (gnu and "ustar  \0" or "ustar\00000") ..
    "bigdata" .. ("\0"):rep(25) .. "bigdata" .. ("\0"):rep(25) .. ("\0"):rep(183)
  local sum = 0
  for i = 1, #text do sum = sum + text:byte(i) end
  return text:sub(1, 148) .. ("%06o\0 "):format(sum) .. text:sub(157)
end

local function padded(body) return body .. ("\0"):rep(-#body % 512) end

local function pax_record(key, value)
  local rest = (" %s=%s\n"):format(key, value)
  local n = #rest + 1
  while #tostring(n) + #rest ~= n do n = #tostring(n) + #rest end
  return n .. rest
end

local function member(m)
  local parts = {}
  if m.pax then
    local body = ""
    for key, value in pairs(m.pax) do body = body .. pax_record(key, value) end
    parts[1] = header("./PaxHeaders/x", #body, m.global and "g" or "x") .. padded(body)
  end
  if m.long then parts[#parts + 1] = header("././@LongLink", #m[1] + 1, "L", true) .. padded(m[1] .. "\0") end
  parts[#parts + 1] = header(m[1]:sub(1, 100), #m[2], m.kind or "0", m.long) .. padded(m[2])
  return table.concat(parts)
end

function data_files.tar(members)
  local parts = {}
  for i, m in ipairs(members) do parts[i] = member(m) end
  return table.concat(parts) .. ("\0"):rep(1024)
end

-- Checks that every part stands in the text.
function data_files.has(text, ...)
  for _, part in ipairs {...} do check.ok(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text)) end
end

-- "train=3 test=1"
function data_files.sizes(data)
  local list = {}
  for i, s in ipairs(data:splits()) do list[i] = s.name .. "=" .. s.size end
  return table.concat(list, " ")
end

return data_files

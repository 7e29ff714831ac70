-- Random calls of everything that the help table names, with random arguments: errors are right, crashes are not. What writes files, starts
-- processes, waits or ends the program is left out by name. The last call is in a file before it is made, so that a crash names it.
--   vbl tests/full/test_api_random.lua [seconds = 20] [seed = 1]
local check = require "check"
local help = require "vbl.help"
local system = require "vbl.system.c"
local data = require "vbl.data.c"
local vbl = require "vbl"

local seconds, seed = tonumber(arg[1]) or 20, tonumber(arg[2]) or 1
math.randomseed(seed)
help "vbl"

local left_out = {
  "^system%.", "^vbl%.store%.c%.", "^vbl%.save$", "fetch", "^download", "^packer", "^vbl%.runs", "^vbl%.sweep", "^vbl%.report", "^vbl%.analysis", "^vbl%.plot",
  "^edit", "^who$", "^bench$", "^reload$", "^vbl%.document$", "^vbl%.set_device$", "^data%.pack", "write", "save", "^child", "^vbl%.train", "selftest",
}

local function allowed(name)
  for _, pattern in ipairs(left_out) do
    if name:find(pattern) then return false end
  end
  return true
end

local folders = {measure = vbl.measure, metrics = vbl.metrics, data = data, ["vbl.optim.c"] = require "vbl.optim.c",
                 ["vbl.nn.functional"] = require "vbl.nn.functional", vbl = vbl, ["vbl.measure"] = vbl.measure, ["vbl.optim"] = vbl.optim}

-- Objects whose methods are called: type -> maker. What a call does to one (release, close, step) the next calls meet.
local makers

local alive = {}

local function object_of(type)
  if not alive[type] or math.random() < 0.05 then alive[type] = makers[type]() end
  return alive[type]
end

-- {name, call = function(...)}: functions by their module, methods on an object that is drawn.
local function collect()
  local list = {}
  for _, full in ipairs(help.names "") do
    local path, name = full:match "^(.*)%.([%w_]+)$"
    local type_name, method = full:match "^([%l ]+):([%w_]+)$"
    local folder = path and folders[path]
    local ok, fn = pcall(function() return folder[name] end)
    if allowed(full) and folder and ok and type(fn) == "function" then list[#list + 1] = {name = full, call = fn} end
    if allowed(full) and makers[type_name] then list[#list + 1] = {name = full, call = function(o, ...) return o[method](o, ...) end, object = type_name} end
  end
  return list
end

local dtypes = {"f32", "f64", "bf16", "i32", "u8"}
local numbers = {0, 1, -1, 2, 3, 7, 0.5, -0.5, 1e300, -1e300, 0 / 0, 1 / 0, -1 / 0, math.maxinteger, math.mininteger, 2 ^ 31, 2 ^ 32, 1e-320}
local strings = {"", "f32", "cka", "x", "rbf", "cosine", "a red circle", "\0", ("y"):rep(300), "matched", "bf16", "cpu", "cuda", "\xff\xfe"}
local keys = {"k", "dim", "dtype", "n", "kernel", "seed", "keepdim", "lengths", "groups", "ties", "metric", "eps", "start", "length", "folds", "form", "draws",
              "threshold", "dims", "null", "rows", "batch", "temperature", "weight", "ignore", "heads", "offsets", "probability", "size", "train", "classes"}

local draw

local function pick(list) return list[math.random(#list)] end

local function tensor()
  local shape = {}
  for i = 1, math.random(0, 4) do shape[i] = pick {0, 1, 2, 3, 5, 17} end
  local t = vbl.zeros(shape, {dtype = pick(dtypes)})
  if t:dtype() ~= "u8" and t:dtype() ~= "i32" and math.random() < 0.7 then t = vbl.randn(shape):to(t:dtype()) end
  if #shape > 1 and math.random() < 0.3 then t = t:transpose(1, 2) end
  if #shape > 0 and t:size(1) > 1 and math.random() < 0.3 then t = t:narrow(1, 2, t:size(1) - 1) end
  if math.random() < 0.2 and t:dtype() == "f32" then pcall(t.requires_grad_, t, true) end
  if math.random() < 0.03 then t:release() end
  return t
end

-- Pairs of rows that fit together, which random shapes seldom are.
local function rows() return vbl.randn(pick {4, 12, 33}, pick {1, 3, 8}) end

local function indices()
  local list = {}
  for i = 1, math.random(4) do list[i] = math.random(0, 8) end
  return list
end

local function table_of(depth)
  local t = {}
  for i = 1, math.random(0, 3) do t[i] = draw(depth + 1) end
  for _ = 1, math.random(0, 2) do t[pick(keys)] = draw(depth + 1) end
  return t
end

local function handed(...) return ... end
local function raising() error "from the callback" end

function draw(depth)
  local kind = math.random(depth > 2 and 8 or 10)
  if kind <= 3 then return tensor() end
  if kind <= 5 then return math.random() < 0.5 and math.random(0, 6) or pick(numbers) end
  if kind == 6 then return pick(strings) end
  if kind == 7 then return pick {true, false} end
  if kind == 8 then return pick {handed, raising, math.sin} end
  if kind == 9 then return math.random() < 0.5 and indices() or table_of(depth) end
  return nil
end

-- A count for which a tensor of gigabytes would be filled in earnest; larger ones there is no memory for, and that is an error.
local function vast(value)
  if type(value) == "number" then return math.abs(value) > 1e7 and math.abs(value) < 1e13 end
  for _, item in pairs(type(value) == "table" and value or {}) do
    if vast(item) then return true end
  end
  return false
end

-- A file of each kind that a reader has.
local folder = os.tmpname()
os.remove(folder)
assert(system.mkdir(folder))
local words = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "##s", "circle", "\u{e9}", "0"}
local function file(name, text)
  local f <close> = assert(io.open(folder .. "/" .. name, "w"))
  f:write(text)
  return folder .. "/" .. name
end
local vocabulary = file("vocab.txt", table.concat(words, "\n"))
local function member(name, text)
  local head = name .. ("\0"):rep(100 - #name) .. "0000644\0" .. ("0000000\0"):rep(2) .. ("%011o\0"):format(#text) .. ("%011o\0"):format(0)
  local rest = "0" .. ("\0"):rep(100) .. "ustar\00000" .. ("\0"):rep(247)
  local sum = 8 * 32
  for i = 1, #(head .. rest) do sum = sum + (head .. rest):byte(i) end
  return head .. ("%06o\0 "):format(sum) .. rest .. text .. ("\0"):rep(-#text % 512)
end
local archive = file("two.tar", member("one.txt", "a red circle") .. member("two.txt", ("x"):rep(700)) .. ("\0"):rep(1024))

local function scenes() return data.scenes {image = 16, train = 7, test = 4} end
local function parameters() return {w = vbl.randn(3, 4):requires_grad_(), b = vbl.randn(4):requires_grad_()} end
makers = {
  tensor = tensor,
  tokenizer = function() return data.tokenizer(vocabulary) end,
  ["data set"] = scenes,
  ["data view"] = function() return scenes():view(pick {"train", "test"}) end,
  loader = function() return scenes():view("train"):loader {threads = pick {1, 2}, ahead = pick {1, 3}} end,
  ["tar archive"] = function() return data.tar(archive) end,
  optimizer = function() return require("vbl.optim.c").new("adamw", {"w"}, {vbl.randn(3, 4):requires_grad_()}, {true}, {1}, {}) end,
  records = function() return data.records(folder, {image = 16, max_tokens = 8, vocabulary = vocabulary}) end,
}

local function arguments(entry)
  local list, n = {}, math.random(0, 4)
  for i = 1, n do list[i] = draw(0) end
  if entry.object then list[1], n = entry.object == "tensor" and tensor() or object_of(entry.object), math.max(n, 1) end
  if entry.name:find "measure" and math.random() < 0.6 then
    list[1] = rows()
    list[2], n = list[1]:size(1) > 0 and vbl.randn(list[1]:size(1), pick {1, 3, 8}) or rows(), math.max(n, 2)
  end
  if entry.name:find "^vbl%.%l+$" and vast(list) then list, n = {}, 0 end
  return list, n
end

local function describe(value)
  local ok, text = pcall(tostring, value)
  return ok and text:gsub("\n.*", " ...") or "released"
end

local list, began, counts = collect(), system.monotonic(), {calls = 0, returned = 0}
local trace = os.getenv "VBL_API_TRACE"
check.group(("%d functions, seed %d"):format(#list, seed), function()
  check.ok(#list > 150)
  while system.monotonic() - began < seconds do
    local entry = pick(list)
    vbl.scope(function()
      local given, n = arguments(entry)
      if trace then
        local words = {}
        for i = 1, n do words[i] = describe(given[i]) end
        local file = io.open(trace, "w")
        file:write(entry.name, "(", table.concat(words, ", "), ")\n")
        file:close()
      end
      local ok, message = pcall(entry.call, table.unpack(given, 1, n))
      counts.calls = counts.calls + 1
      if ok then counts.returned = counts.returned + 1 else check.ok(message ~= nil, entry.name) end
    end)
  end
  print(("%d calls, %d of them without an error"):format(counts.calls, counts.returned))
end)
require("vbl.store.c").remove(folder)
check.done()

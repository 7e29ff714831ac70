-- Random arguments for every function of the tensors, the functional forms and the measures: any result or error but a crash (the
-- sanitizer builds look on). The draws are seeded, so that a crash comes again; VBL_TRACE=1 prints every call before it is made.
local check = require "check"

local CALLS, TENSORS, VALUES = 12000, nil, nil

local function fresh_tensors()
  local released = vbl.randn(2)
  released:release()
  return {
    vbl.randn(3, 4), vbl.randn(4), vbl.zeros(0), vbl.zeros(0, 4), vbl.randn(3, 4, 2):permute(3, 1, 2), vbl.tensor({1, 2, 0}, {dtype = "i32"}),
    vbl.tensor({{1, 2}, {3, 250}}, {dtype = "u8"}), vbl.full({2, 2}, 0 / 0), vbl.tensor(5), vbl.randn(2, 2, {dtype = "f64"}),
    vbl.randn(3, 3, {dtype = "bf16"}), vbl.randn(3, 4):requires_grad_(true), released,
  }
end

VALUES = {
  0, 1, -1, 2, 3, 7, -7, 1e18, -1e18, 0 / 0, 1 / 0, 0.5, math.maxinteger, math.mininteger, "x", "", "cpu", "f32", true, false, {}, {1, 2}, {-1, 5},
  {1e18, 1e18}, {"a"}, {dtype = "f64"}, {dtype = "q"}, {k = 3}, function() return 1 end, {{1, 2}, {3, 4}}, {{1}, {2, 3}},
}

local function pick()
  local x = math.random(10)
  if x <= 5 then return TENSORS[math.random(#TENSORS)] end
  return x > 6 and VALUES[math.random(#VALUES)] or nil
end

local function functions_of(name, t, list)
  for key, value in pairs(t) do
    if type(value) == "function" and type(key) == "string" and not key:find "^__" then list[#list + 1] = {name .. "." .. key, value} end
  end
end

local function every_function()
  local list, index = {}, getmetatable(vbl.zeros(1)).__index
  for _, module in ipairs {"vbl.nn.functional", "vbl.measure.c", "vbl.tensor.c"} do functions_of(module, require(module), list) end
  functions_of("tensor", type(index) == "table" and index or {}, list)
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

local function call(f)
  local n, arguments = math.random(0, 4), {}
  for i = 1, n do arguments[i] = pick() end
  if os.getenv "VBL_TRACE" then
    local texts = {}
    for i = 1, n do texts[i] = type(arguments[i]) == "userdata" and "tensor" or tostring(arguments[i]) end
    io.stderr:write(f[1], "(", table.concat(texts, ", "), ")\n")
  end
  return pcall(f[2], table.unpack(arguments, 1, n))
end

check.group("random arguments", function()
  math.randomseed(1)
  local list, succeeded = every_function(), 0
  check.ok(#list > 100, #list)
  for i = 1, CALLS do
    if i % 500 == 1 then TENSORS = fresh_tensors() end
    local f = list[math.random(#list)]
    local ok, message = call(f)
    if ok then succeeded = succeeded + 1 elseif type(message) ~= "string" then check.ok(false, f[1] .. ": an error without a text") end
  end
  check.ok(succeeded > CALLS / 50, succeeded)
  vbl.manual_seed(0)
end)

check.done()

-- Every function of vbl's main tables has an example, and every example gives what it says.
local check = require "check"
local help = require "vbl.help"
local system = require "vbl.system.c"

help.load()
local examples = require "vbl.examples"
local folder = os.tmpname()
os.remove(folder)
assert(system.mkdir(folder))

-- Shown with four digits.
local function near(got, want)
  if type(want) == "number" then return type(got) == "number" and math.abs(got - want) <= 1e-4 * math.max(1, math.abs(want)) end
  if type(want) ~= "table" or type(got) ~= "table" then return got == want end
  for key, value in pairs(want) do
    if not near(got[key], value) then return false end
  end
  return #got == #want
end

-- Lines as they are typed: the last may be an expression.
local function run(text)
  local lines, last = text:match "^(.*\n)([^\n]*)$"
  last = last or text
  if lines then assert(load(lines, "=prompt"))() end
  local chunk = load("return " .. last, "=prompt") or assert(load(last, "=prompt"))
  return (chunk())
end

check.group("examples", function()
  local n = 0
  for name, text in pairs(examples) do
    n = n + 1
    check.ok(help.row(name), name .. " is no function of the table")
    local code = text:gsub('"x%.', '"' .. folder .. "/x."):gsub('"cka%.', '"' .. folder .. "/cka.")
    local body, want = code:match "^(.*%S)%s+%-%->%s+(.*)$"
    require("vbl").manual_seed(1)  -- some draws do not converge (sinkhorn), whichever example comes before
    local ok, got = pcall(run, body or code)
    if not check.ok(ok, name .. ": " .. tostring(got)) then goto next end
    if want then check.ok(near(got, assert(load("return " .. want))()), ("%s: got %s, the example says %s"):format(name, require "vbl.repl.show"(got), want)) end
    ::next::
  end
  check.ok(n > 230, n)
end)

check.group("who has one", function()
  for _, prefix in ipairs {"vbl.", "tensor:", "vbl.nn.functional.", "measure.", "vbl.measure.", "metrics.", "vbl.optim."} do
    for _, name in ipairs(help.names(prefix)) do
      local row = help.row(name)
      local direct = not name:sub(#prefix + 1):find "[.:]" and not row.help:find "^Module: "
      check.ok(not direct or row.example, name .. " has no example")
    end
  end
  check.ok(help "vbl.zeros":find "\n    vbl%.zeros%(2, 2%)")
end)

system.run {"rm", "-rf", folder}
check.done()

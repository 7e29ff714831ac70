-- vbl learn [STEP]: the tutorial (docs/tutorial.md) as a guided session: each step's text, its code, then what the code prints. Return runs a
-- step, s leaves it out, q ends; where the input is no terminal all steps run at once. STEP: the number to begin with (the code of the steps
-- before it runs without its output).
local system = require "vbl.system.c"
local usage = require "vbl.usage"

local bold, dim, plain = "\27[1m", "\27[2m", "\27[0m"

-- {{title =, parts = {{text =} or {code =}, ...}}, ...}: a step is a heading of the second level.
local function steps_of(text)
  local steps, step = {}, nil
  for block in (text .. "\n\n## "):gmatch "## (.-)\n%f[#\0]" do
    local title, rest = block:match "^([^\n]*)\n(.*)$"
    step = {title = title, parts = {}}
    local at = 1
    while true do
      local from, to, code = rest:find("```lua\n(.-)```\n?", at)
      local words = rest:sub(at, (from or #rest + 1) - 1):gsub("^%s+", ""):gsub("%s+$", "")
      if words ~= "" then step.parts[#step.parts + 1] = {text = words} end
      if not from then break end
      step.parts[#step.parts + 1] = {code = code}
      at = to + 1
    end
    steps[#steps + 1] = step
  end
  return steps
end

local function run(code, title)
  local ok, message, signal = system.attempt(assert(load(code, "=prompt", "t")))
  if ok then return end
  if signal then os.exit(128 + signal) end
  usage(("step %s: %s"):format(title, message))
end

-- The steps before the one that was asked for: their names are needed, not what they print.
local function quietly(step)
  local real = print
  rawset(_G, "print", function() end)
  for _, part in ipairs(step.parts) do
    if part.code then run(part.code, step.title) end
  end
  rawset(_G, "print", real)
end

local function ask(i, n)
  io.write(("[Return] runs it, s leaves it out, q ends (%d of %d) "):format(i, n))
  local answer = io.read "l" or "q"
  print()
  return answer:sub(1, 1)
end

-- False when the reader wants to end.
local function take(step, i, n, terminal)
  local strong, faint, normal = terminal and bold or "", terminal and dim or "", terminal and plain or ""
  print(strong .. step.title .. normal .. "\n")
  for _, part in ipairs(step.parts) do
    if part.text then print(part.text .. "\n") end
    if part.code then
      print(faint .. part.code:gsub("([^\n]+)", "    %1") .. normal)
      local answer = terminal and ask(i, n) or ""
      if answer == "q" then return false end
      if answer ~= "s" then run(part.code, step.title) end
      print()
    end
  end
  return true
end

return function(first, more)
  local steps = steps_of(require "vbl.docs.tutorial.md")
  local number = math.tointeger(tonumber(first or 1))
  if more or not number or number < 1 or number > #steps then usage(("usage: vbl learn [STEP], STEP from 1 to %d"):format(#steps)) end
  rawset(_G, "arg", {[0] = "learn"})  -- STEP is no word of the experiment in step 6
  local terminal = system.isatty "stdin" and system.isatty "stdout"
  for i = 1, number - 1 do quietly(steps[i]) end
  for i = number, #steps do
    if not take(steps[i], i, #steps, terminal) then return 0 end
  end
end

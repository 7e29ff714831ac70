-- vbl learn [STEP]: the tutorial (docs/tutorial.md) as a guided session: each step's text, its code, then what the code prints. Return runs a
-- step, s runs it without a word (the next ones need its names), q ends, ?name and the prompt's other commands do what they do there; where the
-- input is no terminal all steps run at once. STEP: the number to begin with (the code of the steps before it runs without its output).
local commands = require "vbl.repl.commands"
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

-- Results of fn(...); Ctrl-C in it ends the session, and says how to go on.
local function attempt(step, fn, ...)
  local ok, result, signal = system.attempt(fn, ...)
  if ok then return result end
  if not signal then usage(("step %s: %s"):format(step.title, result)) end
  io.stderr:write(("\nvbl learn %s goes on from here\n"):format(step.title:match "^%d+"))
  os.exit(128 + signal, true)
end

local function run(code, step) attempt(step, assert(load(code, "=prompt", "t"))) end

-- For the names that the steps behind it need, without what it prints.
local function quietly(code, step)
  local real = print
  rawset(_G, "print", function() end)
  run(code, step)
  rawset(_G, "print", real)
end

local function read_line(step)
  return attempt(step, function()
    local line = io.read "l"
    return line or "q"  -- in the function: an interrupt of the read is raised at this line
  end)
end

-- "" (Return), "s" or "q".
local function ask(step, n)
  while true do
    io.write(("[Return] runs it, s runs it without a word, ?name explains, q ends (%s of %d) "):format(step.title:match "^%d+", n))
    local answer = read_line(step)
    print()
    if answer == "" or answer == "s" or answer == "q" then return answer end
    local command = commands(answer)
    if command then
      attempt(step, command)
      print()
    end
  end
end

-- Paragraphs, broken anew for the terminal; a page's link is its words alone.
local function fitted(text)
  text = text:gsub("%[(.-)%]%(.-%)", "%1")
  local width = system.width "stdout"
  return width and commands.wrapped(text:gsub("(%S)\n(%S)", "%1 %2"), width) or text
end

-- False when the reader wants to end.
local function take(step, n, terminal)
  local strong, faint, normal = terminal and bold or "", terminal and dim or "", terminal and plain or ""
  print(strong .. step.title .. normal .. "\n")
  for _, part in ipairs(step.parts) do
    if part.text then print(fitted(part.text) .. "\n") end
    if part.code then
      print(faint .. part.code:gsub("([^\n]+)", "    %1") .. normal)
      local answer = terminal and ask(step, n) or ""
      if answer == "q" then return false end
      local how = answer == "s" and quietly or run
      how(part.code, step)
      print()
    end
  end
  return true
end

return function(first, more)
  local steps = steps_of(require "vbl.docs.tutorial.md")
  if first == "help" or first == "--help" then return print(("usage: vbl learn [STEP]     a guided tour, from STEP (1 to %d) on"):format(#steps)) end
  local number = math.tointeger(tonumber(first or 1))
  if more or not number or number < 1 or number > #steps then usage(("usage: vbl learn [STEP], STEP from 1 to %d"):format(#steps)) end
  rawset(_G, "arg", {[0] = "learn"})  -- STEP is no word of the experiment in step 6
  local terminal = system.isatty "stdin" and system.isatty "stdout"
  for i = 1, number - 1 do
    for _, part in ipairs(steps[i].parts) do
      if part.code then quietly(part.code, steps[i]) end
    end
  end
  for i = number, #steps do
    if not take(steps[i], #steps, terminal) then
      print(("vbl learn %d goes on from here"):format(i))
      return 0
    end
  end
end

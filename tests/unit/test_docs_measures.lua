-- The pages of docs/measures: every example runs, and prints what the page shows (its ```lua block, and the ```text block that follows).
--   vbl tests/unit/test_docs_measures.lua write   puts what the examples print into the pages
local check = require "check"

local pages = {"cka", "neighbours", "cca", "procrustes", "rsa", "regression", "distance-correlation", "joint-space", "transport",
               "dimensionality", "probes", "attention-entropy", "calibration"}

local function read(name)
  local file = assert(io.open("docs/measures/" .. name .. ".md"))
  local text = file:read "a"
  file:close()
  return text
end

-- What the code prints.
local function output(code, name)
  local lines = {}
  local function print_line(...)
    local words = table.pack(...)
    for i = 1, words.n do words[i] = tostring(words[i]) end
    lines[#lines + 1] = table.concat(words, "\t")
  end
  local env = setmetatable({print = print_line, vbl = require "vbl"}, {__index = _G})
  assert(load(code, "=" .. name, "t", env))()
  return table.concat(lines, "\n")
end

local function example(text) return text:match "\n```lua\n(.-)\n```" end

if arg[1] == "write" then
  for _, name in ipairs(pages) do
    local text = read(name):gsub("\n```text\n.-\n```\n", "")
    local file = assert(io.open("docs/measures/" .. name .. ".md", "w"))
    file:write(text, "\n```text\n", output(example(text), name), "\n```\n")
    file:close()
  end
  os.exit(0)
end

check.group("examples", function()
  for _, name in ipairs(pages) do
    local text = read(name)
    local code, shown = text:match "\n```lua\n(.-)\n```\n\n```text\n(.-)\n```"
    check.ok(code, name .. ": no example with its output")
    if code then
      local got = output(code, name)
      check.ok(got == shown, ("%s: printed\n%s\nexpected\n%s"):format(name, got, shown))
    end
  end
end)

-- Every measure is on some page, and the index links every page.
check.group("complete", function()
  local all, index = "", read "README"
  for _, name in ipairs(pages) do
    all = all .. read(name)
    check.ok(index:find("(" .. name .. ".md)", 1, true), "the index lacks " .. name)
    for _, part in ipairs {"**What.**", "**Range.**", "**Chance.**", "**When it misleads.**", "**Reference.**", "**Invariances.**"} do
      check.ok(read(name):find(part, 1, true) or name == "joint-space" or name == "calibration", name .. " lacks " .. part)
    end
  end
  for name, value in next, require "vbl.measure" do
    if type(value) == "function" and not ({prepare = 1, is_prepared = 1, lapack = 1, matrix = 1, traits = 1, plugins = 1})[name] then
      check.ok(all:find(name, 1, true), "no page names " .. name)
    end
  end
end)

check.done()

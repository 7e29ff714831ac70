-- What `vbl reference` and `vbl lsp` write: a page for every module, stubs that are Lua, a manual page; and that help knows all of it.
local check = require "check"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local folder = os.tmpname()
os.remove(folder)
local program = system.executable()

local function run(...) return system.output {program, ...} end

check.group("every command says what it is, and writes nothing for that", function()
  local commands = {"data", "doctor", "export", "learn", "lsp", "reference", "report", "runs", "sweep", "test", "why", "sweep status", "sweep resume", "sweep worker"}
  for _, name in ipairs {"data", "runs"} do
    for _, sub in ipairs(require("vbl.cmd." .. name).names) do commands[#commands + 1] = name .. " " .. sub end
  end
  for _, command in ipairs(commands) do
    local text, code = system.output {"sh", "-c", ("cd /tmp && '%s' %s --help"):format(program, command)}
    check.equal(code, 0)
    check.ok(text:find("vbl " .. command, 1, true), text)
  end
  check.ok(not system.exists "/tmp/--help")
end)

check.group("reference", function()
  local text, code = run("reference", folder)
  check.equal(code, 0)
  check.ok(text:find "%d+ pages and vbl%.1\n$", text)
  local pages = require "vbl.reference" ()
  check.ok(#pages > 15)
  for _, page in ipairs(pages) do
    local file = store.read_file(("%s/%s.md"):format(folder, (page.name:gsub(" ", "-"))))
    for _, entry in ipairs(page.entries) do
      check.ok(file:find("## " .. entry.name .. "\n", 1, true), page.name .. ": " .. entry.name)
      check.ok(entry.help ~= "" and entry.signature ~= "", page.name .. "." .. entry.name .. " says nothing")
    end
  end
  check.ok(store.read_file(folder .. "/vbl.data.md"):find("open(name, opts)", 1, true))
  local manual = store.read_file(folder .. "/vbl.1")
  for _, word in ipairs {"^%.TH VBL 1", "%.B vbl doctor\n", "%.B vbl runs show RUN", "%.B vbl sweep status FOLDER\n", "%.B \\%-\\%-seed N"} do check.ok(manual:find(word), word) end
  for _, page in ipairs {"vbl.runs", "vbl.sweep", "vbl.config", "vbl.plot.terminal"} do check.ok(system.exists(("%s/%s.md"):format(folder, page)), page) end
  if system.run {"sh", "-c", "command -v man >/dev/null"} == 0 then
    check.equal(system.output {"sh", "-c", ("MANWIDTH=80 man --warnings -l '%s/vbl.1' 2>&1 >/dev/null"):format(folder)}, "")
  end
end)

-- Functions that a script reaches through vbl, in its modules and the tables in them.
local function functions(path, module, seen, list)
  seen[module] = true
  for name, value in next, module do
    local full = type(name) == "string" and name:find "^%a" and path .. "." .. name
    if full and type(value) == "function" then list[#list + 1] = full end
    if full and type(value) == "table" and not seen[value] then functions(full, value, seen, list) end
  end
  return list
end

check.group("every public function has help", function()
  local help = require "vbl.help"
  help.load()
  local list, seen = {}, {}
  for _, name in ipairs(help.names "vbl.") do
    if help.row(name).help:find "^Module: " then functions(name, require(name), seen, list) end
  end
  functions("vbl", vbl, seen, list)
  check.ok(#list > 230, #list)
  for _, name in ipairs(list) do
    local row = help.row(name) or help.row(name:sub(5))
    check.ok(row and row.help ~= "" and row.signature ~= "", name .. " says nothing")
  end
end)

check.group("stubs", function()
  local _, code = run("lsp", folder)
  check.equal(code, 0)
  local stubs = store.read_file(folder .. "/.vbl/vbl.lua")
  local environment = {vbl = nil}
  check.ok(load(stubs, "stubs", "t", environment))
  load(stubs, "stubs", "t", environment)()
  check.equal(type(environment.vbl.measure.cka), "function")
  check.equal(type(environment.vbl.nn.functional.softmax), "function")
  check.equal(type(environment.vbl.runs.list), "function")
  check.ok(stubs:find("---@param keepdim? any\n---@return tensor\nfunction tensor:mean(dim, keepdim) end", 1, true))
  check.equal(store.json_decode(store.read_file(folder .. "/.luarc.json"))["runtime.version"], "Lua 5.4")
  check.ok(run("lsp", folder):find("is there already", 1, true))
  local message
  message, code = run("reference")
  check.ok(code ~= 0, message)
end)

system.run {"rm", "-rf", folder}
check.done()

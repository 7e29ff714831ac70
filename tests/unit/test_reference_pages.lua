-- What `vbl reference` and `vbl lsp` write: a page for every module, stubs that are Lua, a manual page; and that help knows all of it.
local check = require "check"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local folder = os.tmpname()
os.remove(folder)
local program = system.executable()

local function run(...) return system.output {program, ...} end

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
  for _, word in ipairs {"^%.TH VBL 1", "%.B doctor", "%.B \\%-\\%-seed N"} do check.ok(manual:find(word), word) end
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
  check.ok(stubs:find("---@param keepdim? any\n---@return tensor\nfunction tensor:mean(dim, keepdim) end", 1, true))
  check.equal(store.json_decode(store.read_file(folder .. "/.luarc.json"))["runtime.version"], "Lua 5.4")
  check.ok(run("lsp", folder):find("is there already", 1, true))
  local message
  message, code = run("reference")
  check.ok(code ~= 0, message)
end)

system.run {"rm", "-rf", folder}
check.done()

-- vbl lsp [FOLDER]: stubs for the Lua language server (LuaLS): FOLDER/.vbl/vbl.lua (---@meta) and, where there is none, FOLDER/.luarc.json
-- that points to them. FOLDER: this one.
local keywords = require "vbl.keywords"
local pages = require "vbl.reference"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local usage = require "vbl.usage"

local types = {tensor = true, number = true, integer = true, string = true, boolean = true}

local function class_of(name) return (name:gsub("[^%w]", "_")) end

-- What stands behind "->": the first word when it is a type, else any.
local function result_of(signature)
  local word = signature:match "%->%s*([%a]+)"
  if not word then return nil end
  return types[word] and word or "any"
end

-- "zeros(d1, d2, ..., [opts])" -> {"d1", "d2", "..."}: names that a call may leave out end in "?".
local function parameters_of(signature)
  local inside = (signature:match "%((.*)%)" or ""):gsub("%).*$", "")
  if signature:match "^[%w_.:]+{" then return {"options"} end
  local list, optional, seen = {}, 0, {}
  inside = inside:gsub("%b{}", " options ")
  for open, word, close in inside:gmatch "(%[*)%s*([%a_.][%w_.]*)[^,%[%]]*([%]]*)" do
    optional = optional + #open
    if word == "..." then
      list[#list + 1] = "..."
      break
    end
    if word:find "^[%a_][%w_]*$" and not seen[word] then
      seen[word] = true
      list[#list + 1] = optional > 0 and word .. "?" or word
    end
    optional = math.max(0, optional - #close)
  end
  return list
end

local function declaration(prefix, entry)
  local lines, names = {"---" .. entry.signature}, {}
  for line in (entry.help .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = "---" .. line end
  if entry.example then lines[#lines + 1] = "---```lua\n---" .. entry.example:gsub("\n", "\n---") .. "\n---```" end
  for i, name in ipairs(parameters_of(entry.signature)) do
    local bare = name:gsub("%?$", "")
    if keywords[bare] then bare = bare .. "_" end
    names[i] = bare
    if bare ~= "..." then lines[#lines + 1] = ("---@param %s%s any"):format(bare, name:find "%?$" and "?" or "") end
  end
  local result = result_of(entry.signature)
  if result then lines[#lines + 1] = "---@return " .. result end
  lines[#lines + 1] = ("function %s%s(%s) end\n"):format(prefix, entry.name, table.concat(names, ", "))
  return table.concat(lines, "\n")
end

local function stubs(parts)
  local lines = {"---@meta vbl", "---@diagnostic disable: missing-return, duplicate-set-field", ""}
  for _, part in ipairs(parts) do
    local name = part.class and class_of(part.name) or part.name
    lines[#lines + 1] = "---@class " .. name
    lines[#lines + 1] = part.class and ("local %s = {}\n"):format(name) or name .. " = {}\n"
    for _, entry in ipairs(part.entries) do
      if not keywords[entry.name] then lines[#lines + 1] = declaration(name .. (part.class and ":" or "."), entry) end
    end
  end
  lines[#lines + 1] = "return vbl"
  return table.concat(lines, "\n") .. "\n"
end

local settings = {["runtime.version"] = "Lua 5.4", ["workspace.library"] = {".vbl"}, ["diagnostics.globals"] = {"vbl"}}

return function(folder, more)
  if folder == "--help" then return print "usage: vbl lsp [FOLDER]     stubs for the Lua language server, in FOLDER (.)" end
  if more or folder and folder:find "^%-" then usage "usage: vbl lsp [FOLDER]" end
  folder = folder or "."
  local ok, message = system.mkdir(folder .. "/.vbl")
  if not ok then usage("lsp: " .. message) end
  store.write_atomic(folder .. "/.vbl/vbl.lua", stubs(pages()))
  print("written: " .. folder .. "/.vbl/vbl.lua")
  local file = folder .. "/.luarc.json"
  if system.exists(file) then
    print(("%s is there already: \"workspace.library\" has to name \".vbl\" in it"):format(file))
  else
    store.write_atomic(file, store.json_encode(settings, {indent = 2}) .. "\n")
    print("written: " .. file)
  end
end

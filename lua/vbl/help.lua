-- Help from one table: every function that vbl_lua_register or vbl.document has seen, under its full name ("vbl.zeros", "tensor:sum",
-- "system.time"), and once the modules are loaded their functions in Lua too, by the comments above them. ?name, completion, the reference
-- pages, the editor's stubs and the manual page all read it.
-- help(name) -> string, found: the entry, the entries that end in `name`, or a hint (found is false); with * in it, a line for each name that
-- fits, or whose help has the word; help() lists the modules.
-- help.load() loads the modules, whose rows are there from then on.
-- help.names(prefix) -> {full names that begin with prefix}, sorted
-- help.row(name) -> {signature=, help=, [example=]} or nil
local nearest = require "vbl.nearest"
local source = require "vbl.source"
local vbl = require "vbl"

local help = {}

local function rows() return debug.getregistry()["vbl.help"] or {} end

function help.names(prefix)
  local list = {}
  for name in pairs(rows()) do
    if name:sub(1, #prefix) == prefix then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

function help.row(name) return rows()[name] end

local function entry(name)
  local row = rows()[name]
  local example = row and row.example and "\n\n    " .. row.example:gsub("\n", "\n    ") or ""
  return row and ("%s\n  %s\n  %s%s"):format(name, row.signature, row.help:gsub("\n", "\n  "), example)
end

-- The full names whose last part is `word`, the shortest first.
local function ending_in(word)
  local list = {}
  for _, name in ipairs(help.names "") do
    if name:match "[^.:]*$" == word then list[#list + 1] = name end
  end
  table.sort(list, function(a, b) return #a < #b or #a == #b and a < b end)
  return list
end

local function last_words()
  local set = {}
  for name in pairs(rows()) do set[name:match "[^.:]*$"] = true end
  return set
end

local function modules()
  local counts, list = {}, {}
  for name in pairs(rows()) do
    local module = name:match "^(.*[.:])[^.:]*$" or name
    counts[module] = (counts[module] or 0) + 1
  end
  for module, n in pairs(counts) do list[#list + 1] = ("  ?%-24s %d function%s"):format(module, n, n == 1 and "" or "s") end
  table.sort(list)
  return "?name explains a function, ?module. lists a module, ?*part* searches:\n" .. table.concat(list, "\n")
end

-- What no row tells of yet: a module's functions in Lua, and those of the tables in it.
local function add_lua(path, module, seen)
  if seen[module] then return end
  seen[module] = true
  for name, value in next, module do
    local full = type(name) == "string" and name:find "^%a" and path .. "." .. name
    if full and type(value) == "table" then add_lua(full, value, seen) end
    local about = full and type(value) == "function" and not (rows()[full] or rows()[full:sub(5)]) and source.about(value)
    if about then vbl.document(full, name .. about.signature:match "%b()$", about.help) end
  end
end

-- A module's rows are there once it is loaded, which a script does when it first uses it; who asks may not have yet. (Not every module
-- that vbl names is in every build.)
local loaded

function help.load()
  if loaded then return end
  loaded = true
  local names = {}
  for name, row in pairs(rows()) do
    if row.help:find "^Module: " then names[#names + 1] = name end
  end
  table.sort(names)
  local seen = {[vbl] = true}
  for _, name in ipairs(names) do
    local ok, module = pcall(require, name)
    if ok and type(module) == "table" then add_lua(name, module, seen) end
  end
  for _, name in ipairs {"load", "save", "gradcheck"} do assert(vbl[name]) end
  for name, example in pairs(require "vbl.examples") do
    if rows()[name] then rows()[name].example = example end
  end
end

-- A line each: the name and how its help begins.
local function listed(names)
  for i, name in ipairs(names) do names[i] = ("%-32s %s"):format(name, (rows()[name].help:match "^[^\n]*")) end
  return table.concat(names, "\n")
end

-- ?*word*: in the names first, else in the texts.
local function search(glob)
  local pattern = "^" .. glob:lower():gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*") .. "$"
  local list = {}
  for _, part in ipairs {"name", "help"} do
    for name, row in pairs(rows()) do
      local text = part == "name" and name or row.help
      if text:lower():find(pattern) then list[#list + 1] = name end
    end
    if #list > 0 then break end
  end
  table.sort(list)
  if #list == 0 then return ("nothing is named %s, nor says so"):format(glob), false end
  return listed(list), true
end

-- ?vbl.measure. and ?tensor: have the names behind them; some of a module's stand there without "vbl.".
local function members(prefix)
  local list = help.names(prefix)
  local short = prefix ~= "vbl." and prefix:match "^vbl%.(.*)" and help.names(prefix:sub(5)) or {}
  table.move(short, 1, #short, #list + 1, list)
  table.sort(list)
  return list
end

local function look_up(_, name)
  help.load()
  if not name or name == "" then return modules(), true end
  if name:find("*", 1, true) then return search(name) end
  if rows()[name] then return entry(name), true end
  local inside = name:find "[.:]$" and members(name) or {}
  if inside[1] then return listed(inside), true end
  local word = name:match "[^.:]*$"
  local found = ending_in(word)
  if #found == 0 then return ("no help for '%s'%s (? lists what there is, ?*%s* searches)"):format(name, nearest.hint(word, last_words()), word), false end
  for i, full in ipairs(found) do found[i] = entry(full) end
  return table.concat(found, "\n\n"), true
end

return setmetatable(help, {__call = look_up})

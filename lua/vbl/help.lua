-- Help from the binding tables: every function that vbl_lua_register or vbl.document has seen, under its full name
-- ("vbl.zeros", "tensor:sum", "system.time").
-- help(name) -> string: the entry, the entries that end in `name`, or a hint; with * in it, a line for each name that fits, or whose help has
-- the word; help() lists the modules.
-- help.names(prefix) -> {full names that begin with prefix}, sorted
-- help.row(name) -> {signature=, help=} or nil
local nearest = require "vbl.nearest"

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
  return row and ("%s\n  %s\n  %s"):format(name, row.signature, (row.help:gsub("\n", "\n  ")))
end

-- The full names whose last part is `word`.
local function ending_in(word)
  local list = {}
  for _, name in ipairs(help.names "") do
    if name:match "[^.:]*$" == word then list[#list + 1] = name end
  end
  return list
end

local function modules()
  local counts, list = {}, {}
  for name in pairs(rows()) do
    local module = name:match "^(.*[.:])[^.:]*$" or name
    counts[module] = (counts[module] or 0) + 1
  end
  for module, n in pairs(counts) do list[#list + 1] = ("  ?%-24s %d functions"):format(module, n) end
  table.sort(list)
  return "?name explains a function, ?module. lists a module, ?*part* searches:\n" .. table.concat(list, "\n")
end

-- A module's rows are there once it is loaded, which a script does when it first uses it; who asks may not have yet. (Not every module
-- that vbl names is in every build.)
local loaded

local function load_modules()
  if loaded then return end
  loaded = true
  local names = {}
  for name, row in pairs(rows()) do
    if row.help:find "^Module: " then names[#names + 1] = name end
  end
  for _, name in ipairs(names) do pcall(require, name) end
end

-- ?*word*: in the names first, else in the texts. A line each: the name and how its help begins.
local function search(glob)
  local pattern = "^" .. glob:lower():gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*") .. "$"
  local list = {}
  for _, part in ipairs {"name", "help"} do
    for name, row in pairs(rows()) do
      local text = part == "name" and name or row.help
      if text:lower():find(pattern) then list[#list + 1] = ("%-32s %s"):format(name, (row.help:match "^[^\n]*"):sub(1, 90)) end
    end
    if #list > 0 then break end
  end
  table.sort(list)
  return #list > 0 and table.concat(list, "\n") or ("nothing is named %s, nor says so"):format(glob)
end

local function look_up(_, name)
  load_modules()
  if not name or name == "" then return modules() end
  if name:find("*", 1, true) then return search(name) end
  if rows()[name] then return entry(name) end
  if name:find "[.:]$" and help.names(name)[1] then return table.concat(help.names(name), "\n") end
  local found = ending_in(name:match "[^.:]*$")
  if #found == 0 then return ("no help for '%s'%s"):format(name, nearest.hint(name, rows())) end
  for i, full in ipairs(found) do found[i] = entry(full) end
  return table.concat(found, "\n\n")
end

return setmetatable(help, {__call = look_up})

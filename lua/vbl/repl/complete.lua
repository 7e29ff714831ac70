-- Completion at the prompt, by values, metatables and the help table: globals and keywords, fields after a dot, methods after a colon, the
-- keys of an option table and of an experiment's config, a model's words in {preset = "...", names of layers in m:tap{"...}, runs in
-- vbl.runs.find "...", and paths inside other quotes.
-- complete(text before the cursor, of the lines before it too) -> text to insert (may be ""), candidates to show or nil
local commands = require "vbl.repl.commands"
local help = require "vbl.help"
local keywords = require "vbl.keywords"
local system = require "vbl.system.c"

-- Adds the string keys of a value: its own, then those its metatable's __index leads to.
local function add_keys(value, set)
  for _ = 1, 8 do
    if type(value) == "table" then
      for key, item in next, value do
        if type(key) == "string" then set[key] = type(item) end
      end
    end
    local meta = debug.getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index") or nil
    if type(value) ~= "table" then return end
  end
end

-- Names that exist only once they are asked for: submodules, and methods behind an __index function.
local function add_documented(path, value, set)
  local prefix = path .. "."
  if type(value) == "userdata" then prefix = commands.kind_of(value) .. ":" end
  for _, full in ipairs(help.names(prefix)) do set[full:sub(#prefix + 1):match "^[^.:]*"] = "function" end
end

local function add_all(keys, set)
  for key in pairs(keys or {}) do set[key] = "option" end
end

-- Keys that the signature of the called function names ("name=" between braces), those of a model or a data set, and of an experiment's
-- config at a path in it (tasks.mlm).
local function options_of(called, path)
  local set = {}
  local row = path == "" and (help.row(called) or help.row((called:gsub("^vbl%.", ""))))
  for braces in (row and row.signature or ""):gmatch "%b{}" do
    for key in braces:gmatch "([%a_][%w_]*)%s*=" do set[key] = "option" end
  end
  if path == "" and called:find "models.vilbert$" then add_all(require("vbl.models.vilbert_config").schema, set) end
  if path == "" and called:find "data.open$" then add_all(require("vbl.data").options, set) end
  if called == "vbl.config" then
    for _, kind in ipairs {"pretrain", "finetune"} do add_all(require("vbl.train").schemas(kind)[path], set) end
  end
  return set
end

-- What is open where the text ends: the positions of its brackets; the sign of a quote and where it is. A quote sign inside the other kind
-- is a letter.
local function scan(text)
  local open, quote, at = {}, nil, nil
  local i = 1
  while i <= #text do
    local sign = text:sub(i, i)
    if sign == "\\" then
      i = i + 1
    elseif quote then
      if sign == quote then quote = nil end
    elseif sign == "'" or sign == '"' then
      quote, at = sign, i
    elseif sign:find "[({%[]" then
      open[#open + 1] = i
    elseif sign:find "[)}%]]" then
      open[#open] = nil
    end
    i = i + 1
  end
  return open, quote and at
end

-- The function in whose option table the text ends, where a key can stand, and the path of the tables between: "vbl.config", "tasks.mlm" of
-- `vbl.config({tasks = {mlm = {we`. nil elsewhere.
local function option_table(text, start)
  local open, path = scan(text), ""
  if not text:sub(1, #text - #start):find "[{,;]%s*$" then return nil end
  for i = #open, 1, -1 do
    local sign, before = text:sub(open[i], open[i]), text:sub(1, open[i] - 1)
    local key = sign == "{" and before:match "([%a_][%w_]*)%s*=%s*$"
    local called = not key and before:match "([%a_][%w_.:]*)%s*$"
    if called then return text:sub(open[#open], open[#open]) == "{" and called or nil, path end
    if key then path = path == "" and key or key .. "." .. path end
  end
end

local function fitting(set, start, only)
  local list = {}
  for key, kind in pairs(set) do
    local fits = key:sub(1, #start) == start and (start:sub(1, 1) == "_" or key:sub(1, 1) ~= "_")
    if fits and (not only or kind == only) then list[#list + 1] = key end
  end
  table.sort(list)
  return list
end

local function globals()
  local set = {}
  add_keys(_G, set)
  for word in pairs(keywords) do set[word] = "keyword" end
  return set
end

local function names(text)
  local chain = text:match "[%a_][%w_.:]*$" or ""
  local path, separator, start = chain:match "^(.-)([.:]?)([%a_]?[%w_]*)$"
  if separator == "" then
    local called, inside = option_table(text, start)
    local options = called and fitting(options_of(called, inside), start) or {}
    if options[1] or chain == "" then return options, start end
    local of_value = text:sub(1, #text - #chain):find "[.:]$"  -- (...):na: what it is, only running it tells
    return of_value and {} or fitting(globals(), start), start
  end
  local value, set = commands.value_of(path), {}
  if value == nil then return {}, start end
  add_keys(value, set)
  add_documented(path, value, set)
  return fitting(set, start, separator == ":" and "function" or nil), start
end

local function paths(start)
  local folder, begin = start:match "^(.*/)([^/]*)$"
  local set = {}
  for _, name in ipairs(system.list(folder or ".") or {}) do
    local stat = system.stat((folder or "") .. name)
    if name:sub(1, 1) ~= "." or begin and begin:sub(1, 1) == "." then set[stat and stat.type == "directory" and name .. "/" or name] = "path" end
  end
  return fitting(set, begin or start), begin or start
end

-- The words that a model's key can have, where the text ends at its value; nil elsewhere.
local function choices_at(before)
  local rest, key = before:match "^(.*[{,;]%s*)([%a_][%w_]*)%s*=%s*$"
  local called, path = option_table(rest or "", "")
  if not called or not (called:find "models.vilbert$" and path == "" or called == "vbl.config" and path == "model") then return nil end
  local model = require "vbl.models.vilbert_config"
  local row = model.schema[key]
  return key == "placement" and model.placements or row and type(row[1]) == "table" and row[1] or nil
end

local function in_string(start, before)
  local model = before:match "([%a_][%w_.]*):tap%s*%(?%s*{[^{}]*$"
  local value = model and commands.value_of(model)
  local set = {}
  for _, word in ipairs(choices_at(before) or {}) do set[word] = "choice" end
  if type(value) == "table" and value.tap_names then
    for _, name in ipairs(value:tap_names()) do set[name] = "tap" end
  elseif before:find "vbl%.runs%.%a+%s*%(?%s*$" and not start:find "/" then
    for _, name in ipairs(system.list "runs" or {}) do set[name] = name:sub(1, 1) ~= "." and system.exists("runs/" .. name .. "/config.lua") and "run" or nil end
  end
  local list = fitting(set, start)
  if list[1] then return list, start end
  return paths(start)
end

local function common_prefix(list)
  local first, last = list[1], list[#list]
  local n = 0
  while n < #first and first:byte(n + 1) == last:byte(n + 1) do n = n + 1 end
  return first:sub(1, n)
end

-- The candidates in columns as wide as the longest.
local function columns(list)
  local width, wide, lines = system.width "stdout" or 80, 0, {}
  for _, word in ipairs(list) do wide = math.max(wide, (utf8.len(word) or #word) + 2) end
  local each = math.max(1, (width - 1) // wide)
  for i, word in ipairs(list) do
    local last = i % each == 0 or i == #list
    lines[#lines + 1] = word .. (last and "\n" or (" "):rep(wide - (utf8.len(word) or #word)))
  end
  return (table.concat(lines):gsub("\n$", ""))
end

-- The last word of a command of the shell, whose blanks and signs have a backslash before them.
local function shell_paths(text)
  local word = text:sub((text:gsub("\\.", "\1\1"):match "()%S*$"))
  local list, start = paths((word:gsub("\\(.)", "%1")))
  return list, start, function(insert) return (insert:gsub("[ !\"#$&'()*;<>?%[\\%]`{|}~]", "\\%0")) end
end

return function(text)
  help.load()
  local _, quote = scan(text)
  local list, start, escaped
  if quote then
    list, start = in_string(text:sub(quote + 1), text:sub(1, quote - 1))
  elseif text:find "^%s*%$" then
    list, start, escaped = shell_paths(text)
  else
    list, start = names(text)
  end
  if #list == 0 then return "", nil end
  local insert = common_prefix(list):sub(#start + 1)
  if insert ~= "" or #list == 1 then return escaped and escaped(insert) or insert, nil end
  return "", columns(list)
end

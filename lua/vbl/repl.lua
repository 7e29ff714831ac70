-- The prompt. An expression prints its values and keeps the first in `_`; a statement that is not finished goes on in the
-- next line; ?name is help; Ctrl-C stops what runs and comes back with everything alive; the end of input ends it.
-- repl() -> exit code. On a terminal with an editor and a history file, else (a pipe, TERM=dumb) with plain lines.
local edit = require "vbl.edit.c"
local help = require "vbl.help"
local system = require "vbl.system.c"

local function history_file()
  local state = os.getenv "XDG_STATE_HOME"
  if not state or state == "" then
    local home = os.getenv "HOME"
    if not home or home == "" then return nil end
    state = home .. "/.local/state"
  end
  return system.mkdir(state .. "/vbl") and state .. "/vbl/history" or nil
end

local function plain_reader(terminal)
  return function(prompt)
    if terminal then io.write(prompt) io.flush() end
    return io.read "l"
  end
end

-- read(prompt) -> line, or nil at the end; raises "interrupted" on a signal.
local function new_reader()
  local terminal = system.isatty "stdin" and system.isatty "stdout"
  local kind = os.getenv "TERM" or "dumb"
  if not terminal or kind == "dumb" or kind == "" then return plain_reader(terminal), terminal end
  edit.open(history_file(), require "vbl.complete")
  return function(prompt)
    local line = edit.read(prompt)
    if line and line:find "%S" then edit.remember(line) end
    return line
  end, terminal
end

-- A plain table on one line, its list first, then names by the alphabet; of each table the first entries, of tables in tables
-- two levels. Everything else as tostring has it.
local SHOWN, DEPTH = 16, 2

local function keys_of(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) == "number" or type(b) ~= "number" and type(a) < type(b) end
    if type(a) == "number" or type(a) == "string" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function show(value, depth)
  if type(value) == "string" and depth then return ("%q"):format(value) end
  if type(value) ~= "table" or getmetatable(value) then return tostring(value) end
  depth = depth or 0
  if depth > DEPTH and next(value) ~= nil then return "{...}" end
  local parts = {}
  for n, key in ipairs(keys_of(value)) do
    if n > SHOWN then parts[n] = "..." break end
    local text = show(value[key], depth + 1)
    parts[n] = key == n and text or ("%s = %s"):format(tostring(key), text)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- The chunk of one statement or expression, reading on while it is not finished; nil at the end of input.
local function read_chunk(read)
  local text = read "> "
  if not text then return nil end
  local name = text:match "^%s*%?%s*(.-)%s*$"
  if name then return function() print(help(name)) end end
  while true do
    local chunk = load("return " .. text:gsub("^%s*=", ""), "=prompt", "t")
    local message
    if not chunk then chunk, message = load(text, "=prompt", "t") end
    if chunk then return chunk end
    local more = message:find "<eof>$" and read ">> "
    if not more then error(message, 0) end
    text = text .. "\n" .. more
  end
end

local function print_values(...)
  local n = select("#", ...)
  if n == 0 then return end
  local texts = {}
  for i = 1, n do texts[i] = show((select(i, ...))) end
  rawset(_G, "_", (...))
  print(table.concat(texts, "\t"))
end

-- One turn; true when the input has ended. state.running: the chunk runs, the line is no longer being typed.
local function turn(read, state)
  state.running = false
  local chunk = read_chunk(read)
  if not chunk then return true end
  state.running = true
  print_values(chunk())
end

return function()
  local read, terminal = new_reader()
  if terminal then
    local cpu = system.cpu()
    print(("vbl %s, %s, %s, %d threads; ?name explains, Ctrl-D ends"):format(vbl.version, _VERSION, cpu.isa, system.threads()))
  end
  local state = {}
  while true do
    local ok, ended, signal = system.attempt(turn, read, state)
    if ok and ended then
      if terminal then print() end
      return 0
    end
    if not ok then
      io.stdout:flush()
      if signal and terminal then io.stderr:write "\n" end
      -- The bare word while a line is typed: it was given up. (In a C function an interrupt has no line, and is the bare word too.)
      if state.running or ended ~= "interrupted" then io.stderr:write(ended, "\n") end
    end
    if signal == 15 then return 143 end
  end
end

-- The prompt. An expression prints its values and keeps the first in `_` and in `_N`, N the prompt's number (the last 20 of them; a `;` at
-- the end is silence); a statement that is not finished goes on in the next line; ?name is help, name?? the source, ?*part* a search, $ a
-- command of the shell; Ctrl-C stops what runs and comes back with everything alive; the end of input ends it.
-- repl() -> exit code. On a terminal with an editor and a history file, else (a pipe, TERM=dumb) with plain lines.
local commands = require "vbl.repl.commands"
local edit = require "vbl.edit.c"
local show = require "vbl.repl.show"
local system = require "vbl.system.c"
local tools = require "vbl.repl.tools"
local visible = require "vbl.visible"

local KEPT = 20       -- results that stay reachable as _N: each may be a large tensor
local SLOW = 1        -- seconds from which a command's time is told

-- Path, or nil and why not; nil alone where there is no home.
local function history_file()
  local state = os.getenv "XDG_STATE_HOME"
  if not state or state == "" then
    local home = os.getenv "HOME"
    if not home or home == "" then return nil end
    state = home .. "/.local/state"
  end
  local ok, message = system.mkdir(state .. "/vbl")
  if not ok then return nil, message end
  return state .. "/vbl/history"
end

local function plain_reader(terminal)
  return function(prompt)
    if terminal then io.write(prompt) io.flush() end
    local line, message, code = io.read "l"
    if not line and message and code ~= 4 then  -- 4: EINTR, after which the interrupt is raised
      io.stderr:write("vbl: standard input: ", message, "\n")
      os.exit(1, true)
    end
    return line
  end
end

-- read(prompt[, the statement's lines so far]) -> line, or nil at the end; raises "interrupted" on a signal. And whether it is a terminal;
-- remember(statement), which keeps it in the history.
local function new_reader()
  local terminal = system.isatty "stdin" and system.isatty "stdout"
  local kind = os.getenv "TERM" or "dumb"
  if not terminal or kind == "dumb" or kind == "" then return plain_reader(terminal), terminal, function() end end
  local file, unkept = history_file()
  local told, before, complete = false, "", require "vbl.repl.complete"
  edit.open(file, function(text) return complete(before .. text) end)
  local function read(prompt, so_far)
    before = so_far and so_far .. "\n" or ""
    return edit.read(prompt)
  end
  return read, terminal, function(text)
    local message = text:find "%S" and edit.remember(text) or unkept
    if not message or told then return end
    told = true
    io.stderr:write("vbl: the history is not kept: ", message, "\n")
  end
end

-- Of several statements (pasted) the last may be an expression, on lines of its own: it is looked for from the end, and begins with a letter
-- or a digit, with which no statement goes on.
local function with_last_value(text)
  local at, lines = #text, 0
  repeat
    at = text:sub(1, at - 1):match ".*()\n"
    lines = lines + 1
    local last = at and text:match("^%s*[%w_].*", at + 1)
    if last and load("return " .. last, "=prompt", "t") and load(text:sub(1, at), "=prompt", "t") then
      return load(text:sub(1, at) .. "return " .. last, "=prompt", "t")
    end
  until not at or lines == 100
end

-- chunk, whether its values stay unprinted; or nil, nil, message
local function compile(text)
  local expression, silent = text:gsub("^%s*=", ""):gsub(";%s*$", ""), text:find ";%s*$" ~= nil
  local chunk, message = load("return " .. expression, "=prompt", "t")
  if message == "not enough memory" then error(message, 0) end  -- it may be an expression all the same
  chunk = chunk or with_last_value(expression)
  if chunk then return chunk, silent end
  chunk, message = load(text, "=prompt", "t")
  return chunk, nil, message
end

-- The chunk of one statement or expression, reading on while it is not finished, and whether its values stay unprinted; nil at the end of
-- input. The history has it as one.
local function read_chunk(read, remember, number)
  local text = read(number .. "> ")
  if not text then return nil end
  local chunk, silent, message = commands(text), nil, nil
  while not chunk do
    chunk, silent, message = compile(text)
    local more = not chunk and message:find "<eof>$" and read(number .. ">> ", text)
    if more then text = text .. "\n" .. more end
    if not chunk and not more then break end
  end
  remember(text)
  if not chunk then error(message, 0) end
  return chunk, silent
end

local function keep(number, value)
  rawset(_G, "_", value)
  rawset(_G, "_" .. number, value)
  rawset(_G, "_" .. number - KEPT, nil)
end

local function print_values(...)
  local texts = {}
  for i = 1, select("#", ...) do texts[i] = show((select(i, ...))) end
  local text = table.concat(texts, "\t")
  print(text:find "\n" and table.concat(texts, "\n") or text)
end

local function told(started)
  local seconds = system.monotonic() - started
  if seconds < SLOW then return end
  local peak = vbl.memory().device_peak
  print(("(%s, at most %s of memory so far%s)"):format(tools.seconds(seconds), tools.bytes(system.peak_rss_bytes()),
                                                      peak and (", %s on the device"):format(tools.bytes(peak)) or ""))
end

-- One turn; true when the input has ended. state.running: the chunk runs, the line is no longer being typed.
local function turn(read, remember, state)
  state.running = false
  local chunk, silent = read_chunk(read, remember, state.number)
  if not chunk then return true end
  state.running, state.started = true, system.monotonic()
  local values = table.pack(chunk())
  vbl.synchronize()  -- a device's time is this line's, and its failure too
  if values.n == 0 then return end
  keep(state.number, values[1])
  if not silent then print_values(table.unpack(values, 1, values.n)) end
end

-- What the last error left (bindings/call.c): the locals of the innermost frame that is not one of vbl's own.
local function take_locals()
  local registry = debug.getregistry()
  local found = registry["vbl.error_locals"]
  registry["vbl.error_locals"] = nil
  if not found or next(found.locals) == nil then return end
  rawset(_G, "locals", found.locals)
  return found.where
end

local function failed(state, terminal, message, signal)
  io.stdout:flush()
  if signal and terminal then io.stderr:write "\n" end
  -- The bare word while a line is typed: it was given up. (In a C function an interrupt has no line, and is the bare word too.)
  if state.running or message ~= "interrupted" then io.stderr:write(visible(message), "\n") end
  local where = take_locals()
  if where and where ~= "prompt" then io.stderr:write(("the locals of %s are in `locals`\n"):format(where)) end
end

return function()
  local typed, terminal, remember = new_reader()
  local function read(...)
    local line = typed(...)
    if not line and terminal then print() end
    return line
  end
  tools.install()
  if terminal then
    local cpu = system.cpu()
    local greeting = ("vbl %s, %s, %s, %d threads; ?name explains, name?? shows the source, Ctrl-D ends"):format(vbl.version, _VERSION, cpu.isa, system.threads())
    print(commands.wrapped(greeting, system.width "stdout"))
  end
  local where = take_locals()
  if where then io.stderr:write(("the locals of %s are in `locals`\n"):format(where)) end
  local state = {number = 1}
  while true do
    local ok, ended, signal = system.attempt(turn, read, remember, state)
    if ok and ended then return 0 end
    if not ok then failed(state, terminal, ended, signal) end
    if state.running then
      if terminal then told(state.started) end
      state.number = state.number + 1
    end
    if signal == 15 then return 143 end
  end
end

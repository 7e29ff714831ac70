-- Globals that only the prompt has: who, bench, reload.
local commands = require "vbl.repl.commands"
local system = require "vbl.system.c"
local vbl = require "vbl"

local tools = {}

local units = {{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}}

function tools.bytes(n)
  for _, unit in ipairs(units) do
    if n >= unit[1] then return ("%.1f %s"):format(n / unit[1], unit[2]) end
  end
  return ("%d B"):format(n)
end

local sizes = {f64 = 8, f32 = 4, i32 = 4, bf16 = 2, u8 = 1}

-- nil: no tensor, or one that was released.
local function tensor_bytes(value)
  local meta = type(value) == "userdata" and debug.getmetatable(value)
  if not meta or meta.__name ~= "tensor" then return end
  local ok, bytes = pcall(function() return value:numel() * sizes[value:dtype()] end)
  return ok and bytes or nil
end

-- Bytes of the tensors that a value leads to through plain tables and parameters; each tensor once.
local function reach(value, seen, depth)
  if seen[value] or depth > 6 then return 0 end
  local bytes = tensor_bytes(value)
  if bytes then
    seen[value] = true
    return bytes
  end
  if type(value) ~= "table" then return 0 end
  seen[value] = true
  local sum = 0
  for _, item in next, value do sum = sum + reach(item, seen, depth + 1) end
  return sum
end

local function describe(value)
  local ok, text = pcall(tostring, value)
  if not ok then return "(its __tostring fails)" end
  text = text:match "^[^\n]*"
  if type(value) == "string" then text = ("%q"):format(value):gsub("\n", "n") end
  if type(value) == "table" and not (getmetatable(value) or {}).__tostring then
    local n = 0
    for _ in next, value do n = n + 1 end
    text = ("%d entries"):format(n)
  end
  return #text > 60 and text:sub(1, 57) .. "..." or text
end

-- before: name -> value of the globals that were there when the prompt began.
local function who(before)
  local rows, total, all = {}, 0, {}
  for name, value in next, _G do
    if type(name) == "string" and not name:find "^_%d*$" and rawequal(before[name], nil) then
      rows[#rows + 1] = {name, commands.kind_of(value), reach(value, {}, 0), describe(value)}
      total = total + reach(value, all, 0)
    end
  end
  table.sort(rows, function(a, b) return a[1] < b[1] end)
  for _, row in ipairs(rows) do
    print(("%-16s %-9s %9s  %s"):format(row[1], row[2], row[3] > 0 and tools.bytes(row[3]) or "", row[4]))
  end
  local memory = vbl.memory()
  print(("%d name%s, %s in their tensors; %s in all tensors, at most %s so far"):format(#rows, #rows == 1 and "" or "s", tools.bytes(total),
                                                                                       tools.bytes(memory.live), tools.bytes(memory.peak)))
end

local function seconds(s)
  if s < 1e-3 then return ("%.1f us"):format(s * 1e6) end
  return s < 1 and ("%.2f ms"):format(s * 1e3) or ("%.2f s"):format(s)
end
tools.seconds = seconds

-- One call first, to warm up and to see how many fit in a second. Each call is a scope: what it makes is freed.
local function bench(fn, ...)
  local arguments, times = table.pack(...), {}
  local function once()
    local started = system.monotonic()
    vbl.scope(function() fn(table.unpack(arguments, 1, arguments.n)) end)
    vbl.synchronize()
    return system.monotonic() - started
  end
  local first = once()
  local inner = math.max(1, math.floor(1e-4 / math.max(first, 1e-9)))
  local began = system.monotonic()
  repeat
    local sum = 0
    for _ = 1, inner do sum = sum + once() end
    times[#times + 1] = sum / inner
  until system.monotonic() - began > 1 and #times >= 5 or #times >= 10000
  table.sort(times)
  local result = {median = times[(#times + 1) // 2], fastest = times[1], slowest = times[#times], calls = #times * inner}
  return setmetatable(result, {__tostring = function(r)
    return ("%s (fastest %s, slowest %s, %d calls)"):format(seconds(r.median), seconds(r.fastest), seconds(r.slowest), r.calls)
  end})
end

-- Loads a module's file again. Tables that others hold keep their identity: the new fields are put into the old table.
local function reload(name)
  if type(name) ~= "string" then error("reload: expected the name of a module, got a " .. type(name), 2) end
  local old = package.loaded[name]
  package.loaded[name] = nil
  local ok, new = pcall(require, name)
  if not ok then
    package.loaded[name] = old
    error(new, 2)
  end
  if type(old) == "table" and type(new) == "table" and not rawequal(old, new) then
    for key in next, old do rawset(old, key, nil) end
    for key, value in next, new do rawset(old, key, value) end
    setmetatable(old, getmetatable(new))
    package.loaded[name], new = old, old
  end
  return new
end

vbl.document("who", "who()", "The prompt's own names with their kind, the bytes of their tensors and what they are.")
vbl.document("bench", "bench(fn, ...) -> {median, fastest, slowest, calls}",
             "Calls fn(...) for a second and times it, in seconds of the clock, a device's work included; each call is a scope.")
vbl.document("reload", "reload(module) -> module", "Loads a module again after its file has changed; the old table gets the new fields, so all who hold it see them.")

function tools.install()
  local before = {}
  for name, value in next, _G do before[name] = value end
  rawset(_G, "who", function() who(before) end)
  rawset(_G, "bench", bench)
  rawset(_G, "reload", reload)
  before.who, before.bench, before.reload = true, true, true
end

return tools

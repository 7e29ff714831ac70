-- The program's command line: options as lua(1), `arg`, exit codes, modules, strict globals, tracebacks, signals, commands.
local check = require "check"
local system = require "vbl.system.c"

local program = system.executable()
local folder = os.tmpname()
os.remove(folder)
assert(system.mkdir(folder))

local function write(name, text)
  local path = folder .. "/" .. name
  assert(system.mkdir(path:match "^(.*)/"))
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

-- What sh prints (both streams) and its exit code; $V is the program, $D the folder of scripts.
local function sh(command)
  return system.output {"sh", "-c", ("V='%s' D='%s'; exec 2>&1; %s"):format(program, folder, command)}
end

local function expect(command, code, ...)
  local text, got = sh(command)
  if got ~= code then check.ok(false, ("%s: exit code %s, expected %d: %s"):format(command, got, code, text)) end
  for _, part in ipairs {...} do
    check.ok(text:find(part, 1, true), ("%s: output lacks %q: %s"):format(command, part, text))
  end
  return text
end

check.group("options", function()
  expect("$V -e 'io.write(1)' -e 'io.write(2)'", 0, "12")
  expect("$V -v", 0, "vbl " .. vbl.version, "Lua 5.4")
  expect("$V --help", 0, "usage: vbl", "doctor", "why")
  expect("$V -x", 1, "unknown or incomplete option '-x'")
  expect("$V -e", 1, "'-e'")
  expect("$V -l vbl.config.values -e 'print(_G[\"vbl.config.values\"].show(1.5))'", 0, "1.5")
  expect("$V -l v=vbl.config.values -e 'print(v.show {1})'", 0, "{1}")
  expect("$V -e 'x = ' </dev/null", 1, "(command line):1", "<eof>")
  expect("$V -e 'warn [[a]]' -W -e 'warn [[b]]'", 0, "Lua warning: b")
  check.equal((sh("$V -e 'warn [[a]]'")), "")
end)

check.group("scripts, arg, standard input", function()
  write("args.lua", "print(arg[0]:match '[^/]*$', arg[1], arg[-1] == arg[-2], #arg, ...)")
  expect("$V $D/args.lua a=1 -b", 0, "args.lua\ta=1\tfalse\t2\ta=1\t-b")
  expect("$V -e 'io.write(arg[-3] and 1 or 0)' $D/args.lua", 0, "1args.lua")
  expect("echo 'print(\"piped\", ...)' | $V", 0, "piped")
  expect("echo 'print(\"piped\", ...)' | $V - q", 0, "piped\tq")
  expect("cd $D && cp args.lua ./-odd && $V -- -odd", 0, "-odd")
  expect("$V $D/none.lua", 1, "none.lua")
  expect("cd $D && $V doctr", 1, "cannot open doctr", "nor is it a command, did you mean 'doctor'? (vbl --help names them)")
  expect("cd $D && $V nothing_near", 1, "nor is it a command (vbl --help names them)")
  expect("cd $D && $V help", 0, "usage: vbl", "commands: doctor")
  write("code.lua", "return 3")
  expect("$V $D/code.lua", 3)
  expect("$V -e 'os.exit(5)'", 5)
end)

check.group("modules: inside, VBL_LUA, beside the script", function()
  write("main.lua", "print(require 'beside'.x, require 'deep.er')")
  write("beside.lua", "return {x = 'found'}")
  write("deep/er/init.lua", "return 'deeper'")
  expect("cd / && $V $D/main.lua", 0, "found\tdeeper")
  write("lib/vbl/extra/init.lua", "return 'override'")
  expect("mkdir -p $D/bin && ln -s $D/main.lua $D/bin/link && $V $D/bin/link", 0, "found")
  expect("VBL_LUA=$D/lib $V -e \"print((require 'vbl.extra'))\"", 0, "override")
  expect("VBL_LUA=$D/lib $V -e \"print(type(require 'vbl.config'))\"", 0, "table")
  expect("$V -e \"require 'vbl.no_such'\"", 1, "vbl.no_such", "inside vbl")
  check.equal((sh("$V -e 'print(package.path)'")), (sh("env -u VBL_LUA $V -e 'print(package.path)'")))
end)

-- lua(1): what a stock interpreter does with its environment.
check.group("LUA_INIT, LUA_PATH, -E", function()
  write("init.lua", "print('file', vbl.version ~= nil)")
  expect("LUA_INIT='print [[old]]' LUA_INIT_5_4=@$D/init.lua $V -e 'print [[then]]'", 0, "file\ttrue\nthen")
  expect("LUA_INIT='x =' $V -e ''", 1, "LUA_INIT:1:")
  expect("LUA_INIT_5_4='error [[boom]]' $V -e 'print [[then]]'", 1, "LUA_INIT_5_4:1: boom")
  expect("LUA_INIT=@$D/none.lua $V -e ''", 1, "none.lua")
  check.equal((expect("LUA_INIT='print [[old]]' LUA_PATH='/x/?.lua' VBL_LUA=$D/lib $V -E -e 'print(package.path:find [[/x/]], package.searchpath([[vbl.extra]], package.path))'", 0)):match "^[^\t]*", "nil")
  expect("VBL_LUA=$D/lib $V -E -e 'require [[vbl.extra]]'", 1, "no module 'vbl.extra' inside vbl")
  expect("LUA_PATH_5_4='/y/?.lua;;' LUA_PATH='/x/?.lua' LUA_CPATH_5_4='/z/?.so;;' $V -e 'print(package.path, package.cpath)'", 0, "/y/?.lua;/usr/local/share/lua/5.4/?.lua;", "/z/?.so;/usr/local/lib/lua/5.4/?.so;")
end)

-- A tree as `luarocks path` puts it on the paths, with a module in Lua and one in C; stock modules where Debian has installed them.
check.group("trees of modules in C", function()
  local example = program:match "^(.*)/[^/]*$" .. "/plugin/example.so"
  write("tree/share/lua/5.4/pure.lua", "return 'pure'")
  assert(system.mkdir(folder .. "/tree/lib/lua/5.4"))
  local paths = "LUA_PATH_5_4=''$D'/tree/share/lua/5.4/?.lua;;' LUA_CPATH_5_4=''$D'/tree/lib/lua/5.4/?.so;;' "
  expect(("cp '%s' $D/tree/lib/lua/5.4 && "):format(example) .. paths .. "$V -l pure -l example -e 'print(pure, vbl.measure.plugins().centred_cosine.best)'", 0, "pure\t1.0")
  expect(paths .. "$V -e 'require [[nothing]]'", 1, "no file '" .. folder .. "/tree/lib/lua/5.4/nothing.so'")
  local stock = {
    cjson = "local j = require [[cjson]] print(j.encode(j.decode([=[[1,{\"a\":2}]]=])))",
    lpeg = "print(require [[lpeg]].match(require [[lpeg]].R [[az]] ^ 1, [[abc1]]), (require [[re]].find([[hello]], [=[[l]+]=])))",
    socket = "local t = require [[socket]].tcp() print(t:bind([[127.0.0.1]], 0) == 1, require [[socket.url]].parse([[http://a/b]]).host) t:close()",
  }
  local printed = {cjson = "[1,{\"a\":2}]\n", lpeg = "4\t3\n", socket = "true\ta\n"}
  for _, name in ipairs {"cjson", "lpeg", "socket"} do
    if package.searchpath(name == "socket" and "socket.core" or name, package.cpath) then
      write(name .. "_stock.lua", stock[name])
      check.equal((sh(("$V $D/%s_stock.lua"):format(name))), printed[name])
    else
      print(("SKIPPED: no lua-%s for Lua 5.4 on this machine"):format(name))
    end
  end
end)

check.group("errors: place, own frames, exit code 1", function()
  write("boom.lua", "local function inner() error 'boom' end\nlocal function outer() inner() return 1 end\nouter()\n")
  local text = expect("$V $D/boom.lua", 1, "boom.lua:1: boom", "boom.lua:2: in ", "boom.lua:3: in the main chunk")
  check.ok(not text:find("[C]", 1, true), text)
  write("object.lua", "error(setmetatable({}, {__tostring = function() return 'just this' end}))")
  check.equal((expect("$V $D/object.lua", 1)), "vbl: just this\n")
  expect("$V -e 'error {}'", 1, "error object is a table value")
  expect("$V -e 'error()'", 1, "error object is a nil value")
end)

check.group("strict globals", function()
  expect("$V -e 'print(prnt)'", 1, "undefined global 'prnt'", "did you mean 'print'?")
  expect("$V -e 'a = 1; function f() a = a + 1 end; f(); print(a)'", 0, "2")
  expect("$V -e 'a = nil; print(a)'", 0, "nil")
  expect("$V -e 'local function f() typo = 1 end f()'", 1, "undefined global 'typo' inside a function")
end)

-- Starts the script, sends the signal once it has said "ready", and waits. (A shell's background job starts with SIGINT
-- ignored, and vbl leaves it so: env undoes that.)
local function signalled(name, signal, code, ...)
  local command = "mkfifo $D/pipe; env --default-signal=INT $V $D/%s >$D/pipe 2>&1 & { read -r line; kill -%s $!; cat; } <$D/pipe; wait $!; c=$?; rm $D/pipe; exit $c"
  return expect(command:format(name, signal), code, ...)
end

check.group("on a busy machine waiting threads soon sleep, unless the environment says otherwise", function()
  local processors = tonumber((sh("getconf _NPROCESSORS_ONLN")))
  if sh("grep -c procs_running /proc/stat") ~= "1\n" or processors == 1 then return print "SKIPPED: one processor, or /proc/stat does not count" end
  local busy = "p=; for i in $(seq %d); do sh -c 'while :; do :; done' & p=\"$p $!\"; done; sleep 0.1; env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT %s" ..
               [[ $V -e "print(os.getenv 'GOMP_SPINCOUNT', arg[1])"; c=$?; kill $p; exit $c]]
  expect(busy:format(processors, ""), 0, "1000\t-e")
  expect(busy:format(processors, "OMP_WAIT_POLICY=active"), 0, "nil\t-e")
  expect(busy:format(processors, "GOMP_SPINCOUNT=7"), 0, "7\t-e")
end)

check.group("no more threads than OMP_THREAD_LIMIT, and whole products", function()
  local script = [[$V -e "local x = vbl.ones(300, 300) print(require('vbl.system.c').threads(), (x:matmul(x) - 300):abs():max():item())"]]
  expect("OMP_THREAD_LIMIT=1 OMP_NUM_THREADS=3 " .. script, 0, "1\t0.0\n")
end)

check.group("signals", function()
  local head = "io.stdout:setvbuf 'line' print 'ready' "
  write("loop.lua", head .. check.spin)
  signalled("loop.lua", "INT", 130, "interrupted", "loop.lua:1")
  signalled("loop.lua", "TERM", 143, "interrupted")
  write("pcall.lua", head .. "while true do pcall(function() local t = {} t[1] = 1 end) end")
  signalled("pcall.lua", "INT", 130, "interrupted")
  write("wrap.lua", head .. "coroutine.wrap(function() local co = coroutine.create(function() " .. check.spin .. " end)\n" ..
        "while true do coroutine.resume(co) end end)()")
  signalled("wrap.lua", "TERM", 143, "interrupted")
  write("handled.lua", "local s = require 'vbl.system.c' s.hold_interrupts(true) " .. head ..
        "while not s.interrupted() do " .. check.idle .. "end print('signal', s.interrupted()) s.clear_interrupt() s.hold_interrupts(false) print 'saved'")
  signalled("handled.lua", "INT", 0, "signal\t2", "saved")
  write("late.lua", "local s = require 'vbl.system.c' s.hold_interrupts(true) " .. head ..
        "while not s.interrupted() do " .. check.idle .. "end print 'left' s.hold_interrupts(false) " .. check.spin)
  signalled("late.lua", "INT", 130, "left", "interrupted")
  write("attempt.lua", "local s = require 'vbl.system.c' print('attempt', s.attempt(function() " .. head .. check.spin .. " end)) print 'on'")
  signalled("attempt.lua", "INT", 0, "attempt\tfalse", "\t2", "interrupted", "on")
end)

check.group("coroutines as Lua's own", function()
  local co = coroutine.create(function(a, b)
    local c = coroutine.yield(a + b)
    error("broke " .. c, 0)
  end)
  check.equal(select(2, coroutine.resume(co, 1, 2)), 3)
  check.equal(select(2, coroutine.resume(co, "x")), "broke x")
  check.equal(coroutine.resume(co), false)
  local f = coroutine.wrap(function(...) return select("#", ...), ... end)
  check.equal(select("#", f(nil, nil)), 3)
  check.error(f, "dead coroutine")
  check.error(coroutine.wrap(function() error {} end), "table")
  check.error(function() coroutine.resume(1) end, "coroutine expected")
  local nested = coroutine.wrap(function()
    for v in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do coroutine.yield(v * 10) end
  end)
  check.equal(nested() + nested() + nested(), 60)
end)

check.group("commands", function()
  expect("$V doctor", 0, "processor", "oneDNN", "OpenBLAS", "disk", "CUDA")
  expect("$V doctor now", 1, "no arguments")
  expect("$V test fast", 1, "no tier 'fast'", "quick")
  expect("cd / && $V test measures", 0, "mutual kNN, k = 5", "within 1e-09")
  expect("cd $D && echo 'print \"a file\"' >doctor && $V -- doctor", 0, "a file")
  local _, code = sh "$V test gpu"
  local gpu = false
  for _, device in ipairs(vbl.devices()) do gpu = gpu or device.name:find "^cuda" ~= nil end
  if not gpu then check.equal(code, 77) end
end)

check.group("experiment flags from the command line", function()
  write("exp.lua", "local c = vbl.config {\n  epochs = 4,  -- passes\n}\nprint(c.epochs, c.flags.seed)\n")
  expect("$V $D/exp.lua epochs=5 --seed 3", 0, "5\t3")
  expect("$V $D/exp.lua --help", 0, "epochs", "4", "passes", "--device")
  check.equal((expect("$V $D/exp.lua epoch=5", 1)), ("vbl: %s/exp.lua: unknown key 'epoch', did you mean 'epochs'?\n"):format(folder))
end)

check.group("system: files, processes, machine", function()
  check.ok(system.mkdir(folder .. "/a/b/c") and system.mkdir(folder .. "/a/b/c/"))
  check.equal(system.mkdir("/dev/null/x"), nil)
  check.equal(table.concat(system.list(folder .. "/a"), " "), "b")
  check.equal(system.stat(folder .. "/a").type, "directory")
  check.equal(system.stat(folder .. "/code.lua").size, #"return 3")
  check.equal(system.stat(folder .. "/nothing"), nil)
  check.equal(system.exists(folder .. "/nothing"), false)
  check.equal(system.run {"sh", "-c", "exit 9"}, 9)
  check.equal(system.run {"sh", "-c", "kill -9 $$"}, 137)
  check.equal(system.run {"/no/such/program"}, nil)
  check.equal(system.output {"printf", "%s", "a b$HOME"}, "a b$HOME")
  check.error(function() system.run {} end, "1 to 255 words")
  check.error(function() system.run {"ls", 3} end, "word 2", "number")
  check.ok(system.rss_bytes() > 2 ^ 20 and system.peak_rss_bytes() >= system.rss_bytes() / 2)
  local total, available = system.memory_bytes()
  check.ok(total >= available and available > 0)
  check.ok(system.disk_free(folder) >= 0 and system.cpu().cores >= 1)
  local before = system.monotonic()
  check.equal(system.sleep(0.01), true)
  check.ok(system.monotonic() - before >= 0.01)
  check.error(function() system.set_threads(0) end, "from 1 to 1024")
end)

system.run {"rm", "-rf", folder}
check.done()

-- The prompt: through a pipe, and on a pseudo-terminal (editor, completion, Ctrl-C) where script(1) is there to make one.
local check = require "check"
local complete = require "vbl.repl.complete"
local help = require "vbl.help"
local system = require "vbl.system.c"

local program = system.executable()
local folder = os.tmpname()
os.remove(folder)
assert(system.mkdir(folder))

local function piped(input)
  local path = folder .. "/input"
  local file = assert(io.open(path, "w"))
  file:write(input)
  file:close()
  return system.output {"sh", "-c", ("exec 2>&1; '%s' -i <'%s'"):format(program, path)}
end

check.group("piped: values, statements, errors", function()
  check.equal(piped "1 + 1\n_ * 2\n", "2\n4\n")
  check.equal(piped "= 7\n'a', nil, true\n", "7\na\tnil\ttrue\n")
  check.equal(piped "x = 5\nfunction f()\n  y = x + 1\n  return y\nend\nf()\ny\n", "6\n6\n")
  check.equal(piped "for i = 1, 2 do\nprint(i)\nend\n", "1\n2\n")
  check.equal(piped "{1, 2, a = 'b'}\n", "{1, 2, a = \"b\"}\n")
  check.equal(piped "{b = {c = {'d', {}, {1}}}, a = {}, 7}\n", "{7, a = {}, b = {c = {\"d\", {}, {...}}}}\n")
  check.equal(piped "local x = 1 print(x)\n-- only a comment\n3 -- three\n", "1\n3\n")
  check.equal(piped "error 'boom'\n8\n", "prompt:1: boom\n  prompt:1: in the main chunk\n8\n")
  check.equal(piped "x = = 2\n9\n", "prompt:1: unexpected symbol near '='\n9\n")
  check.ok(piped "prnt\n":find("did you mean 'print'", 1, true))
  check.ok(piped "f(\n":find("<eof>", 1, true))
end)

check.group("help", function()
  local wrapped = require("vbl.repl.commands").wrapped
  check.equal(wrapped("  Lorem ipsum dolor sit amet, consectetur\nshort", 20), "  Lorem ipsum dolor\n  sit amet,\n  consectetur\nshort")
  check.equal(wrapped("  Große Größen über größere Töne", 20), "  Große Größen über\n  größere Töne")
  check.equal(wrapped(("x"):rep(50) .. " y", 20), ("x"):rep(50) .. "\ny")
  check.equal(wrapped(("  x "):rep(50), nil), ("  x "):rep(50))
  check.ok(piped "?sleep\n":find("sleep(seconds) -> boolean", 1, true))
  check.ok(help "system.sleep":find("sleep(seconds)", 1, true))
  check.ok(help "system.":find("system.sleep", 1, true))
  check.ok(help "zeros":find "^vbl%.zeros\n.*\nvbl%.nn%.init%.zeros\n")
  check.ok(help "slep":find("no help for 'slep', did you mean 'sleep'? (? lists what there is, ?*slep* searches)", 1, true))
  check.ok(piped "exit\n":find("undefined global 'exit' (Ctrl-D ends the prompt", 1, true))
  check.ok(piped "help\n":find("undefined global 'help' (?name explains", 1, true))
  check.ok(help():find("system.", 1, true))
  local text, code = system.output {system.executable(), "-e", [[require "vbl"; print(require "vbl.help" "vbl.measure.cka")]]}
  check.ok(code == 0 and text:find("cka(X, Y,", 1, true), "help of a module that nothing has used yet: " .. tostring(text))
end)

check.group("piped: kept values, silence, source, search, the shell", function()
  check.equal(piped "40 + 2;\n_ + 1\n_1\n_2 - _1\n", "43\n42\n1\n")
  check.equal(piped "for i = 1, 30 do end\n7\n" .. "", "7\n")
  check.ok(piped(("1\n"):rep(20) .. "_1\n_1\n"):find "1\nprompt:1: undefined global '_1'")
  local text = piped "vbl.data.open??\n"
  check.ok(text:find("^vbl%.data:%d+\n%-%- name") and text:find "function data%.open%(name, opts%).*\nend\n$", text)
  check.ok(piped "vbl.zeros??\n":find "in C")
  check.ok(piped "vbl.nothing??\n":find "leads to nothing")
  check.ok(piped "?*minibatch*\n":find "^measure%.cka_minibatch ")
  check.ok(piped "?*no such thing*\n":find "nothing is named")
  check.ok(piped "?*heatmap*\n":find "vbl%.plot%.heatmap ", "a function in Lua")
  check.ok(piped "?vbl.optim.adamw\n":find "Loshchilov", "of a module that nothing has used yet")
  check.ok(piped "?vbl.runs.list\n":find "oldest first", "what a module's head says of a function")
  check.ok(piped "?vbl.measure.\n":find "measure%.cka .*vbl%.measure%.report")
  check.ok(piped "x = vbl.zeros(3)\n?x\n":find "x: tensor\n  f32%[3%].*%?tensor: lists")
  check.ok(piped "?vbl.measure.ckb\n":find "did you mean 'cka'")
  check.equal(piped "vbl.zeros(1), 7\n", "f32[1] cpu mean 0 std 0\n{0}\n7\n")
  check.equal(piped "$ echo a b; exit 3\n", "a b\n(exit 3)\n")
end)

check.group("who, bench, reload", function()
  local text = piped "x = {vbl.zeros(3, 4), vbl.zeros(2, {dtype = 'u8'})}\nx[3] = x[1]\nwho()\n"
  check.ok(text:find "^x +table +50 B  3 entries\n1 name, 50 B in their tensors; ", text)
  check.ok(piped "x = vbl.zeros(4)\ny = x\nw = setmetatable({}, {__tostring = error})\nwho()\n":find "3 names, 16 B in their tensors")
  check.equal(piped "reload 'vbl' == vbl, #vbl.zeros(2):shape()\n", "true\t1\n")
  check.ok(piped "bench(function(a) return a end, 1).calls > 5\n":find "true")
  local module = folder .. "/counted.lua"
  local write = ("do local f = io.open('%s', 'w') f:write('return {n = %s}') f:close() end\n")
  local session = ("package.path = '%s/?.lua'\n"):format(folder) .. write:format(module, "1") .. "c = require 'counted'\nc.n\n" .. write:format(module, "2") ..
                  "reload('counted') == c\nc.n\n" .. write:format(module, "=") .. "reload 'counted'\nc.n\n"
  text = piped(session)
  check.ok(text:find "^1\ntrue\n2\n.*unexpected symbol.*\n2\n$", text)
end)

check.group("the locals of an error", function()
  local script = folder .. "/fails.lua"
  local file = assert(io.open(script, "w"))
  file:write "local outer = 3\nlocal function f(a)\n  local b = a + outer\n  error('no: ' .. b)\nend\nf(4)\n"
  file:close()
  local text = system.output {"sh", "-c", ("exec 2>&1; echo 'locals.a, locals.b, locals.outer' | '%s' -i '%s'"):format(program, script)}
  check.ok(text:find("the locals of .*fails%.lua:4 are in `locals`\n4\t7\t3\n$"), text)
  check.ok(piped "do local q = 5 error 'x' end\nlocals.q\n":find "\n5\n$")
end)

-- What Tab inserts after text, and what it shows.
local function tab(text, insert, ...)
  local got, shown = complete(text)
  check.equal(got, insert)
  for _, name in ipairs {...} do check.ok(shown and shown:find(name, 1, true), text .. ": " .. tostring(shown)) end
end

word = "text"
object = setmetatable({field = 1, _private = 2}, {__index = {method = print}})

check.group("completion", function()
  tab("print(str", "ing")
  tab("string.for", "mat")
  tab("string.re", "", "rep", "reverse")
  tab("('x'", "")
  tab("local fu", "nction")
  tab("no_such.thing", "")
  tab("word:up", "per")
  tab("object.", "", "field", "method")
  tab("object:", "method")
  tab("object._", "private")
  tab("vbl.versio", "n")
  check.ok(not select(2, complete "object."):find("_private", 1, true))
  tab("vbl.models.vilbert{pres", "et")
  tab("m = vbl.models.vilbert{preset = 'tiny', attention_h", "eads")
  tab("vbl.measure.cka(x, y, {est", "imator")
  tab("vbl.measure.cka(x, y, {", "", "estimator", "kernel")
  tab("vbl.config({data = 'scenes', model = {pres", "et")
  tab("vbl.config({\n  tasks = {ap = {contrastive = {}, he", "ad")
  tab("f(a, {b = tr", "ue")
  tab("vbl.models.vilbert{preset = \"", "", "tiny", "small", "base")
  tab("vbl.models.vilbert {preset = 'tiny', fusion = 'inter", "leaved")
  tab("vbl.config({model = {placement = 'optu", "na")
  tab(("vbl.config({data = '%s/inp"):format(folder), "ut")
  tab("('x'):re", "")
  tab("vbl.zeros(3):", "")
  tab("vbl.grad", "check")
  tab(("io.open('%s/inp"):format(folder), "ut")
  tab(("$ cat %s/inp"):format(folder), "ut")
  assert(system.mkdir(folder .. "/it's one"))
  tab(("$ ls %s/it"):format(folder), "\\'s\\ one/")
  tab(("$ ls %s/it\\'s\\ o"):format(folder), "ne/")
  tab(("$ ls \"%s/it's o"):format(folder), "ne/")
  rawset(_G, "model", vbl.models.vilbert {preset = "tiny", vocab = 50})
  tab([[model:tap{"text.0", "vision.fi]], "nal")
end)

-- $1: the program, $2: TERM, $3: LC_ALL. `at PATTERN N` waits until N lines of the screen match, at most a minute: a busy machine is slow.
local shell = [[
rm -f keys screen; mkfifo keys
env --default-signal=INT TERM=$2 XDG_STATE_HOME=$PWD/state HOME=$PWD LC_ALL=$3 script -qfec "$1" screen <keys >/dev/null 2>&1 &
exec 3>keys
at() {
  i=0
  until [ "$(grep -acs "$1" screen)" -ge "$2" ] 2>/dev/null; do
    i=$((i + 1))
    if [ $i -gt 1200 ]; then echo "waited for $1:"; cat -A screen; kill -9 $!; exit 9; fi
    sleep 0.05
  done
}
]]

check.group("completion of runs: no folder that is none, such as a sweep's", function()
  local files = require("run_files").new()
  files:make("runs/one", {})
  files:make("runs/two", {})
  files:write("runs/sweep/journal/000001.json", "{}")
  local text = system.output {"sh", "-c", ([[cd '%s' && exec '%s' -e 'print(select(2, require("vbl.repl.complete")("vbl.runs.open \"")))']]):format(files.path, program)}
  check.equal(text, "one  two\n")
  files:remove()
end)

-- Types into a terminal: each step {pattern, keys, n, sh=} waits for n lines (default 1) that match, then sends keys and runs a command.
-- Nothing is sent together with Ctrl-C: the terminal drops what was typed before it and not read yet.
local function typed(steps, terminal, locale)
  local script = {("cd '%s'"):format(folder), shell}
  for _, step in ipairs(steps) do
    script[#script + 1] = ("at '%s' %d; printf '%s' >&3"):format(step[1], step[3] or 1, step[2])
    script[#script + 1] = step.sh
  end
  script[#script + 1] = "wait $!; tr -d '\r' <screen"
  return system.output {"sh", "-c", table.concat(script, "\n"), "sh", program, terminal, locale or "C.UTF-8"}
end

local history = folder .. "/state/vbl/history"

local function write_history(text)
  assert(system.mkdir(folder .. "/state/vbl"))
  local file = assert(io.open(history, "w"))
  file:write(text)
  file:close()
end

local session = {
  {"^vbl ", [[print("rea" .. "dy") ]] .. check.spin .. [[\n]]}, {"ready", [[\003]]}, {"interrupted", [[kept = 42\n]]},
  {"3> ", "thrown away"}, {"away", [[\003]]}, {"3> ", [[print("val" .. "ue", kept)\n]], 2}, {"value", [[\004]]},
}

if not system.output {"script", "--version"} then
  print "SKIPPED: the prompt on a terminal: script(1) is not installed (package bsdutils)"
else
  check.group("terminal: Ctrl-C keeps everything alive", function()
    local screen, code = typed(session, "xterm")
    check.equal(code, 0)
    check.ok(screen:find "value%s+42", screen)
    check.ok(system.stat(folder .. "/state/vbl/history"), "no history file")
  end)
  check.group("terminal: pasted lines with a value at their end, letters without a locale", function()
    local screen, code = typed({{"^vbl ", [[\033[200~p = 20\nq = "\303\251\377"\np + 22, q\033[201~\n]]}, {"2> ", [[\033[200~cut off]], sh = "sleep 0.3; printf '\\003' >&3"},
                                 {"2> ", [[\004]], 2}}, "xterm", "C")
    check.equal(code, 0)
    check.ok(screen:find "42%s+é%?", screen)
  end)
  check.group("terminal: a history that others write too, that is damaged, that is another kind of file", function()
    local two = [[print("tw" .. "o")\n]]
    write_history "_HiStOrY_V2_\nprint(\"go\"..\"od\")\n\255\254\n"
    local screen = typed({{"^vbl ", [[\033[A\n]]}, {"2> ", two, sh = "at '3> ' 1; echo other >>state/vbl/history"}, {"3> ", [[for i = 1, 1 do\n]]},
                          {"3>> ", [[end\n]]}, {"4> ", [[\004]]}}, "xterm")
    check.ok(screen:find "good", screen)
    local text = assert(io.open(history)):read "a"
    check.ok(text:find "\255\254\nprint[^\n]*\nprint[^\n]*\nother\nfor[^\n]*do\\012end\n$", text)
    write_history "mine\n"
    screen = typed({{"^vbl ", two}, {"2> ", two}, {"3> ", [[\004]]}}, "xterm")
    check.equal(assert(io.open(history)):read "a", "mine\n")
    check.equal(select(2, screen:gsub("not a history file", "")), 1)
    os.remove(history)
  end)
  check.group("terminal: another width, and Ctrl-Z, within a line", function()
    local process = [[p=$(grep -ao 'p=[0-9]*=' screen | tr -dc 0-9); tty=$(readlink /proc/$p/fd/0)]]
    local stop = [[at '6 \* ' 1; kill -TSTP $p; until grep -q 'State:.T' /proc/$p/status; do sleep 0.05; done
      stty -F $tty -a | grep -q '[^-]icanon' && echo cooked; kill -CONT $p; kill -CONT $!]]
    local screen, code = typed({
      {"^vbl ", [[$ echo p=$PPID=\n]]}, {"2> ", "#\"" .. ("1"):rep(70), sh = "at 111 1; " .. process .. "; stty -F $tty cols 50"},
      {[[\[1A]], [[", 7\n]]}, {"3> ", "6 * ", sh = stop}, {[[6 \* .*6 \* ]], [[7\n]]}, {"4> ", [[\004]]},
    }, "xterm")
    check.equal(code, 0)
    check.ok(screen:find "^cooked\n", screen)
    check.ok(screen:find("\27[1A\27[J", 1, true) and screen:find "70%s+7" and screen:find "42", screen)
  end)
  check.group("terminal: Ctrl-C in training, :continue(), Ctrl-C again, and on", function()
    local file = assert(io.open(folder .. "/train.lua", "w"))
    file:write [[
      vbl.train.pretrain(vbl.config({scenes = {train = 4000, test = 32}, tasks = {mlm = {}}, epochs = 100, batch = 8, probe_samples = 0,
        model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16}}, vbl.train.schemas()))]]
    file:close()
    local screen, code = typed({
      {"^vbl ", [[dofile "train.lua"\n]]}, {"Epoch 0/100", [[\003]]}, {"go on with: vbl.train.last:continue()", [[vbl.train.last:continue()\n]]},
      {"goes on at step", [[\003]]}, {"go on with: vbl.train.last:continue()", [[print("still", vbl.train.last.s.step >= 0)\n]], 2}, {"still.true", [[\004]]},
    }, "xterm")
    check.equal(code, 0)
    check.ok(screen:find "still%s+true" and not screen:find("traceback", 1, true), screen)
  end)
  check.group("TERM=dumb: the same session with plain lines", function()
    local screen, code = typed(session, "dumb")
    check.equal(code, 0)
    check.ok(screen:find "value%s+42", screen)
  end)
end

check.group("what a terminal shows, as a picture (tools/ansi_svg.lua)", function()
  local text = system.output {"sh", "-c", ([[printf "7> a <&>  b\n\033[38;2;1;2;3;1mX \033[48;5;196mY\033[0m  \n\n" | "%s" tools/ansi_svg.lua "a title"]]):format(program)}
  check.ok(text:find("^<svg .*aria%-label=\"a title\".*</svg>\n$"), text)
  check.ok(text:find('>7&gt;</text>', 1, true), text)
  check.ok(text:find("a &lt;&amp;&gt;\u{A0}\u{A0}b", 1, true), text)
  check.ok(text:find('fill="#010203" font-weight="bold">X</text>', 1, true), text)
  check.ok(text:find('fill="#ff0000"/>', 1, true) and text:find('fill="#010203" font-weight="bold">Y</text>', 1, true), text)
end)

system.run {"rm", "-rf", folder}
check.done()

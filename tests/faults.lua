-- Workloads as processes of their own under tests/faults (libvbl_faults.so): a chosen call fails, or the process dies there, and what it then
-- says and leaves is judged.
--   faults.folder                        a fresh folder (fresh_folder.lua)
--   faults.run(words, {plan=, input=, caller=, durable=}) -> {code=, out=, err=, fired=, note=, count = class -> calls, hung=}
--     plan: VBL_FAULTS (tests/faults/faults.h); input: a file as standard input; durable: "FOLDER:SHADOW"
--   faults.workloads.NAME() -> {name=, words=, input=, begin(), whole() -> nil or what differs, again() -> nil or what went wrong}
--     begin makes the state before; whole compares with an undisturbed one; again goes on as a user would
--   faults.attack(workload, class, action, {count=, first=, last=, drawn=, caller=}) -> {injected=, tolerated=, said=, errors=, theirs=, past=}
--     each k-th call of the class fails, for all k or the first, the last and `drawn` others; a defect is a failed check. sites = n: at most n
--     drawn from the first and last calls from each place in the program (a place is a chain of its own callers)
--   faults.kills(workload, number, seed) -> {KILL =, TERM =, INT =, strict =, names =, mixed =, twice =}     kills it so often, each
--     time from the start and at a moment by chance, by signal or by power cut (tests/faults/power_cut.c), goes on, and compares the end
--   faults.each(names, attack)           attack(name) in a group of its own for each workload of these, of VBL_TEST_WORKLOAD=NAME that one alone.
--     VBL_TEST_PART=2/5: of each one's faults or kills the second of five parts, which together are the whole
--   faults.power_cut(way, "CLASS:K", seed, start) -> start's result     way: strict, names, mixed; start(opts) runs something with these opts
local check = require "check"
local judge = require "fault_judge"
local traces = require "fault_traces"
local metrics = require "vbl.runs.metrics"
local random = require "vbl.data.c"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

io.stdout:setvbuf "line"
local faults = {workloads = {}}

faults.folder = require "fresh_folder" "faults"
faults.tools = system.executable():match "^(.*)/"
faults.disk = faults.folder .. "/disk"  -- what a power cut strikes
store.make_folder(faults.disk)
faults.timeout = 300  -- seconds after which a run hangs

local classes = {"memory", "lua", "map", "open", "create", "read", "write", "sync", "close", "rename", "mkdir", "unlink", "lock", "thread", "process",
                 "clock", "device", "any"}

local SITES = 4096  -- FAULT_SITES of tests/faults/faults.h

local slice = os.getenv "VBL_TEST_PART" or "1/1"
local part, parts = slice:match "^(%d+)/(%d+)$"
part, parts = tonumber(part), tonumber(parts)
assert(part and part >= 1 and part <= parts, "VBL_TEST_PART: expected PART/PARTS such as 2/5, got " .. slice)

-- Whether the i-th fault is one of this part's. `size` of them stay together.
local function mine(i, size) return (i - 1) // size % parts == part - 1 end

function faults.each(names, attack)
  local only, known = os.getenv "VBL_TEST_WORKLOAD", false
  for _, name in ipairs(names) do
    if not only or only == name then
      known = true
      check.group(name, function() attack(name) end)
    end
  end
  assert(known, ("VBL_TEST_WORKLOAD: expected %s, got %s"):format(table.concat(names, ", "), only))
end

local function at(name) return faults.folder .. "/" .. name end

-- No gnuplot: drawing takes longer than the runs. A sweep starts its workers by a shell.
store.make_folder(at "bin")
system.run {"/bin/ln", "-s", "/bin/sh", at "bin/sh"}

local function read(path) return system.exists(path) and store.read_file(path) or "" end

function faults.write(name, text)
  store.write_atomic(at(name), text)
  return at(name)
end

-- ---- one run -------------------------------------------------------------------------------------------------------------------

local function state_of(path, result)
  local text = read(path)
  for i, name in ipairs(classes) do result.count[name] = #text >= 8 * i and string.unpack("<I8", text, 8 * i - 7) or 0 end
  if #text < 8 * #classes + 8 then return end
  result.fired = string.unpack("<I4", text, 8 * #classes + 1)
  local sites = string.unpack("<I4", text, 8 * #classes + 9)
  result.sites = {}
  for i = 0, math.min(sites, SITES) - 1 do
    local first, last = string.unpack("<I8I8", text, 8 * #classes + 17 + 16 * i)
    result.sites[first], result.sites[last] = true, true
  end
  local note = 8 * #classes + 17 + 16 * SITES
  result.note, result.open = string.unpack("z", text, note), string.unpack("z", text, note + 1028)
end

-- Under AddressSanitizer its library need not come first: this one hands on to it.
local sanitizer = "verify_asan_link_order=0:allocator_may_return_null=1:" .. (os.getenv "ASAN_OPTIONS" or "")

function faults.run(words, opts)
  opts = opts or {}
  for _, name in ipairs {"state", "out", "err"} do store.remove(at(name)) end
  local command = {"/usr/bin/timeout", "-s", "KILL", tostring(faults.timeout), "/usr/bin/env", "PATH=" .. at "bin", "OMP_WAIT_POLICY=passive",
                   "ASAN_OPTIONS=" .. sanitizer, "LD_PRELOAD=" .. faults.tools .. "/libvbl_faults.so", "VBL_FAULTS_STATE=" .. at "state",
                   "VBL_FAULTS_PROGRAM=" .. system.executable(), "VBL_FAULTS=" .. (opts.plan or ""), "VBL_FAULTS_CALLER=" .. (opts.caller or "")}
  if opts.durable then command[#command + 1] = "VBL_FAULTS_DURABLE=" .. opts.durable end
  command[#command + 1] = system.executable()
  table.move(words, 1, #words, #command + 1, command)
  local started = system.monotonic()
  local _, code = system.output {"/bin/sh", "-c", ('exec "$@" <%s >%s 2>%s'):format(opts.input or "/dev/null", at "out", at "err"), "sh", table.unpack(command)}
  local result = {code = code, out = read(at "out"), err = read(at "err"), fired = 0, note = "", open = "", count = {}, hung = system.monotonic() - started >= faults.timeout}
  state_of(at "state", result)
  return result
end

-- ---- workloads -------------------------------------------------------------------------------------------------------------------

local function copy(from, to)
  store.remove(to)
  system.run {"/bin/cp", "-a", from, to}
end

-- "NAME HASH" of every file in the folder, deeper too; links as what they lead to. skip(name): left out.
local function hashes(folder, skip, prefix, list)
  list, prefix = list or {}, prefix or ""
  for _, name in ipairs(system.list(folder) or {}) do
    local path, shown = folder .. "/" .. name, prefix .. name
    if not skip or not skip(shown) then
      if system.list(path) then hashes(path, skip, shown .. "/", list) else list[shown] = store.sha256_file(path) end
    end
  end
  return list
end

local function steps_of(rows)
  local list = {}
  for line in rows:gmatch '[^\n]*"split":"step"[^\n]*' do list[#list + 1] = line end
  return table.concat(list, "\n")
end

-- but: kind -> true of checkpoints that are said to be missing; with the best one's the record of the best epoch, its predictions and what is
-- measured on it differ.
local function first_difference(a, b, but)
  local function same(name)
    if but and but.best and name == "metrics.jsonl" then return steps_of(a[name]) == steps_of(b[name]) end
    return a[name] == b[name]
  end
  local function counts(name)
    return not (but and (but[name:match "^checkpoints/([^/]+)/"] or but[name:match "^([^/]+)/state%.json$"] or name == "result.json" or
                         but.best and (name:find "state%.json$" or name:find "^predictions/")))
  end
  for name in pairs(a) do
    if counts(name) and b[name] == nil then return name .. " is missing" end
    if counts(name) and not same(name) then return name .. " differs" end
  end
  for name in pairs(b) do
    if counts(name) and a[name] == nil then return name .. " should not be there" end
  end
end

-- What a run came to: its metrics without times, all checkpoints, its result; what killed writers leave counts as well.
local function run_files(run)
  local list = hashes(run, function(name)
    return name:find "^checkpoints/%." or name == "metrics.jsonl" or name == "log.txt" or name == "report.html" or name == "manifest.json" or name:find "^events%." or
           name:find "state%.json$" or name == "result.json" or name:find "^plots"
  end)
  list["metrics.jsonl"] = metrics.without_time(read(run .. "/metrics.jsonl"))
  for _, kind in ipairs {"last", "best", "epoch-1", "epoch-2"} do
    local path = ("%s/checkpoints/%s/state.json"):format(run, kind)
    if system.exists(path) then
      local s = vbl.load(path)
      s.offsets, s.state.counters.seconds, s.state.counters.missing = nil, nil, nil
      list[kind .. "/state.json"] = store.json_encode(s, {nan = "string"})
    end
  end
  list["result.json"] = read(run .. "/result.json")
  for _, name in ipairs {"report.html", "manifest.json", "log.txt"} do list[name] = tostring(#read(run .. "/" .. name) > 0) end
  return list
end

-- The run in a folder. A run whose new folder is said to be there already (NFS: done, but the answer was lost) takes another; an empty one stays.
local function only_run(path)
  local names = system.list(path) or {}
  for _, name in ipairs(names) do
    if system.exists(("%s/%s/config.lua"):format(path, name)) then return path .. "/" .. name end
  end
  return names[1] and path .. "/" .. names[1]
end

local experiment = [[
vbl.train.%s(vbl.config({
  scenes = {train = 32, test = 16}, %s
  model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"},
  epochs = 2, batch = 16, probe_samples = 8, log_every = 1, checkpoint_every = 1,
}, vbl.train.schemas %q))
]]

local scripts = {
  pretrain = faults.write("tiny.lua", experiment:format("pretrain", "tasks = {mlm = {}, ap = {contrastive = {weight = 1}}, mim = {}}, test_samples = 8,", "pretrain")),
  device = faults.write("tiny_device.lua", experiment:format("pretrain", "tasks = {mlm = {}, mim = {}}, test_samples = 8,", "pretrain")),
  graph = faults.write("tiny_graph.lua", experiment:format("pretrain", "tasks = {mlm = {}, mim = {}}, test_samples = 8, cuda_graph = true,", "pretrain")),
  finetune = faults.write("tiny_finetune.lua", experiment:format("finetune", "head = {hidden = 16}, patience = 0, val_fraction = 0.3,", "finetune")),
}

local one, cuda = {"--threads", "1"}, {"--threads", "1", "--device", "cuda"}

-- A run of the trainer with these flags in the folder `name`, or from `template` (a folder with a run to go on with).
local function training(name, script, flags, template)
  local out, reference = faults.disk .. "/" .. name, nil
  local w = {name = name, interval = 1}
  local function with(key, value) return {script, key, value, table.unpack(flags)} end
  local words = with("--out", out)
  local function run() return only_run(out) end
  local function again()
    local path = run()
    if not path or not system.exists(path .. "/config.lua") then return words end
    return with("--resume", path)
  end
  function w.begin()
    store.remove(out)
    if template then copy(template, out) end
    w.words = template and again() or words
  end
  function w.whole(but)
    local path = run()
    return path and first_difference(reference, run_files(path), but) or not path and "there is no run" or nil
  end
  -- Steps of which the metrics tell, and the step of the last checkpoint.
  function w.steps()
    local path, most = run(), 0
    if not path or not system.exists(path .. "/metrics.jsonl") then return 0, 0 end
    for _, row in ipairs(metrics.read(path .. "/metrics.jsonl")) do
      if row.split == "step" then most = math.max(most, row.step) end
    end
    local state = path .. "/checkpoints/last/state.json"
    return most, system.exists(state) and vbl.load(state).state.counters.step or 0
  end
  -- A run that had not begun is begun again.
  function w.again(opts)
    local how = again()
    if how == words then store.remove(out) end
    local r = faults.run(how, opts)
    return r
  end
  local expected = at(name .. "-whole")
  local r = faults.run(with("--out", expected))
  assert(r.code == 0, r.err)
  reference, w.count, w.open, w.runs, w.calm = run_files(only_run(expected)), r.count, r.open, out, r.err .. r.out
  return w
end

function faults.workloads.pretrain() return training("pretrain", scripts.pretrain, one) end

function faults.workloads.threads() return training("threads", scripts.pretrain, {"--threads", "2"}) end

function faults.workloads.finetune() return training("finetune", scripts.finetune, one) end

-- On the emulated device, whose kernels do nothing (VBL_CUDA_LIBRARY, VBL_EMU_CACHE and VBL_EMU_IDLE are set): the host asks for all that it does ask for.
function faults.workloads.device() return training("device", scripts.device, cuda) end

function faults.workloads.graph() return training("graph", scripts.graph, cuda) end

-- Of a run that was killed in the middle.
function faults.workloads.resume()
  local template = at "resume-cut"
  local counted = faults.run {scripts.pretrain, "--threads", "1", "--out", at "resume-counted"}
  local r = faults.run({scripts.pretrain, "--threads", "1", "--out", template}, {plan = ("sync:%d:1:KILL"):format(counted.count.sync * 2 // 3)})
  assert(r.code == 137, r.err)
  return training("resume", scripts.pretrain, one, template)
end

-- Runs anew what was not finished, and compares with what the first run of it, undisturbed, left.
local function repeated(w, out, files)
  function w.begin() store.remove(out) end
  w.again = w.again or function(opts)
    return faults.run(w.words, setmetatable({input = w.input}, {__index = opts}))
  end
  w.begin()
  local r = faults.run(w.words, {input = w.input})
  assert(r.code == 0, r.err)
  local reference = files()
  w.count, w.open, w.calm = r.count, r.open, r.err .. r.out
  function w.whole() return first_difference(reference, files()) end
  return w
end

function faults.workloads.pack()
  store.make_folder(at "images")
  local lines = {}
  for i = 1, 12 do
    local image = vbl.full({3, 20 + i, 17 + i % 5}, i, {dtype = "u8"})
    image:select(1, 1 + i % 3):narrow(1, 3, 9):fill_(255 - i)
    local name = ("images/%02d.%s"):format(i, i % 2 == 0 and "jpg" or "png")
    vbl.save(at(name), image)
    lines[i] = ("%s\tpicture %d, a brown fox"):format(name, i)
  end
  local source = faults.write("captions.tsv", table.concat(lines, "\n") .. "\n")
  local out = faults.disk .. "/packed"
  return repeated({name = "pack", words = {"data", "pack", "captions:" .. source, out, "image=16", "shard=4", "threads=1"}}, out, function() return hashes(out) end)
end

local sweep_file = [[
local sweep = vbl.sweep
vbl.sweep {name = "two", experiment = %q, folder = %q, space = {lr = sweep.choice {1e-3, 1e-2}}, objective = "min test.loss.mlm", method = "grid", trials = 2, jobs = 1}
]]

local sweep_experiment = [[
vbl.train.pretrain(vbl.config({
  scenes = {train = 16, test = 16}, tasks = {mlm = {}}, lr = 1e-3,
  model = {preset = "tiny", dim = 16, layers = 1, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"},
  epochs = 1, batch = 16, test_samples = 8, probe_samples = 0, log_every = 1, checkpoint_every = 1,
}, vbl.train.schemas()))
]]

-- Each trial's end and its run's metrics.
local function sweep_files(folder)
  local journal, list = require("vbl.sweep.journal").open(folder, "reader"), {}
  for _, e in ipairs(journal:read()) do
    if e.type == "end" and e.status == "finished" then
      local path = ("%s/%s"):format(folder, e.run)
      if list[e.trial .. " end"] then list["trial " .. e.trial .. " ended twice"] = "" end
      list[e.trial .. " end"] = store.json_encode(e.values)
      list[e.trial .. " metrics"] = metrics.without_time(read(path .. "/metrics.jsonl"))
      list[e.trial .. " model"] = store.sha256_file(path .. "/checkpoints/last/model.safetensors")
    end
  end
  return list
end

function faults.workloads.sweep()
  local folder, tiny = faults.disk .. "/sweep", faults.write("trial.lua", sweep_experiment)
  local file = faults.write("two.lua", sweep_file:format(tiny, folder))
  local w = {name = "sweep", words = {file}}
  function w.again(opts)
    if not system.exists(folder .. "/journal/000001.json") then
      store.remove(folder)
      return faults.run(w.words, opts)
    end
    return faults.run({"sweep", "resume", folder, "--retry"}, opts)
  end
  w.runs = folder
  return repeated(w, folder, function() return sweep_files(folder) end)
end

-- Each line is a turn of its own: what fails is said, and the next one is good, but for those that need what it made. Each writes something when it
-- has come to its end. The last: no descriptor more is open than at the start.
local function prompt(file)
  return traces.marked {
    {"descriptors = function() collectgarbage() return #require('vbl.system.c').list '/proc/self/fd' end print 'descriptors'"}, {"first = descriptors() print 'first'", needs = {1}},
    {"x = vbl.arange(12):to('f32'):reshape(3, 4) print 'x'"}, {"x:sum():item()", needs = {3}}, {"y = x:matmul(x:t()) print 'y'", needs = {3}},
    {("vbl.save(%q, y) print 'saved'"):format(file), needs = {5}}, {("vbl.load(%q):sub(y):abs():max():item()"):format(file), needs = {5, 6}},
    {"w = vbl.ones(2, 3):requires_grad_() print 'w'"}, {"(w * w):sum():backward() print 'backward'", needs = {8}}, {"w.grad:sum():item()", needs = {8, 9}}, {"?sleep"},
    {"vbl.measure.cka(vbl.arange(64):to('f32'):reshape(16, 4):sin(), vbl.arange(64):to('f32'):reshape(16, 4):cos()) > 0"}, {"('x'):rep(3)"},
    {"descriptors() - first", needs = {1, 2}},
  }
end

function faults.workloads.prompt()
  local file = at "saved.npy"
  local text, needs = prompt(file)
  local w = {name = "prompt", words = {"-i"}, input = faults.write("prompt.txt", text), interactive = true, needs = needs}
  return repeated(w, file, function() return {["saved.npy"] = system.exists(file) and store.sha256_file(file) or nil} end)
end

-- ---- attacks -------------------------------------------------------------------------------------------------------------------

-- Source lines of the program's frames in a note, where addr2line is there.
local function located(note)
  local offsets = {}
  for offset in note:gmatch "%f[%w]vbl%+(0x%x+)" do offsets[#offsets + 1] = offset end
  if #offsets == 0 then return "" end
  local text = system.output {"addr2line", "-sfpe", system.executable(), table.unpack(offsets)}
  return text and "\n    " .. text:gsub("\n(.)", "\n    %1") or ""
end

-- The first and last calls from each place, of these `most` by chance.
local function at_sites(w, class, opts)
  w.begin()
  local r, list, kept = faults.run(w.words, {plan = class .. ":1:1:SITES", input = w.input, caller = opts.caller}), {}, {}
  for k in pairs(r.sites) do list[#list + 1] = k end
  table.sort(list)
  for i, k in ipairs(list) do
    if #list <= opts.sites or random.uniform(opts.seed or 7, "order", i) * #list < opts.sites then kept[#kept + 1] = k end
  end
  print(("  %s: %d calls for %s, first and last of each place: %d; %d of them"):format(w.name, r.count[class], class, #list, #kept))
  return kept
end

local function numbers(count, opts)
  local first, last, drawn, list = opts.first or 200, opts.last or 50, opts.drawn or 250, {}
  if count <= first + last + drawn then
    for k = 1, count do list[k] = k end
    return list
  end
  local chosen = {}  -- k -> true
  for k = 1, first do chosen[k] = true end
  for k = count - last + 1, count do chosen[k] = true end
  for i = 1, drawn do chosen[1 + math.floor(random.uniform(opts.seed or 7, "order", i) * count)] = true end
  for k in pairs(chosen) do list[#list + 1] = k end
  table.sort(list)
  return list
end

local rows = {}

-- The k-th call fails; what came of it is counted in s.
local function attack_once(w, class, action, opts, k, s)
  w.begin()
  local plan = ("%s:%d:%d:%s"):format(class, k, opts.count or 1, action)
  local r = faults.run(w.words, {plan = plan, input = w.input, caller = opts.caller})
  local kind, wrong = judge.verdict(w, r, action, opts.count == 0)
  if kind then s[kind] = s[kind] + 1 else s.defects = s.defects + 1 end
  if kind ~= "past" then s.injected = s.injected + 1 end
  check.ok(kind, ("%s %s: %s\n  code %s, %s%s\n  stderr: %s"):format(w.name, plan, wrong, r.code, r.note:sub(1, 400), wrong and located(r.note), r.err:sub(-500)))
end

function faults.attack(w, class, action, opts)
  opts = opts or {}
  local s = {workload = w.name, class = class, action = action .. (opts.count == 0 and " from then on" or opts.count and " x" .. opts.count or ""), injected = 0, tolerated = 0, said = 0,
             errors = 0, theirs = 0, past = 0, defects = 0}
  if w.interactive and not w.out then
    w.begin()
    w.out = faults.run(w.words, {input = w.input}).out
  end
  for i, k in ipairs(opts.sites and at_sites(w, class, opts) or numbers(w.count[class], opts)) do
    if mine(i, 1) then attack_once(w, class, action, opts, k, s) end
  end
  rows[#rows + 1] = s
  local crashes = s.theirs > 0 and (", %d crashes of libraries"):format(s.theirs) or ""
  print(("  %-9s %-8s %-22s %5d injected: %d tolerated, %d said, %d errors%s; %d defects"):format(
          s.workload, class, s.action, s.injected, s.tolerated, s.said, s.errors, crashes, s.defects))
  return s
end

-- ---- kills -----------------------------------------------------------------------------------------------------------------------

local file_classes = {"create", "write", "sync", "close", "rename", "mkdir"}

-- A moment among all calls of the undisturbed workload, or among those of a class that has to do with files.
local function moment(w, seed, i)
  local class = "any"
  if random.uniform(seed, "order", 4 * i) < 0.5 then class = file_classes[1 + math.floor(random.uniform(seed, "order", 4 * i + 1) * #file_classes)] end
  return class, 1 + math.floor(random.uniform(seed, "order", 4 * i + 2) * w.count[class])
end

local function processes_left()
  for _, name in ipairs(system.list "/proc") do
    local file = tonumber(name) and tonumber(name) ~= system.pid() and io.open("/proc/" .. name .. "/cmdline")
    if file then
      local words = file:read "a" or ""
      file:close()
      if words:find(system.executable(), 1, true) and words:find(faults.disk, 1, true) then return true end
    end
  end
  return false
end

local function wait_for_all()
  local stop = system.monotonic() + faults.timeout
  while processes_left() and system.monotonic() < stop do system.sleep(0.02) end
end

local how = {"KILL", "strict", "TERM", "names", "INT", "mixed"}
local codes = {KILL = 137, TERM = 143, INT = 130, strict = 137, names = 137, mixed = 137}

-- The power goes at that call; faults.disk is then what a disk may have of it. before() is called when all processes are gone. -> start's result
function faults.power_cut(way, moment_, seed, start, before)
  local shadow = faults.folder .. "/shadow"
  for _, path in ipairs {shadow, faults.disk .. ".old"} do store.remove(path) end
  check.equal(system.run {faults.tools .. "/power_cut", "begin", faults.disk, shadow}, 0)
  local r = start {plan = moment_ .. ":1:CUT", durable = faults.disk .. ":" .. shadow}
  wait_for_all()
  if before then before() end
  if r.fired > 0 then check.equal(system.run {faults.tools .. "/power_cut", "cut", faults.disk, shadow, way, tostring(seed)}, 0) end
  return r
end

-- One kill. -> the run's result, and how many of the steps that were done the last checkpoint lacks
local function kill(w, way, class, k, seed, start)
  local done, r = 0, nil
  local function look()
    if w.steps then done = w.steps() end
  end
  local moment_ = ("%s:%d"):format(class, k)
  if way:find "%l" then
    r = faults.power_cut(way, moment_, seed, start, look)
  else
    r = start {plan = ("%s:1:%s"):format(moment_, way)}
    wait_for_all()
    look()
  end
  return r, w.steps and done - select(2, w.steps()) or 0
end

-- Kill i of `number`. Its moment and way depend on i and the seed alone.
local function one_kill(w, i, seed, counts)
  local way = how[(i - 1) % #how + 1]
  local class, k = moment(w, seed, i)
  w.begin()
  local r, lost = kill(w, way, class, k, seed + i, function(opts) return faults.run(w.words, opts) end)
  local title = ("%s, %s at %s %d"):format(w.name, way, class, k)
  if r.fired == 0 then counts.past = counts.past + 1 else counts[way] = counts[way] + 1 end
  -- Of a sweep it may be a trial that was struck, which its worker then begins anew, or the run that tries the config: the sweep says so and ends.
  check.ok(r.fired == 0 or r.code == codes[way] or r.code == 0 or r.code == 1 and r.err:find("interrupted", 1, true), ("%s: exit code %s: %s"):format(title, r.code, r.err:sub(-500)))
  if w.steps then
    check.ok(lost <= w.interval, ("%s: %d steps are lost, more than the interval of %d"):format(title, lost, w.interval))
    counts.lost = math.max(counts.lost, lost)
  end
  if i % 4 == 0 and r.fired > 0 then  -- once more, while it goes on
    local again = kill(w, how[i // 4 % #how + 1], class, math.max(1, k // 2), seed + i, w.again)
    if again.fired > 0 then counts.twice = counts.twice + 1 end
  end
  local wrong = judge.recovers(w)
  check.ok(not wrong, ("%s: %s\n  %s"):format(title, wrong, r.note:sub(1, 300)))
end

function faults.kills(w, number, seed)
  local counts, done, texts = {twice = 0, past = 0, lost = 0}, 0, {}
  for _, way in ipairs(how) do counts[way] = 0 end
  for i = 1, number do
    if mine(i, #how) then  -- all ways in each part
      one_kill(w, i, seed, counts)
      done = done + 1
    end
  end
  for _, way in ipairs(how) do texts[#texts + 1] = ("%s %d"):format(way, counts[way]) end
  print(("  %-9s %d kills: %s; %d of them twice; %d after the end"):format(w.name, done - counts.past, table.concat(texts, ", "), counts.twice, counts.past))
  return counts
end

faults.finish = check.done

return faults

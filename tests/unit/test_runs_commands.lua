-- What people do to runs: notes, removal, import, comparison, the index, and the command line of it all.
local check = require "check"
local c = require "vbl.store.c"
local data_files = require "data_files"
local index = require "vbl.runs.index"
local listing = require "vbl.runs.listing"
local record = require "vbl.runs.record"
local system = require "vbl.system.c"
local vbl = require "vbl"

local files = require("run_files").new()
local out = files.path .. "/runs"
local program = system.executable()

local function make(name, parts) return files:make("runs/" .. name, parts) end

local function command(words)
  local text, code = system.output {"/bin/sh", "-c", "exec 2>&1; exec \"$@\"", "sh", program, "runs", table.unpack(words)}
  return text, code
end

-- Runs the command; its text must hold every given part.
local function says(words, want, ...)
  local text, code = command(words)
  check.equal(code, want)
  for _, part in ipairs {...} do check.ok(text:find(part, 1, true), ("lacks %q: %s"):format(part, text)) end
  return text
end

local function row(step, name, value, split) return {step = step, epoch = step // 10, split = split or "val", name = name, value = value} end

make("2025-09-03-210336-fuse", {
  config = {model = {placement = "late"}, seed = 0, tasks = {}}, manifest = {created = "2025-09-03 21:03:36", kind = "finetune", task = "hm", data_hash = "a", vbl = "0.1.0"},
  result = {status = "finished", best = {epoch = 2, metric = "val.accuracy.hm", value = 0.75}, values = {["test.accuracy.hm"] = 0.7, ["test.auroc.hm"] = 0.764, ["val.accuracy.hm"] = 0.75}},
  metrics = {row(10, "loss.hm", 0.5), row(20, "loss.hm", 0.4), row(20, "accuracy.hm", 0.75), row(10, "lr", 1)},
})
make("2025-09-03-220000-fuse", {
  config = {model = {placement = "early"}, seed = 0, tasks = {}}, manifest = {created = "2025-09-03 22:00:00", kind = "finetune", task = "hm", data_hash = "b", vbl = "0.1.0"},
  result = {status = "failed", message = "out of memory: 12 GB\nstack traceback:\n\tx.lua:3: in main chunk"}, metrics = {row(10, "loss.hm", 0.5), row(20, "loss.hm", 0.5), row(30, "loss.hm", 0 / 0), row(10, "grad_norm", 3)},
})
local killed = make("2025-09-04-080000-pretrain_all", {
  config = {tasks = {mlm = {}, ap = {}}, seed = 1}, manifest = {created = "2025-09-04 08:00:00", kind = "pretrain"},
  metrics = {row(1, "loss.mlm", 4.25, "test"), row(1, "candidates.mim", 12345.0, "test"), row(1, "chance.contrastive", 2.7, "test"), row(1, "accuracy.ap", 0.5, "test"), row(1, "accuracy.ap.low", 0.4, "test"), row(1, "lr", 1, "step")},
})

local function named(part) return vbl.runs.open(vbl.runs.find(part, out)) end

check.group("finding", function()
  check.equal(named("pretrain").path, killed)
  check.equal(named(c.sha256("2025-09-04-080000-pretrain_all"):sub(1, 5)).path, killed)
  check.equal(vbl.runs.find(killed .. "/", "nowhere"), killed)
  check.error(function() named "fuse" end, "'fuse' fits 2 runs", "2025-09-03-210336-fuse\n  2025-09-03-220000-fuse")
  check.error(function() named "2025-09-04-080000-pretrain_al1" end, "no run", "(3 runs)", "did you mean '2025-09-04-080000-pretrain_all'")
  check.error(function() named(out) end, "not a run's folder")
  check.equal(vbl.runs.find(out .. "/pretrain", "nowhere"), killed)
  check.error(function() named(out .. "/fuse") end, "'fuse' fits 2 runs")
  check.error(function() named(out .. "/none") end, "no run", "(3 runs)")
end)

check.group("a name that fits several runs, or none, where else files are taken", function()
  local experiments = system.output {"pwd"}:gsub("%s+$", "") .. "/experiments/"
  local function refuses(want, ...)
    local text, code = system.output {"/bin/sh", "-c", 'cd "$1" && shift && exec 2>&1; exec "$@"', "sh", files.path, program, ...}
    check.ok(code == 1 and text:find "^vbl: " and text:find(want, 1, true) and not text:find("traceback", 1, true), text)
  end
  refuses("--resume: 'fuse' fits 2 runs; say more of the name", experiments .. "pretrain_all.lua", "--resume", "fuse")
  refuses("--resume: 'fuse' fits 2 runs", experiments .. "pretrain_all.lua", "--resume", "runs/fuse")
  refuses("--resume runs/2025-09-04-080000-pretrain_all: it is a pretrain run", experiments .. "finetune.lua", "--resume", "runs/pretrain")
  refuses("vbl: 'fuse' fits 2 runs", experiments .. "analyse.lua", "fuse")
  refuses("vbl: config: from: 'fuse' fits 2 runs", experiments .. "finetune.lua", "from=fuse")
  refuses("vbl: export: 'fuse' fits 2 runs", "export", "fuse", "x")
  refuses("vbl: --resume: none: not a run's folder", experiments .. "pretrain_all.lua", "--resume", "none")
  refuses("vbl: none: neither a run", experiments .. "analyse.lua", "none")
  refuses("vbl: config: from: none: no such run, checkpoint or file", experiments .. "finetune.lua", "from=none")
  refuses("vbl: export: none: no such run, file or folder", "export", "none", "x")
end)

check.group("list", function()
  local records = vbl.runs.list {out = out}
  local text = listing(records, index.last(out, records), {now = os.time {year = 2025, month = 9, day = 5, hour = 8}, width = 80})
  check.equal(text, [[
id    name          status      kind      task    seed  values               age
]] .. records[1].id:sub(1, 4) .. [[  fuse          finished    finetune  hm         0  test accuracy 0.7…  34 h
]] .. records[2].id:sub(1, 4) .. [[  fuse          failed      finetune  hm         0  out of memory: 12…  34 h
]] .. records[3].id:sub(1, 4) .. [[  pretrain_all  unfinished  pretrain  ap+mlm     1  epoch 0: test acc…  24 h
]])
  check.ok(not listing(records, {}, {}):find("traceback", 1, true), "a failed run's message has more lines than the list's one")
  for width = 20, 120 do
    for line in listing(records, {}, {width = width}):gmatch "[^\n]+" do check.ok(width < 36 or utf8.len(line) <= width, line) end
  end
  says({"ls", out, "status=finished", "config.model.placement=late"}, 0, "auroc 0.764", "2025-09-03-210336-fuse")
  says({"ls", out, "config.model.placement=latte"}, 1, "no run in " .. out .. " is so")
  says({"ls", out, "satus=finished"}, 1, "no field 'satus', did you mean 'status'")
  says({"ls", out .. "/none"}, 1, "no folder")
  check.equal(says({"ls", "--csv", "--out", out, "kind=finetune"}, 0), [[
id,name,status,kind,task,seed,created,tags,note,config.model.placement,config.tasks,values.test.accuracy.hm,values.test.auroc.hm,values.val.accuracy.hm
]] .. records[1].id .. [[,2025-09-03-210336-fuse,finished,finetune,hm,0,2025-09-03 21:03:36,,,late,{},0.7,0.764,0.75
]] .. records[2].id .. [[,2025-09-03-220000-fuse,failed,finetune,hm,0,2025-09-03 22:00:00,,,early,{},,,
]])
end)

check.group("a spreadsheet computes nothing of what a run says", function()
  local run = make("2025-09-05-000000-sums", {config = {command = "@SUM(1)", low = "-1e-5", minus = -2, part = "a=1"}, notes = {note = "=HYPERLINK(\"http://x\",\"y\")", tags = {}},
                                              metrics = {row(1, "=1+1", -0.5), row(2, "loss", -math.huge)}})
  local text = says({"ls", "--csv", "--out", out, "name=2025-09-05-000000-sums"}, 0)
  check.ok(text:find([["'=HYPERLINK(""http://x"",""y"")",'@SUM(1),-1e-5,-2,a=1]], 1, true), text)
  check.equal(says({"show", run, "--csv"}, 0), "step,epoch,split,name,value,time\n1,0,val,'=1+1,-0.5,\n2,0,val,loss,-Infinity,\n")
  vbl.runs.remove(record.read(run))
end)

check.group("show", function()
  local text = says({"show", "0336-fuse", "--out", out}, 0, "finished", "hm", "best checkpoint: epoch 2, val.accuracy.hm 0.75", "model.placement=late", "checkpoints: none",
                    "warning: it has no whole checkpoint")
  for line in text:gmatch "[^\n]+" do check.ok(#line <= 80 or line:find "/", line) end
  says({"show", killed}, 0, "newest values, epoch 0", "accuracy.ap", "candidates.mim           12345\n")
  check.equal(says({"show", killed, "--csv"}, 0):match "^[^\n]*\n[^\n]*\n", "step,epoch,split,name,value,time\n1,0,test,loss.mlm,4.25,\n")
  files:write("runs/2025-09-04-080000-pretrain_all/checkpoints/last/state.json", '{"files": {"model.safetensors": {"size": 9}}}')
  says({"show", killed}, 0, "last (damaged)", "warning: checkpoint last: model.safetensors is missing")
  says({"show"}, 1, "expected one RUN")
  says({"shwo"}, 1, "did you mean 'show'")
  says({"show", killed, "--csw"}, 1, "unknown flag '--csw', did you mean '--csv'")
end)

check.group("notes and tags", function()
  says({"tag", "pretrain", "draft", "paper", "--out", out}, 0, "draft paper")
  says({"tag", killed, "-draft", "invalid"}, 0, "paper invalid")
  check.equal(vbl.runs.open(killed).status, "invalid")
  says({"ls", out}, 0, "invalid", "paper invalid")
  says({"tag", killed, "a b"}, 1, "tag 'a b': expected letters")
  says({"tag", killed, "-invalid", "-paper"}, 0, "no tags")
  check.equal(#vbl.runs.open(killed).tags, 0)
  says({"note", killed, "stopped by hand"}, 0)
  check.equal(vbl.runs.open(killed).note, "stopped by hand")
  says({"show", killed}, 0, "note: stopped by hand")
end)

check.group("diff", function()
  local d = vbl.runs.diff(named "0336-fuse", named "220000-fuse")
  check.equal(#d.config, 1)
  check.equal(table.concat(d.config[1], " "), 'model.placement "late" "early"')
  check.equal(table.concat(d.data[1], " "), 'data_hash "a" "b"')
  check.equal(#d.versions, 0)
  local m = d.metrics
  check.equal(m.common, 1)
  check.equal(m.differ[1].name .. m.differ[1].step .. ":" .. m.differ[1].a .. ":" .. m.differ[1].b .. " last " .. m.differ[1].last, "val.loss.hm20:0.4:0.5 last 20")
  check.equal(table.concat(m.only_a, " ") .. "|" .. table.concat(m.only_b, " "), "val.accuracy.hm val.lr|val.grad_norm")
  says({"diff", "0336-fuse", "220000-fuse", "--out", out}, 0, "first val.loss.hm at step 20: 0.4 against 0.5 (+0.1)", "versions: equal", "metrics only B has: 1, val.grad_norm")
  says({"diff", killed, killed}, 0, "config: equal", "all 6 series are equal")
end)

check.group("the index is only a cache", function()
  local path, records = out .. "/.index.sqlite", vbl.runs.list {out = out}
  local function loss()
    for r, newest in pairs(index.last(out, records)) do
      if r.path == killed then return newest.values["test.loss.mlm"] end
    end
  end
  check.equal(loss(), 4.25)
  check.ok(system.exists(path))
  local db <close> = c.database(path)
  check.equal(#db:run "SELECT * FROM last", 3)
  db:run("UPDATE last SET data = ? WHERE name = ?", '{"values": {"test.loss.mlm": 7}}', "2025-09-04-080000-pretrain_all")
  check.equal(loss(), 7)  -- it is used
  local file <close> = c.append(killed .. "/metrics.jsonl")
  file:write(vbl.runs.metrics.line(row(2, "loss.mlm", 3.5, "test")))
  check.equal(loss(), 3.5)  -- and not when the file changed
  db:close()
  for _, text in ipairs {"", "no database at all, but long enough to have a header of one hundred bytes" .. ("x"):rep(100), c.read_file(path):sub(1, 5000)} do
    c.write_atomic(path, text)
    check.equal(loss(), 3.5)
    check.equal(loss(), 3.5)
  end
  os.remove(path)
  check.equal(loss(), 3.5)
  local other <close> = c.database(path)  -- another process writes: ours answers all the same
  other:run "BEGIN EXCLUSIVE"
  local words = {program, "-e", ("local vbl = require 'vbl' local r = vbl.runs.list {out = '%s'} print(next(require('vbl.runs.index').last('%s', r)) ~= nil)"):format(out, out)}
  check.equal((system.output(words)), "true\n")
  other:run "COMMIT"
end)

check.group("two writers of one run", function()
  local run <close> = setmetatable({run = vbl.runs.folder.open(killed)}, {__close = function(self) self.run:close() end})
  check.equal(vbl.runs.open(killed).status, "running")
  check.error(function() vbl.runs.folder.open(killed) end, "metrics.jsonl: another process is writing to it")
  says({"rm", killed, "--yes"}, 1, "is running; stop it first")
  check.error(function() vbl.runs.remove(record.read(killed)) end, "is running")
  check.ok(record.is_run(killed))
end)

check.group("words with an equals sign, tags that are numbers, misspelt keys", function()
  says({"note", killed, "lr=0.1 was better"}, 0)
  check.equal(vbl.runs.open(killed).note, "lr=0.1 was better")
  says({"note", killed, "--", "--lr was better"}, 0)
  check.equal(vbl.runs.open(killed).note, "--lr was better")
  says({"note", killed, "--help"}, 0, "usage: vbl runs note RUN TEXT")
  says({"note", killed, ""}, 0)
  says({"tag", killed, "2024"}, 0, "2024")
  says({"ls", out, "tags=2024"}, 0, "pretrain_all")
  says({"tag", killed, "-2024"}, 0, "no tags")
  says({"ls", out, "config.modle.placement=late"}, 1, "no run in " .. out .. " is so; none has config.modle.placement, did you mean 'config.model.placement'?")
  says({"ls", out, "config.model.placement=nowhere"}, 1, "is so\n")
  says({"ls", out, "config.modle.placement=late", "--csv"}, 1, "did you mean 'config.model.placement'?\nid,name,status")
end)

check.group("removal: a folder that merely has a config.lua is no run", function()
  local paper = files:write("paper/config.lua", "x = 1\n"):match "^(.*)/"
  files:write("paper/thesis.tex", "a thesis")
  local function refused(...)
    says({"rm", paper, "--yes", ...}, 1, "paper: not surely a run's folder (no metrics.jsonl and no manifest.json of this program); remove it by hand if it is one")
    check.ok(system.exists(paper .. "/thesis.tex"))
  end
  refused()
  files:write("paper/manifest.json", '{"name": "an extension of a browser"}')
  refused()
  files:write("paper/manifest.json", "not JSON")
  local whole = make("whole", {})
  says({"rm", whole, paper, "--yes"}, 1, "not surely a run's folder")
  check.ok(record.is_run(whole), "a run went although not all of the words could")
  says({"rm", whole, whole .. "/", "--yes"}, 0, "removed " .. whole)
  -- One that was killed before it wrote a number, and one whose manifest is lost, are runs.
  local killed_early = files:write("runs/early/config.lua", "return {}\n"):match "^(.*)/"
  files:write("runs/early/manifest.json", '{"vbl": "0.1.0"}')
  says({"rm", killed_early, make("lost", {metrics = {row(1, "x", 1)}}), "--yes"}, 0, "removed " .. killed_early, "lost")
end)

check.group("removal: a bare word means a run before a folder here", function()
  local function here(word)
    local text, code = system.output {"/bin/sh", "-c", 'cd "$1" && shift && exec 2>&1; exec "$@"', "sh", files.path, program, "runs", "rm", word, "--out", out, "--yes"}
    check.ok(code == 0, text)
  end
  local run = make("2026-01-01-000000-paper", {})
  here "paper"
  check.ok(system.exists(files.path .. "/paper/thesis.tex") and not system.exists(run))
  run = make("2026-01-01-000000-copied", {})
  local copy = files:make("copied", {})
  here "copied"
  check.ok(record.is_run(copy) and not system.exists(run))
  run = make("2026-01-01-000000-copied", {})
  here "./copied"
  check.ok(not system.exists(copy) and record.is_run(run))
  vbl.runs.remove(record.read(run))
  files:make("copied", {})
  here "copied"
  check.ok(not system.exists(copy))
end)

check.group("removal", function()
  local path = make("old", {})
  files:write("runs/keep/readme", "no run")
  files:write("outside", "stays")
  system.run {"ln", "-s", files.path .. "/outside", path .. "/link"}
  says({"rm", "old", "keep", "--out", out, "--yes"}, 1, "no run 'keep'")
  check.ok(record.is_run(path))
  says({"rm", path}, 1, "--yes removes without asking")
  check.ok(record.is_run(path))
  says({"rm", path, "--yes"}, 0, "removed " .. path)
  check.ok(not system.exists(path))
  check.equal(c.read_file(files.path .. "/outside"), "stays")
  for _, name in ipairs(system.list(out)) do check.ok(not name:find "removed", name) end
end)

check.group("import of a folder", function()
  local source = make("travel", {config = {seed = 5}, result = {status = "finished"}, metrics = {row(1, "x", 1)}})
  c.make_folder(source .. "/checkpoints")
  local new <close> = c.replace_folder(source .. "/checkpoints", "best")
  c.write_atomic(new:path() .. "/state.json", "{}")
  new:commit()
  system.run {"ln", "-s", "/etc/passwd", source .. "/secret"}
  local into = files.path .. "/elsewhere"
  check.equal(vbl.runs.import(source .. "/", into)[1], into .. "/travel")
  local r = vbl.runs.open(into .. "/travel")
  check.equal(r.status, "finished")
  check.equal(r.seed, 5)
  check.equal(c.read_file(r.path .. "/checkpoints/best/state.json"), "{}")
  check.ok(not system.exists(r.path .. "/secret"))
  check.error(function() vbl.runs.import(source, into) end, "travel: is there already")
  check.error(function() vbl.runs.import(files.path .. "/none", into) end, "no such file")
  check.error(function() vbl.runs.import(files.path .. "/outside", into) end, "expected a run's folder, or an archive")
  check.error(function() vbl.runs.import(out .. "/keep", into) end, "holds no run")
  c.remove(into)
  says({"import", out, "--out", into}, 0, "imported " .. into .. "/travel", "imported " .. into .. "/2025-09-04-080000-pretrain_all")
  check.equal(#vbl.runs.list {out = into}, 4)
  for _, name in ipairs(system.list(into)) do check.ok(name:sub(1, 1) ~= ".", name) end
end)

check.group("import of an archive", function()
  local into, number = files.path .. "/unpacked", 0
  local function archive(members, suffix)
    number = number + 1
    return files:write(("a%d.tar%s"):format(number, suffix or ""), data_files.tar(members))
  end
  local whole = {{"runs/from_afar/config.lua", "return {seed = 8}\n"}, {"runs/from_afar/checkpoints/.last-12-3/state.json", "{}"}, {"runs/from_afar/metrics.jsonl", '{"step":1,"name":"x","value":1}\n'}}
  vbl.runs.import(archive(whole), into)
  check.equal(vbl.runs.open(into .. "/from_afar").seed, 8)
  check.ok(system.exists(into .. "/from_afar/checkpoints/last/state.json"))
  c.remove(into)
  local plain = archive(whole)
  check.equal(system.run {"gzip", "-k", plain}, 0)
  vbl.runs.import(plain .. ".gz", into)
  check.equal(vbl.runs.open(into .. "/from_afar").seed, 8)
  for _, name in ipairs {"../evil", "/tmp/evil", "a/../../evil", "a//b"} do
    check.error(function() vbl.runs.import(archive {{"x/config.lua", "return {}"}, {"x/" .. name, "evil"}, {name, "evil"}}, into) end, "would lie outside of the run")
  end
  check.error(function() vbl.runs.import(archive {{"a/x/config.lua", "return {}"}, {"b/x/config.lua", "return {}"}}, into) end, "holds two runs of one name, a/x/ and b/x/")
  check.error(function() vbl.runs.import(archive {{"a/x/config.lua", "os.exit()"}, {"b/x/config.lua", "return {}"}}, into) end, "holds two runs of one name")  -- before any is read
  -- A name that another process takes while files are copied: nothing of the archive stays.
  local rename = os.rename
  function os.rename(from, to)
    if to == into .. "/b" then c.make_folder(to .. "/theirs") end
    return rename(from, to)
  end
  check.error(function() vbl.runs.import(archive {{"a/config.lua", "return {}"}, {"b/config.lua", "return {}"}}, into) end, into .. "/b: Directory not empty")
  os.rename = rename
  check.ok(not system.exists(into .. "/a") and system.exists(into .. "/b/theirs"))
  c.remove(into .. "/b")
  check.error(function() vbl.runs.import(archive {{"x/config.lua", "os.execute 'touch /tmp/evil'"}}, into) end, "not a whole run: x/config.lua", "expected plain values")
  check.error(function() vbl.runs.import(archive {{"x/config.lua", "return {}"}, {"x/result.json", "{"}}, into) end, "x/result.json")
  check.error(function() vbl.runs.import(archive {{"x/config.lua", "return {}"}, {"x/link", "", kind = "2"}, {"x/link/config.lua", "return 1"}}, into) end, "expected a table")
  local text = c.read_file(plain)
  for _, bytes in ipairs {1200, 1024, 3072} do check.error(function() vbl.runs.import(files:write("cut.tar", text:sub(1, bytes)), into) end, "cut.tar: cut off") end
  check.error(function() vbl.runs.import(files:write("cut.tar.gz", c.read_file(plain .. ".gz"):sub(1, 60)), into) end, "cut.tar.gz: damaged or cut off")
  check.equal(system.run {"gzip", "-kf", files:write("half.tar", text:sub(1, 1200))}, 0)
  check.error(function() vbl.runs.import(files.path .. "/half.tar.gz", into) end, files.path .. "/half.tar.gz: cut off")
  check.equal(#system.list(into), 1)
end)

-- A process without rights, as root has them all.
check.group("a read-only folder", function()
  local path = make("fixed", {result = {status = "finished"}, metrics = {row(1, "loss.x", 1, "test")}})
  os.remove(out .. "/.index.sqlite")
  system.run {"chmod", "-R", "a+rX,a-w", files.path}
  local nobody = system.output {"id", "-u"} == "0\n" and {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"} or {"env"}
  local function try(words)
    local all = {"/bin/sh", "-c", "exec 2>&1; exec \"$@\"", "sh"}
    table.move(nobody, 1, #nobody, #all + 1, all)
    table.move({program, "runs", table.unpack(words)}, 1, 2 + #words, #all + 1, all)
    return system.output(all)
  end
  local text, code = try {"ls", out}
  if code == 126 or code == 127 then print "SKIPPED: setpriv is missing, or the program is not readable to others" else
    check.ok(code == 0 and text:find("test loss.x 1", 1, true) or text:find("finished", 1, true), text)
    check.ok(not system.exists(out .. "/.index.sqlite"))
    text, code = try {"tag", path, "x"}
    check.ok(code == 1 and text:find "notes.json: cannot write: " and text:find "denied", text)
    text, code = try {"rm", path, "--yes"}
    check.ok(code == 1 and text:find "denied", text)
    check.ok(record.is_run(path))
  end
  system.run {"chmod", "-R", "u+w", files.path}
end)

files:remove()
check.done()

-- Run folders that somebody else wrote: values that are not what readers count on, and text that a terminal would obey.
local check = require "check"
local c = require "vbl.store.c"
local system = require "vbl.system.c"
local vbl = require "vbl"
local visible = require "vbl.visible"

local files = require("run_files").new()
local out = files.path .. "/runs"

-- What a program says, both streams.
local function says(...) return system.output {"/bin/sh", "-c", "exec 2>&1; exec \"$@\"", "sh", system.executable(), ...} end

local function text_without_controls(text)
  check.ok(not text:find "[%z\1-\8\11-\31\127]" and not text:find "\xC2[\x80-\x9F]", ("%q"):format(text))
  return text
end

files:make("runs/good", {manifest = {created = "2025-09-03 21:03:36"}, metrics = {{step = 1, epoch = 1, split = "test", name = "loss.x", value = 0.25}}})
local odd = files:make("runs/odd", {manifest = {created = "2025-09-03 21:03:36"}})

-- The other runs of the folder are listed all the same, and what is wrong is one sentence that names the place.
local function judge(file, text, place)
  local before = system.exists(odd .. "/" .. file) and c.read_file(odd .. "/" .. file)
  files:write("runs/odd/" .. file, text)
  local listed, code = says("runs", "ls", out)
  check.ok(code == 0 and listed:find("test loss.x 0.25", 1, true) and not listed:find "attempt", listed)
  check.ok(file == "warnings.jsonl" or listed:find "damaged" and listed:find(place, 1, true), listed)
  check.ok(says("runs", "show", odd):find(place, 1, true), place)
  for _, words in ipairs {{"report", odd}, {"why", odd, out .. "/good"}} do
    local said = says(table.unpack(words))
    check.ok(not said:find "attempt to" and not said:find "bad argument" and not said:find "traceback" and not said:find "%.lua:%d", said)
  end
  if before then c.write_atomic(odd .. "/" .. file, before) else os.remove(odd .. "/" .. file) end
end

check.group("values of other types", function()
  judge("manifest.json", '{"kind": [1]}', "manifest.json.kind: expected a string, got a table")
  judge("result.json", '{"status": "finished", "values": [1]}', "result.json.values: 1 is no key of it")
  judge("result.json", '{"message": true}', "result.json.message: expected a string, got true")
  judge("notes.json", '{"tags": [5]}', "notes.json.tags.1: expected a string, got 5")
  judge("metrics.jsonl", '{"step": 1, "name": 5, "value": 1}\n', "metrics.jsonl:1.name: expected a string, got 5")
  judge("metrics.jsonl", '{"step": 1, "name": "x", "value": 1}\n{"step": 1e308, "name": "x", "value": 1}\n', "metrics.jsonl:2.step: expected an integer")
  judge("metrics.jsonl", "5\n", "metrics.jsonl:1: expected an object, got 5")
  judge("metrics.jsonl", '{"step": 1, "value": 1}\n', "metrics.jsonl:1: name is missing")
  judge("warnings.jsonl", '{"kind": {}, "text": "x"}\n', "warnings.jsonl:1.kind")
  judge("config.lua", "return {seed = {}}", "config.lua.seed: expected an integer")
end)

check.group("predictions: a class that is none would make a reader take any amount of memory", function()
  local header = '{"task":"t","split":"test","kind":"%s","classes":["a","b"]}\n'
  local function refuses(kind, row, ...)
    files:write("runs/good/predictions/test.jsonl", header:format(kind) .. row .. "\n")
    check.error(function() vbl.runs.open(out .. "/good"):predictions "test" end, "test.jsonl:2", ...)
    local said, code = says("report", out .. "/good")
    check.ok(code == 0 and not said:find "attempt", said)
    check.ok(c.read_file(out .. "/good/report.html"):find("test.jsonl:2", 1, true), "the page does not say it")
  end
  refuses("multiclass", '{"id":"a","label":0,"scores":{"1000000000000":1}}', "scores: 1000000000000 is none of the 2 classes")
  refuses("multiclass", '{"id":"a","label":[0],"scores":[0.5,0.5]}', "label: expected an integer")
  refuses("soft", '{"id":"a","label":{"x":1},"scores":[0.5,0.5]}', "label: x is none of the 2 classes")
  refuses("binary", '{"id":"a","label":0}', "scores is missing")
  refuses("binary", '{"id":"a","label":0,"scores":"x"}', "scores: expected numbers")
end)

check.group("a table of an analysis", function()
  files:write("runs/good/analysis/layers.json", '{"title":"t","columns":["a"],"rows":true}')
  local said, code = says("report", out .. "/good")
  check.ok(code == 0 and c.read_file(out .. "/good/report.html"):find("layers.json.rows: expected a list, got true", 1, true), said)
  local function page(name, rows, columns, ...)
    files:write("runs/good/analysis/" .. name .. ".json", ('{"title":"t","columns":%s,"rows":%s}'):format(columns or '["a","b","r","c","cka"]', rows))
    local text, exit = says("report", out .. "/good")
    local html = c.read_file(out .. "/good/report.html")
    check.ok(exit == 0 and not text:find "attempt", text)
    for _, part in ipairs {...} do check.ok(html:find(part, 1, true), part) end
    c.remove(out .. "/good/analysis/" .. name .. ".json")
  end
  page("layers", '[[1,2,"x"],[null,3,[]]]', '["a","a_lo","a_hi"]', "layers.json.rows.2.3: expected a text or a number, got a table")
  page("layers", '[[1,2,"x"]]', '["a","a_lo","a_hi"]')
  for _, row in ipairs {'"matched","text - vision","x",0,1', '"matched","text - vision",100000000,0,1', '"matched","text - vision",0', 'null,null,0,0,1'} do
    page("matrix-cka", "[[" .. row .. "]]", nil, "matrix-cka.json.rows.1: expected a map&#39;s row")
  end
  page("evolution-matrix-cka", '[[1,"matched",0,0,1],[2,"matched",0,5,1]]')  -- a map with holes
end)

check.group("layers that would need room without end", function()
  local path = out .. "/good/metrics.jsonl"
  local before = c.read_file(path)
  c.write_atomic(path, before .. '{"step":1,"epoch":1,"split":"probe.matched","name":"layer.300000000.cka","value":0.5,"time":1}\n')
  local said, code = says("report", out .. "/good")
  check.ok(code == 0 and c.read_file(out .. "/good/report.html"):find("name: expected a layer below 1000", 1, true), said)
  c.write_atomic(path, before)
end)

check.group("what would be waited for, or never ends, is no file", function()
  local fifo = files.path .. "/fifo"
  check.equal(system.run {"mkfifo", fifo}, 0)
  for _, data in ipairs {"jsonl:" .. fifo, "captions:" .. fifo, "jsonl:/dev/zero", "webdataset:" .. fifo} do
    local path = files:make("runs/waits", {config = {data = data, model = {preset = "tiny"}, tasks = {mlm = {}}}, manifest = {created = "2025-09-03 21:03:36"}})
    local _, code = says("report", path)
    check.ok(code == 0 and c.read_file(path .. "/report.html"):find("The data set was not opened for this page", 1, true), data)
  end
  for _, name in ipairs {"manifest.json", "metrics.jsonl", "warnings.jsonl", "log.txt", "predictions/test.jsonl", "analysis/layers.json"} do
    local path = files:make("runs/waits", {manifest = {created = "2025-09-03 21:03:36"}})
    c.remove(path .. "/" .. name)
    c.make_folder((path .. "/" .. name):match "^(.*)/")
    check.equal(system.run {"ln", "-s", fifo, path .. "/" .. name}, 0)
    local listed, code = says("runs", "ls", out)
    check.ok(code == 0 and listed:find("test loss.x 0.25", 1, true), listed)
    for _, words in ipairs {{"runs", "show", path}, {"report", path}, {"why", path, out .. "/good"}} do check.ok(not says(table.unpack(words)):find "attempt to", name) end
    c.remove(path)
  end
  check.error(function() vbl.load(fifo) end, "fifo")
  for _, name in ipairs {"x.safetensors", "x.npy", "x.json"} do
    check.equal(system.run {"ln", "-s", fifo, files.path .. "/" .. name}, 0)
    check.error(function() vbl.load(files.path .. "/" .. name) end, name .. ": not a regular file")
  end
end)

check.group("a terminal does not obey what a file says", function()
  check.equal(visible "a\27[2J\a\127\u{9b}1m\té\n", "a\\x1b[2J\\x07\\x7f\\u{9b}1m\té\n")
  local evil = "\27]52;c;aGk=\a\27[2J\u{9b}5m"
  local path = files:make("runs/evil" .. evil, {
    config = {data = evil}, manifest = {created = evil, kind = evil, cpu = evil}, result = {status = "failed", message = evil}, notes = {tags = {evil}, note = evil},
    metrics = {{step = 1, split = "test", name = evil, value = 1}}})
  files:write("runs/evil" .. evil .. "/warnings.jsonl", c.json_encode {kind = evil, text = evil} .. "\n")
  for _, words in ipairs {{"runs", "ls", out}, {"runs", "show", path}, {"runs", "diff", path, out .. "/good"}, {"why", path, out .. "/good"}, {"runs", "show", evil .. "x"}} do
    check.ok(text_without_controls(says(table.unpack(words))):find "\\x1b]52", words[2])
  end
  text_without_controls(says(files:write("script.lua", ("error(%q)"):format(evil))))
  text_without_controls(says("-e", ("error %q"):format(evil)))
  text_without_controls((require "vbl.repl.show"(evil)))
  local run <close> = setmetatable({run = vbl.runs.folder.create {out = files.path, name = "log"}}, {__close = function(self) self.run:close() end})
  run.run:warn("bad record in %s", evil)
  text_without_controls(c.read_file(run.run.path .. "/log.txt"))
end)

files:remove()
check.done()

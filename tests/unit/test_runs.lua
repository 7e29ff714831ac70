-- Runs as they are read: records, their states, queries, damage.
local check = require "check"
local c = require "vbl.store.c"
local literal = require "vbl.config.literal"
local vbl = require "vbl"

local files = require("run_files").new()

local function list(where) return vbl.runs.list {out = files.path, where = where} end

local function names(where)
  local found = {}
  for i, r in ipairs(list(where)) do found[i] = r.name end
  return table.concat(found, " ")
end

local late = files:make("c", {
  config = {model = {placement = "late"}, freeze = {"bert", "vit"}, seed = 3},
  manifest = {created = "2025-09-03 21:03:36", kind = "finetune", task = "hateful_memes", data_hash = "x"},
  result = {status = "finished", kind = "finetune", values = {["val.accuracy"] = 0.75, ["val.loss.x"] = 0 / 0}, message = c.null},
  notes = {tags = {"paper"}, note = "as in table 3"},
  metrics = {{step = 1, epoch = 1, split = "val", name = "accuracy", value = 0.5}, {step = 2, epoch = 2, split = "val", name = "accuracy", value = 0.75},
             {step = 2, name = "lr", value = 0.1}},
  predictions = {val = {{task = "hateful_memes", split = "val", kind = "binary", thresholds = c.null}, {id = "a", label = 1, scores = {0.75}}}},
})
files:make("b", {config = {model = {placement = "early"}}, manifest = {created = "2025-09-03 21:03:36"}, result = {status = "failed", message = "no memory"}})
files:make("a", {manifest = {created = "2025-09-04 00:00:00"}, notes = {tags = {"invalid"}, note = ""}, result = {status = "finished"}})
files:make("d", {})
files:write("notes/readme.txt", "not a run")

check.group("a record", function()
  local r = vbl.runs.open(late .. "/")
  check.equal(tostring(r), "c (finished)")
  check.equal(r.path, late)
  check.equal(r.id, c.sha256("c"):sub(1, 8))
  check.equal(r.kind, "finetune")
  check.equal(r.task, "hateful_memes")
  check.equal(r.seed, 3)
  check.equal(r.note, "as in table 3")
  check.equal(r.tags[1], "paper")
  check.equal(r.message, nil)
  check.equal(r.values["val.accuracy"], 0.75)
  check.ok(r.values["val.loss.x"] ~= r.values["val.loss.x"])
  check.equal(#r:metrics(), 3)
  check.equal(r:metrics {split = "val", epoch = function(e) return e and e > 1 end}[1].value, 0.75)
  check.error(function() r:metrics {nmae = "x"} end, "no field 'nmae'", "name")
  local last, epoch = r:last()
  check.equal(last["val.accuracy"], 0.75)
  check.equal(last.lr, 0.1)
  check.equal(epoch, 2)
  local other = require("run_files").new()
  local going = vbl.runs.open(other:make("going", {metrics = {{step = 4, epoch = 1, split = "test", name = "loss", value = 1},
                                                              {step = 6, epoch = 2, split = "step", name = "loss", value = 2}}}))
  check.equal(select(2, going:last()), 1)
  other:remove()
  local header, rows = r:predictions "val"
  check.equal(header.kind, "binary")
  check.equal(header.thresholds, nil)
  check.equal(rows[1].scores[1], 0.75)
  check.error(function() r:predictions "test" end, "no predictions of the split 'test' (it has val)")
  check.error(function() vbl.runs.open(files.path .. "/b"):predictions "val" end, "it has none")
end)

check.group("states", function()
  local state = {}
  for _, r in ipairs(list()) do state[r.name] = r.status end
  check.equal(names(), "b c a d")
  check.equal(state.b, "failed")
  check.equal(state.a, "invalid")
  check.equal(state.d, "unfinished")
  local writer <close> = c.append(files.path .. "/d/metrics.jsonl")
  check.equal(vbl.runs.open(files.path .. "/d").status, "running")
  writer:close()
  check.equal(vbl.runs.open(files.path .. "/d").status, "unfinished")
end)

check.group("queries", function()
  check.equal(names {kind = "finetune"}, "c")
  check.equal(names {["config.model.placement"] = {"late", "early"}}, "b c")
  check.equal(names {["config.freeze"] = "vit"}, "c")
  check.equal(names {["config.freeze.1"] = "bert"}, "c")
  check.equal(names {["values.val.accuracy"] = function(v) return v > 0.7 end}, "c")
  check.equal(names {["values.val.loss"] = 1}, "")
  check.equal(names {tags = "paper", status = "finished"}, "c")
  check.equal(names {status = "finished"}, "c")
  check.equal(names(function(r) return r.message == "no memory" end), "b")
  check.error(function() list {satus = "finished"} end, "no field 'satus'", "status")
  check.error(function() vbl.runs.list {outt = "x"} end, "runs.list: no option 'outt', did you mean 'out'? (out, where)")
  check.error(function() vbl.runs.list {out = files.path .. "/none"} end, "none: No such file")
end)

check.group("what is no run, and damage", function()
  check.error(function() vbl.runs.open(files.path .. "/none") end, "no run '")
  check.error(function() vbl.runs.open(files.path .. "/notes") end, "not a run's folder (no config.lua")
  for name, text in pairs {["manifest.json"] = '{"kind": "fine', ["result.json"] = '{"status": "done"}', ["notes.json"] = '{"tags": "x"}', ["config.lua"] = "return {a = "} do
    c.remove(files.path .. "/damaged")
    files:make("damaged", {result = {status = "finished"}})
    local path = files:write("damaged/" .. name, text)
    check.error(function() vbl.runs.open(files.path .. "/damaged") end, path)
    local r = list(function(r) return r.name == "damaged" end)[1]
    check.equal(r.status, "damaged")
    check.ok(r.problems[1]:find(path, 1, true), r.problems[1])
  end
  c.remove(files.path .. "/damaged")
  local r = vbl.runs.open(late)
  local path = late .. "/predictions/val.jsonl"
  local whole = c.read_file(path)
  local header = whole:match "^[^\n]*\n"
  for text, message in pairs {[whole:sub(1, -4)] = "half-written", [header:sub(1, 10) .. "\n"] = ":1:", [header .. "{\n"] = ":2:", [header .. '{"label":1}\n'] = ":2: a prediction without an id",
                              [whole:match "\n(.*)"] = ":1: expected the header"} do
    c.write_atomic(path, text)
    check.error(function() r:predictions "val" end, path, message)
  end
  c.write_atomic(path, whole)
end)

check.group("a config is data", function()
  local config = {a = {1, -2.5, 1e300, 0 / 0, 1 / 0, -1 / 0, math.mininteger}, ["b c"] = 'q"\\\n\0é]]--', ["and"] = true, d = {e = {}}, f = false}
  local back = literal.read(vbl.config.write(config), "x")
  check.equal(vbl.config.write(back), vbl.config.write(config))
  check.equal(literal.read("-- made by hand\nreturn {a = 0x1F, -- so\n  'b', [3] = .5}", "x").a, 31)
  for _, text in ipairs {"return os", "return {f()}", "return {a = os.exit()}", "while true do end", "return ('x'):rep(9)", "local s = 'x' return {s}", "return {'x' .. 'y'}",
                         "return {#'x'}", "return {2 ^ 9}", "return [[x]]", "return {[=[x]=]}", "--[[\n]] return {}", "return {a = b}", "return function() end", "goto a",
                         "\27Lua", "return 'x", "return {a == 1}"} do
    check.error(function() literal.read(text, "config.lua") end, "config.lua:1: expected plain values")
  end
  check.error(function() literal.read("return {\n1 2}", "config.lua") end, "config.lua:2:")
  check.error(function() literal.read("return " .. ("{"):rep(1000), "config.lua") end, "config.lua: C stack overflow")
  files:make("foreign", {})
  files:write("foreign/config.lua", "os.exit(3)")
  check.error(function() vbl.runs.open(files.path .. "/foreign") end, "foreign/config.lua: not a run's config", "expected plain values")
end)

files:remove()
check.done()

-- Why two runs differ: the first step and its cause, of runs whose only difference is known, and of records that show one thing each.
local check = require "check"
local files = require("run_files").new()
local trainer = require "trainer"
local why = vbl.runs.why

local function run(...) return (trainer.expect(0, {"--threads", "1", ...})) end

local function causes_text(rows)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row[1] end
  table.sort(list)
  return table.concat(list, " ")
end

local whole = run()

-- vbl why WHOLE other -> what it says, and vbl.runs.why's result
local function ask(other)
  local text, code = require("vbl.system.c").output {"/bin/sh", "-c", "exec 2>&1; exec \"$@\"", "sh", require("vbl.system.c").executable(), "why", whole, other}
  check.equal(code, 0)
  return text, why(vbl.runs.open(whole), vbl.runs.open(other))
end

check.group("the same run twice: every bit, and the checkpoints", function()
  local text, found = ask(run())
  check.ok(not found.first and not found.beyond and #found.causes == 0, text)
  check.ok(text:find("no difference: all %d+ series") and text:find("epoch-1 (step 4): equal weights and moments", 1, true), text)
  check.ok(not text:find("\n  .", 1, true) and not text:find("-%d+-%d+ %(step"), "the folders behind the names are not told: " .. text)
end)

check.group("a copy whose weights were replaced, or whose metrics end early, is not called equal", function()
  local store, system = require "vbl.store.c", require "vbl.system.c"
  local copy = whole .. "-copy"
  check.equal(system.run {"cp", "-r", whole, copy}, 0)
  local weights, lines = store.read_file(copy .. "/checkpoints/last/model.safetensors"), store.read_file(copy .. "/metrics.jsonl")
  store.write_atomic(copy .. "/checkpoints/last/model.safetensors", weights:sub(1, -2) .. string.char(weights:byte(-1) ~ 1))
  local text = ask(copy)
  check.ok(text:find("last: not compared: ", 1, true) and text:find("its checksum differs", 1, true) and not text:find "\n  last %(" and not text:find "\n  %.", text)
  check.ok(text:find("epoch-1 (step 4): equal weights and moments", 1, true) and not text:find("metrics end", 1, true), text)
  store.write_atomic(copy .. "/metrics.jsonl", lines:sub(1, #lines // 2))
  check.ok(ask(copy):find "A's metrics end at step 8, B's at step %d\n")
  store.write_atomic(copy .. "/metrics.jsonl", "")
  check.ok(ask(copy):find("B has no metrics\n", 1, true))
  store.remove(copy)
end)

check.group("a run from before a key came into being, beside one that has its default", function()
  local store, system = require "vbl.store.c", require "vbl.system.c"
  local old = whole .. "-old"
  check.equal(system.run {"cp", "-r", whole, old}, 0)
  local config, count = store.read_file(old .. "/config.lua"):gsub("\n%s*ema = 0,[^\n]*", "")
  check.equal(count, 1)
  store.write_atomic(old .. "/config.lua", config)
  local text, found = ask(old)
  check.ok(#found.causes == 0 and not text:find("ema", 1, true), text)
  local _, other = ask(run("ema=0.5"))
  check.equal(causes_text(other.causes), "ema")
  check.equal(#vbl.runs.diff(vbl.runs.open(old), vbl.runs.open(run("ema=0.5"))).config, 1)
  store.remove(old)
end)

check.group("another order of summation: rounding from the start, and never more", function()
  local text, found = ask(run("micro_batch=4", "log_every=2"))
  check.ok(found.first.step == 0 and found.first.rounding and not found.beyond, text)
  check.equal(causes_text(found.causes), "micro_batch")
  check.ok(text:find("before training, step 0, within rounding\n  test.loss.", 1, true) and text:find("beyond rounding:  never", 1, true), text)
  check.ok(text:find "epoch%-1 %(step 4%): %d+ of 217 tensors differ, the first bert", text)
end)

check.group("what the first update does is seen in the second step", function()
  local plain = run("log_every=1")
  for _, key in ipairs {"weight_decay=0.5", "betas={0.5, 0.6}"} do
    local found = why(vbl.runs.open(plain), vbl.runs.open(run("log_every=1", key)))
    check.ok(found.first.step >= 2 and found.first.step <= 3, key .. found.first.step)
    check.equal(causes_text(found.causes), key:match "^[%a_]+")
  end
  local function tuned(...) return (trainer.expect(0, {trainer.finetune, "--threads", "1", script = true, "probe_samples=0", "epochs=1", "log_every=1", ...})) end
  local a = tuned("batch=16")
  local found = why(vbl.runs.open(a), vbl.runs.open(tuned("batch=24")))
  check.ok(found.first.step <= 1 and causes_text(found.causes):find "batch", causes_text(found.causes))
  found = why(vbl.runs.open(a), vbl.runs.open(tuned("batch=16", "layer_decay=0.5")))
  check.ok(found.first.step >= 1 and found.first.step <= 2)
  check.equal(causes_text(found.causes), "layer_decay")
end)

check.group("a key that alone differs is named, whenever it shows: in the losses, in the gradient, in a task's turn, at the end", function()
  local function named(script, shared, words)
    local function made(word)
      local all = table.move(shared, 1, #shared, 5, {script, "--threads", "1", "log_every=1", script = true})
      all[#all + 1] = word
      return (trainer.expect(0, all))
    end
    local a = vbl.runs.open(made())
    for _, word in ipairs(words) do
      local found = why(a, vbl.runs.open(made(word)))
      local key = word:match "^%-*([^=]*)"
      check.ok(found.first and (" " .. causes_text(found.causes) .. " "):find(" " .. key .. " ", 1, true),
               ("%s: first at %s; causes: %s"):format(word, found.first and found.first.step, causes_text(found.causes)))
    end
    return a
  end
  named(trainer.script, {"epochs=1"}, {"mix.how=sampled", "tasks.ap=false", "tasks.mim=false", "tasks.mim.target=stop", "tasks.ap.contrastive.learnable=true", "model.packed=false", "ema=0.5"})
  named(trainer.script, {"epochs=1", "mix.how=alternating"}, {"tasks.ap.weight=2", "tasks.mim.batch=8", "tasks.mim.target=stop"})
  local a = named(trainer.finetune, {"probe_samples=8"}, {"metric=loss", "batch=32"})
  named(trainer.finetune, {"epochs=1", "from=" .. a.path}, {"--seed=3"})
end)

check.group("another rate, and what it is not", function()
  local text, found = ask(run("lr=0.002", "clip=0.5", "checkpoint_every=1"))
  check.ok(found.first.step == 1 and not found.first.rounding and found.first.rows[1].name == "step.lr", text)
  check.ok(text:find("first difference: step 1\n", 1, true), text)
  check.equal(causes_text(found.causes), "clip lr")
  text, found = ask(run("clip=0.5", "tasks.mlm={weight=1}"))
  check.ok(found.first.step == 2 and found.beyond and found.beyond.far.step > 2, text)
  check.equal(causes_text(found.causes) .. "|" .. causes_text(found.others), "clip|tasks.mlm.weight")
end)

-- Two records with these rows of metrics {step, split, name, value in A, value in B} and keys {key = {a, b}}.
local made = 0

local function pair(rows, config, manifest)
  local records = {}
  made = made + 1
  for side = 1, 2 do
    local parts = {config = {}, manifest = {precision = "f32"}, metrics = {}}
    for i, row in ipairs(rows) do parts.metrics[i] = {step = row[1], split = row[2], name = row[3], value = row[3 + side]} end
    for key, values in pairs(config or {}) do parts.config[key] = values[side] end
    for key, values in pairs(manifest or {}) do parts.manifest[key] = values[side] end
    records[side] = vbl.runs.open(files:make(("%d-%d"):format(made, side), parts))
  end
  return why(records[1], records[2])
end

check.group("one task's draws: the others' options are no cause", function()
  local found = pair({{0, "test", "loss.mlm", 4, 4.1}, {0, "test", "loss.ap", 0.7, 0.7}}, {tasks = {{mlm = {probability = 0.15}, ap = {head = "concat"}},
                                                                                         {mlm = {probability = 0.3}, ap = {head = "similarity"}}}})
  check.equal(causes_text(found.causes) .. "|" .. causes_text(found.others), "tasks.mlm.probability|tasks.ap.head")
end)

check.group("what was equal before training cannot be the seed; dropout shows with the first step, decay later", function()
  local found = pair({{0, "test", "loss.mlm", 4, 4}, {1, "step", "loss.mlm", 4, 4.2}, {1, "step", "lr", 1, 1}}, {seed = {0, 1}, weight_decay = {0, 0.1},
                     model = {{dropout = 0}, {dropout = 0.1}}, checkpoint_every = {1, 2}})
  check.equal(causes_text(found.causes) .. "|" .. causes_text(found.others), "model.dropout|seed weight_decay")
  check.equal(found.others[1][4] .. ", " .. found.others[2][4], "would have shown before, acts later")
end)

check.group("where the first step is not logged, what its losses hang on may be the cause", function()
  local found = pair({{0, "test", "loss.mlm", 4, 4}, {1, "test", "loss.mlm", 4, 4.2}, {50, "step", "loss.mlm", 4, 4.2}}, {model = {{dropout = 0}, {dropout = 0.1}}, seed = {0, 1}})
  check.equal(causes_text(found.causes) .. "|" .. causes_text(found.others), "model.dropout|seed")
end)

check.group("a key that is nobody's but the script's may do anything; one that is set aside is no reason to doubt the memory", function()
  local rows = {{0, "test", "loss.mlm", 4, 4}, {1, "step", "loss.mlm", 4, 4}, {3, "step", "loss.mlm", 4, 4.1}}
  check.equal(causes_text(pair(rows, {margin = {1, 2}, patience = {1, 2}}).causes), "margin")
  local found = pair(rows, {model = {{dim = 8}, {dim = 16}}})
  check.equal(causes_text(found.causes) .. "|" .. causes_text(found.others), "|model.dim")
  local text = select(1, trainer.run {"why", files.path .. ("/%d-1"):format(made), files.path .. ("/%d-2"):format(made), script = true, "--out=" .. files.path})
  check.ok(text:find("cause: not clear", 1, true) and not text:find("memory", 1, true), text)
end)

check.group("no loss differs: the layer analysis tells", function()
  local found = pair({{0, "test", "loss.mlm", 4, 4}, {0, "probe.matched", "layer.0.cka", 0.5, 0.7}}, {probe_samples = {64, 32}}, {threads = {1, 2}})
  check.ok(not found.first.rounding and found.beyond.name == "probe.matched.layer.0.cka", tostring(found.first.rounding))
  check.equal(causes_text(found.causes) .. "|" .. causes_text(found.others), "probe_samples|threads")
end)

check.group("threads explain last bits and nothing else; bf16 has wider ones", function()
  local function threads(value, precision)
    return pair({{0, "test", "loss.mlm", 4, value}, {50, "step", "loss.mlm", 3, 3.3}}, {}, {threads = {1, 2}, precision = {precision, precision}})
  end
  local found = threads(4.00002, "f32")
  check.ok(found.first.rounding and found.beyond.far.step == 50 and causes_text(found.causes) == "threads", causes_text(found.causes))
  found = threads(4.02, "f32")
  check.ok(not found.first.rounding and #found.causes == 0 and causes_text(found.others) == "threads")
  found = pair({{0, "test", "loss.mlm", 4, 4.00002}}, {}, {ranks = {nil, 2}})
  check.ok(found.first.rounding and causes_text(found.causes) == "ranks", causes_text(found.causes))
  found = threads(4.02, "bf16")
  check.ok(found.first.rounding and causes_text(found.causes) == "threads")
end)

check.group("one sample of the training data, or one weight, may be met late", function()
  local rows = {{0, "test", "loss.mlm", 4, 4}, {1, "step", "loss.mlm", 4, 4}, {3, "step", "loss.mlm", 4, 4.1}}
  local found = pair(rows, {data = {"captions:a", "captions:b"}, seed = {0, 1}}, {data = {"captions:a", "captions:b"}, data_hash = {"x", "y"}, weights_hash = {"1", "2"}, build = {"1", "2"}})
  check.equal(causes_text(found.causes) .. "|" .. causes_text(found.others), "build data data_hash weights_hash|seed")
end)

check.group("weights under the same name that were replaced are on record", function()
  local store, system = require "vbl.store.c", require "vbl.system.c"
  local start = trainer.folder .. "/start"
  check.equal(system.run {"cp", "-rL", whole .. "/checkpoints/last", start}, 0)
  local words = {"epochs=1", "model.weights=" .. start}
  local before = run(table.unpack(words))
  local path = start .. "/model.safetensors"
  local bytes = store.read_file(path)
  local at = #bytes - 4001  -- of one weight the byte below its exponent
  store.write_atomic(path, bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 0x40) .. bytes:sub(at + 1))
  local a, b = vbl.runs.open(before), vbl.runs.open(run(table.unpack(words)))
  check.ok(a.manifest.weights_hash:find "^crc32:%x+$" and a.manifest.weights_hash ~= b.manifest.weights_hash, a.manifest.weights_hash)
  check.equal(causes_text(why(a, b).causes), "weights_hash")
end)

check.group("libraries of another machine: products round otherwise, decompositions in the layer analysis alone", function()
  local function other(name, rows) return pair(rows, {}, {libraries = {{[name] = "1"}, {[name] = "2"}}}) end
  check.equal(causes_text(other("onednn", {{0, "test", "loss.mlm", 4, 4.00002}}).causes), "libraries.onednn")
  check.equal(causes_text(other("onednn", {{0, "test", "loss.mlm", 4, 4.1}}).causes), "")
  check.equal(causes_text(other("jpeg", {{0, "test", "loss.mlm", 4, 4.1}}).causes), "libraries.jpeg")
  check.equal(causes_text(other("openblas", {{0, "test", "loss.mlm", 4, 4.00002}}).causes), "")
  check.equal(causes_text(other("openblas", {{0, "probe.matched", "layer.0.svcca", 0.5, 0.500001}}).causes), "libraries.openblas")
  local found = vbl.runs.open(whole).manifest.libraries
  check.ok(found.onednn:find "^%d" and found.openblas and found.utf8proc and found.jpeg)
end)

check.group("nothing on record: said so; NaN in both is equal", function()
  local found = pair {{0, "test", "loss.mlm", 0 / 0, 0 / 0}, {50, "step", "loss.mlm", 3, 3.3}}
  check.ok(found.first.step == 50 and #found.causes == 0 and #found.others == 0)
  local text = select(1, trainer.run {"why", files.path .. ("/%d-1"):format(made), files.path .. ("/%d-2"):format(made), script = true, "--out=" .. files.path})
  check.ok(text:find("cause: not in the runs' records", 1, true), text)
  check.ok(text:find("first difference: step 50 (nothing is logged of the 49 steps before it; log_every=1 logs each)", 1, true), text)
end)

check.group("mistakes", function()
  local function says(code, words, part)
    local text, got = require("vbl.system.c").output {"/bin/sh", "-c", "exec 2>&1; exec \"$@\"", "sh", require("vbl.system.c").executable(), "why", table.unpack(words)}
    check.ok(got == code and text:find(part, 1, true) and not text:find("traceback", 1, true), text)
  end
  says(0, {}, "usage: vbl why RUN RUN")
  says(1, {whole}, "why: expected two runs")
  says(1, {whole, "nothing", "--out", files.path}, "no run 'nothing'")
  says(1, {"--bad", whole}, "why: unknown flag '--bad' (there is --out DIR)")
end)

files:remove()
trainer.finish()

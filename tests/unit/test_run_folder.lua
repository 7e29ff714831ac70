-- The run folder: its files, checkpoints that survive damage and full disks, a resumed run's metrics, the event file's bytes.
local check = require "check"
local vbl = require "vbl"
local c = require "vbl.store.c"
local system = require "vbl.system.c"
local console = require "vbl.runs.console"
local events = require "vbl.runs.events"
local folder = require "vbl.runs.folder"
local metrics = require "vbl.runs.metrics"

local root = require "fresh_folder" "runs"

local function quiet(run)
  run.screen = console.new {write = function() end, width = function() end, clock = function() return 0 end}
  return run
end

local function new_run(name)
  return quiet(folder.create {out = root, name = name or "job", config = {epochs = 2, model = {dim = 8}, flags = {seed = 3}}, manifest = {data = "scenes"}})
end

local function parts(step)
  return {
    model = {names = {"w", "b"}, tensors = {vbl.full({2, 3}, step), vbl.zeros(3)}},
    optimizer = {names = {"m"}, tensors = {vbl.full({9}, step / 2)}},
    state = {step = step, best = 1 / 0, loss = 0 / 0, sums = {x = {0.1, 2}}, fingerprint = {lr = 1e-3, model = {dim = 8, layers = {1, 2}}}},
  }
end

local same = {lr = 1e-3, model = {dim = 8, layers = {1, 2}}}

check.group("files of a new run", function()
  local run = new_run "a b/c"
  check.ok(run.path:find("/%d%d%d%d%-%d%d%-%d%d%-%d%d%d%d%d%d%-a%-b%-c$"), run.path)
  local again = new_run "a b/c"
  check.ok(again.path ~= run.path)
  local config = folder.config(run.path)
  check.equal(config.model.dim, 8)
  check.equal(config.seed, 3)
  check.equal(config.flags, nil)
  local manifest = vbl.load(run.path .. "/manifest.json")
  check.equal(manifest.data, "scenes")
  check.ok(manifest.isa and manifest.threads and manifest.created)
  run:log("epoch %d", 1)
  run:warn("careful")
  check.ok(c.read_file(run.path .. "/log.txt"):find "^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d %- INFO %- epoch 1\n.* %- WARNING %- careful\n$")
  check.error(function() folder.open(run.path) end, "metrics.jsonl", "another process")
  run:close()
  again:close()
  check.error(function() folder.open(root) end, root, "not a run's folder")
end)

check.group("metric lines", function()
  check.equal(metrics.line {step = 5, epoch = 1, split = "train", name = "loss.ap", value = 0.1, time = 7},
              '{"step":5,"epoch":1,"split":"train","name":"loss.ap","value":0.1,"time":7}\n')
  check.equal(metrics.line {step = 5, name = "x", value = 0 / 0}, '{"step":5,"name":"x","value":"NaN"}\n')
  check.equal(metrics.without_time '{"step":5,"value":0.1,"time":7}\n{"step":6,"value":1.0,"time":8}\n', '{"step":5,"value":0.1}\n{"step":6,"value":1.0}\n')
  local run = new_run()
  check.error(function() run:metric {step = 1, nme = "x", value = 1} end, "unknown key 'nme'", "name")
  check.error(function() run:metric {step = 1, name = "x"} end, "value is missing")
  check.error(function() run:metric {step = 1.5, name = "x", value = 1} end, "metric: step: expected an integer, got 1.5")
  check.error(function() run:metric {step = 1, name = "x", value = "1"} end, "metric: value: expected a number")
  run:metric {step = 1, epoch = 0.5, name = "x", value = -1 / 0}
  run:metric {step = 2, name = "x", value = 1 / 3}
  run:close()
  local file <close> = c.append(run.path .. "/metrics.jsonl")
  file:write '{"step":3'  -- a writer killed in its line
  local rows = metrics.read(run.path .. "/metrics.jsonl")
  check.equal(#rows, 2)
  check.equal(rows[1].value, -math.huge)
  check.equal(rows[1].epoch, 0.5)
  check.equal(rows[2].value, 1 / 3)
end)

check.group("checkpoint and back", function()
  local run = new_run()
  check.equal(run:load_checkpoint "last", nil)
  for step = 1, 3 do check.equal(run:checkpoint("last", parts(step)), true) end
  check.equal(#system.list(run.path .. "/checkpoints"), 2)  -- the link and what it names
  local got = run:load_checkpoint("last", same)
  check.equal(got.model.w:totable()[2][3], 3)
  check.equal(got.optimizer.m:totable()[9], 1.5)
  check.equal(got.state.step, 3)
  check.equal(math.type(got.state.step), "integer")
  check.equal(got.state.best, math.huge)
  check.ok(got.state.loss ~= got.state.loss)
  check.equal(got.state.sums.x[1], 0.1)
  check.equal(got.state.fingerprint, nil)
  check.error(function() run:checkpoint("newest", parts(1)) end, "last, best or epoch-N")
  run:close()
end)

check.group("a resume that is refused leaves what the run came to", function()
  local run = new_run()
  run:checkpoint("last", parts(1))
  run:metric {step = 2, name = "x", value = 1}
  run:close()
  local result, weights = run.path .. "/result.json", run.path .. "/checkpoints/last/model.safetensors"
  local metrics_text, whole = c.read_file(run.path .. "/metrics.jsonl"), c.read_file(weights)
  c.write_atomic(result, '{"status": "finished"}')
  c.write_atomic(weights, whole:sub(1, -2))
  local again = folder.open(run.path)
  check.error(function() again:load_checkpoint("last", same) end, "model.safetensors")
  check.equal(c.read_file(result), '{"status": "finished"}')
  check.equal(c.read_file(run.path .. "/metrics.jsonl"), metrics_text)
  c.write_atomic(weights, whole)
  check.equal(again:load_checkpoint("last", same).state.step, 1)
  check.ok(not system.exists(result))
  again:close()
end)

check.group("foreign and damaged checkpoints", function()
  local run = new_run()
  run:checkpoint("last", parts(1))
  check.error(function() run:load_checkpoint("last", {lr = 1e-3, model = {dim = 16, layers = {1, 3}}}) end, "checkpoints/last", "'model.dim' is 8", "16 in this config")
  check.error(function() run:load_checkpoint("last", {lr = 1e-3, model = {dim = 8, layers = {1, 2, 3}}}) end, "'model.layers.3' is nothing", "3 in this config")
  run:checkpoint("epoch-1", parts(1))
  check.error(function() run:load_checkpoint "best" end, "best: there is no such checkpoint", "epoch-1, last")
  for _, name in ipairs {"model.safetensors", "optimizer.safetensors", "state.json"} do
    run:checkpoint("last", parts(2))
    local path = run.path .. "/checkpoints/last/" .. name
    local text = c.read_file(path)
    for _, cut in ipairs {0, 7, #text // 2, #text - 2} do  -- state.json without its last line end is whole
      c.write_atomic(path, text:sub(1, cut))
      check.error(function() run:load_checkpoint("last", same) end, path, "whole checkpoints of this run: epoch-1", "cp -rL")
    end
    c.remove(path)
    check.error(function() run:load_checkpoint("last", same) end, path)
    if name ~= "state.json" then
      c.write_atomic(path, text:sub(1, #text - 1) .. string.char(text:byte(-1) ~ 1))
      check.error(function() run:load_checkpoint("last", same) end, path, "checksum")
    end
  end
  local folders = run.path .. "/checkpoints"
  check.equal(system.run {"sh", "-c", ("rm -r '%s/last'; cp -rL '%s/epoch-1' '%s/last'"):format(folders, folders, folders)}, 0)
  check.equal(run:load_checkpoint("last", same).state.step, 1)
  check.equal(run:checkpoint("last", parts(5)), true)
  check.equal(run:load_checkpoint("last", same).state.step, 5)
  run:close()
end)

check.group("a checkpoint that cannot be written leaves the older one", function()
  local run = new_run()
  run:checkpoint("last", parts(1))
  local bad = parts(2)
  bad.state.f = print
  local ok, message = run:checkpoint("last", bad)
  check.equal(ok, nil)
  check.ok(message:find("a function has no JSON form", 1, true), message)
  check.equal(run:load_checkpoint("last", same).state.step, 1)
  check.equal(#system.list(run.path .. "/checkpoints"), 2)
  run:close()
end)

local function train(run, from, to, stop)
  for step = from, to do
    run:metric {step = step, epoch = 0, split = "step", name = "loss.ap", value = 1 / step}
    run:log("step %d", step)
    if step % 4 == 0 then run:checkpoint("last", parts(step)) end
    if step == stop then return end
  end
end

local function contents(run) return metrics.without_time(c.read_file(run.path .. "/metrics.jsonl")) end

check.group("a resumed run writes what an uninterrupted one writes", function()
  local whole, cut = new_run(), new_run()
  train(whole, 1, 10)
  train(cut, 1, 10, 7)
  cut:close()
  local leftover = cut.path .. "/checkpoints/.last-1-0"
  c.make_folder(leftover)
  local run, stored = folder.open(cut.path .. "/")
  quiet(run)
  check.equal(stored.config.epochs, 2)
  check.ok(not system.exists(leftover))
  local got = run:load_checkpoint("last", same)
  check.equal(got.state.step, 4)
  train(run, got.state.step + 1, 10)
  check.equal(contents(run), contents(whole))
  check.equal(select(2, c.read_file(run.path .. "/log.txt"):gsub("\n", "")), 10)
  check.equal(#c.read_file(run.path .. "/events.out.tfevents.vbl"), #c.read_file(whole.path .. "/events.out.tfevents.vbl"))
  run:close()
  whole:close()
end)

check.group("resumed before its first checkpoint: from the start", function()
  local cut = new_run()
  train(cut, 1, 2)
  cut:close()
  local run = quiet((folder.open(cut.path)))
  check.equal(run:load_checkpoint("last", same), nil)
  train(run, 1, 3)
  check.equal(select(2, contents(run):gsub("\n", "")), 3)
  run:close()
end)

check.group("log files shorter than the checkpoint says", function()
  local cut = new_run()
  train(cut, 1, 4)
  cut:close()
  c.write_atomic(cut.path .. "/metrics.jsonl", "")
  local run = quiet((folder.open(cut.path)))
  check.error(function() run:load_checkpoint("last", same) end, "metrics.jsonl", "has 0 bytes")
  run:close()
end)

-- From TensorBoard's own writer and its protocol buffers: Event(wall_time=1.5, file_version="brain.Event:2") and Event(wall_time=2.5, step=300,
-- summary=Summary(value=[Value(tag="train/loss", simple_value=0.25)])).
check.group("event records", function()
  local function bytes(hex) return (hex:gsub("%s", ""):gsub("..", function(x) return string.char(tonumber(x, 16)) end)) end
  check.equal(events.header(1.5), bytes "18000000 00000000 a37f4b22 09000000 000000f8 3f1a0d62 7261696e 2e457665 6e743a32 2a28646c")
  check.equal(events.scalar(2.5, 300, "train/loss", 0.25), bytes "21000000 00000000 017becf6 09000000 00000004 4010ac02 2a130a11 0a0a7472 61696e2f 6c6f7373 15000080 3e3cc9ca c5")
  check.equal(events.image(1.5, 7, "plots/loss", bytes "89504e47 0d0a1a0a 0000000d 49484452 00000003 00000102"), bytes "3e00000000000000d9d240e709000000000000f83f10072a310a2f0a0a706c6f74732f6c6f7373222108820210031803221889504e470d0a1a0a0000000d49484452000000030000010257938c54")
  check.equal(events.text(1.5, 0, "config", "# hi"), bytes "2b00000000000000861bc34b09000000000000f83f2a200a1e0a06636f6e666967420a080712004204232068694a080a060a04746578748b54dc17")
  check.equal(events.session_start(2.5, {a = {lr = 0.5}, b = true, c = "late", d = {1, 2}}),
              bytes [[8500000000000000e98acc590900000000000004402a7a0a780a1c5f68706172616d735f2f73657373696f6e5f73746172745f696e666f4206080112
                     0212004a500a4e0a0768706172616d7312431a410a110a04612e6c72120911000000000000e03f0a070a0162120220010a0b0a016312061a046c6174
                     650a0d0a016412081a067b312c20327d290000000000000440fb58d24a]])
  check.equal(events.session_end(2.5, "finished"),
              bytes "4d000000000000003d63d4a60900000000000004402a420a400a1a5f68706172616d735f2f73657373696f6e5f656e645f696e666f42060801120212004a1a0a180a0768706172616d73120d220b0801110000000000000440dcd10fd4")
  check.error(function() events.image(1, 1, "x", "GIF89a") end, "'x': not a PNG file")
end)

-- Tags of the values in an event file, by their fields' bytes.
local function tags_of(text)
  local tags, at = {}, 1
  while at <= #text do
    local n = string.unpack("<I8", text, at)
    local body = text:sub(at + 12, at + 11 + n)
    tags[#tags + 1] = body:match "config" or body:match "_hparams_/session_%a+_info" or body:match "plots/loss" or body:match "predictions/val" or body:match "brain" or body:match "loss%.ap"
    at = at + n + 16
  end
  return table.concat(tags, " "), text
end

check.group("the event file of a whole run", function()
  local run = new_run()
  train(run, 1, 1)
  c.make_folder(run.path .. "/plots")
  vbl.save(run.path .. "/plots/loss.png", vbl.zeros(3, 4, 5, {dtype = "u8"}))
  c.make_folder(run.path .. "/predictions")
  c.write_atomic(run.path .. "/predictions/val.jsonl", '{"task":"t","split":"val","kind":"multilabel","classes":["drama","war"],"thresholds":null}\n{"id":"a|b","label":[1],"scores":[0.25,0.5]}\n' ..
                   '{"id":2,"label":null,"scores":{"0":0.75}}\n')
  c.write_atomic(run.path .. "/result.json", '{"status":"finished"}')
  run:close()
  run:close()
  local tags, text = tags_of(c.read_file(run.path .. "/events.out.tfevents.vbl"))
  check.equal(tags, "brain config _hparams_/session_start_info loss.ap plots/loss predictions/val _hparams_/session_end_info")
  check.ok(text:find("| a\\|b | war | war 0.500, drama 0.250 |\n| 2 | ? | drama 0.750 |", 1, true))
  check.ok(text:find("\n        dim = 8", 1, true))
  local broken = new_run()
  c.make_folder(broken.path .. "/plots")
  c.write_atomic(broken.path .. "/plots/loss.png", "no image")
  local said = ""
  broken.screen.line = function(t) said = t end
  broken:close()
  check.ok(said:find("not complete: event image 'plots/loss': not a PNG", 1, true), said)
end)

check.group("console", function()
  local out, now, width = {}, 0, 20
  local screen = console.new {write = function(t) out[#out + 1] = t end, width = function() return width end, clock = function() return now end}
  local function flush()
    local text = table.concat(out)
    out = {}
    return text
  end
  screen.progress "short"
  check.equal(flush(), "\r\27[Kshort")
  screen.progress "too soon"
  check.equal(flush(), "")
  now = 1
  screen.progress "éééééééééééééééééééééééééé"
  check.equal(flush(), "\r\27[K" .. ("é"):rep(19))
  screen.line "log"
  check.equal(flush(), "\r\27[Klog\n" .. ("é"):rep(19))
  screen.clear()
  screen.line "end"
  check.equal(flush(), "\r\27[Kend\n")
  width = nil
  now = 30
  screen.progress "plain"
  check.equal(flush(), "")
  now = 100
  screen.progress "plain"
  check.equal(flush(), "plain\n")
end)

check.done()

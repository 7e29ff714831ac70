-- Sweeps as processes, for tests. The experiment is a quadratic with the form of a training: epochs, metrics, checkpoints, a result; it can be
-- told to do harm at a chosen moment.
--   sweeps.folder                       a fresh folder (fresh_folder.lua)
--   sweeps.toy                          the path of the experiment: x, y, kind, epochs, pause (seconds an epoch), harm ("WHAT EPOCH")
--   sweeps.write(name, text) -> path
--   sweeps.file(name, text) -> path     a sweep's file: `text` are the fields of vbl.sweep{...} beside name, experiment and folder
--   sweeps.run{word, ...} -> output of both streams, exit code      vbl with these words
--   sweeps.entries(folder) -> the journal's entries in order
--   sweeps.check_journal(folder, seeds) -> ends      every run of every trial ended once, attempts count up; ends[trial][seed] = the entry
--   sweeps.processes(folder) -> numbers of the processes that have the folder among their words
-- harm, done once a trial: kill-worker, kill-all (every process of the sweep, this one too), kill-self, fail, nan, crash.
local check = require "check"
local c = require "vbl.store.c"
local journal_of = require "vbl.sweep.journal"
local system = require "vbl.system.c"

local sweeps = {}

sweeps.folder = require "fresh_folder" "sweep"

function sweeps.write(name, text)
  local path = sweeps.folder .. "/" .. name
  c.write_atomic(path, text)
  return path
end

sweeps.toy = sweeps.write("toy.lua", [[
local c = require "vbl.store.c"
local folder = require "vbl.runs.folder"
local system = require "vbl.system.c"

local config = vbl.config {x = 0.0, y = 0.0, kind = "a", layers = {1, 2}, epochs = 3, pause = 0.0, harm = "", report = "loss"}
if config.flags.plan then return end

local flags, run, stored = config.flags, nil, nil
if flags.resume then
  run, stored = folder.open(flags.resume)
  config, flags.seed = stored.config, stored.config.seed
else
  run = folder.create {out = flags.out, name = flags.name, config = config, manifest = {kind = "pretrain", total_parameters = math.floor(100 * config.y)}}
end
local saved = flags.resume and run:load_checkpoint "last"
local epoch = saved and saved.state.epoch or 0

local function hit(what, at)
  local marker = ("%s/harm-%g-%s"):format(run.path:match "^(.*)/", config.x, config.harm:gsub("%W", "-"))
  if config.harm ~= what .. " " .. at or system.exists(marker) then return false end
  c.write_atomic(marker, "")
  return true
end

local function kill(pid) system.run {"/bin/kill", "-9", tostring(pid)} end

local function harm(at)
  if hit("kill-worker", at) then
    kill(io.open("/proc/self/stat"):read("a"):match "^.*%) %S+ (%d+)")
    system.sleep(20)  -- until the worker's end has come through to this process as SIGTERM
  end
  if hit("kill-all", at) then
    local command = {"/bin/kill", "-9"}  -- one for all, workers first: who outlives its parent would be told to end in good order
    local pids = {}
    for _, name in ipairs(system.list "/proc") do pids[#pids + 1] = tonumber(name) end
    table.sort(pids, function(a, b) return a > b end)
    for _, name in ipairs(pids) do
      local file = name ~= system.pid() and io.open("/proc/" .. name .. "/cmdline")
      if file and (file:read "a" or ""):find((flags.resume or flags.out):match "^(.*)/trials", 1, true) then command[#command + 1] = tostring(name) end
      if file then file:close() end
    end
    command[#command + 1] = tostring(system.pid())
    system.run(command)
  end
  if hit("kill-self", at) then kill(system.pid()) end
  if hit("crash", at) then system.run {"/bin/kill", "-6", tostring(system.pid())} end
  if hit("fail", at) then error("told to fail at epoch " .. at, 0) end
end

local function loss(e) return (config.x - 0.3) ^ 2 + config.y ^ 2 + (config.kind == "a" and 0 or 1) + 0.01 * flags.seed + 0.1 / e end

while epoch < config.epochs do
  harm(epoch)
  if config.pause > 0 then system.sleep(config.pause) end
  epoch = epoch + 1
  local value = config.harm == "nan" and 0 / 0 or loss(epoch)
  run:metric {step = epoch, epoch = epoch, split = "val", name = config.report, value = value}
  run:checkpoint("last", {state = {epoch = epoch}})
end
c.write_atomic(run.path .. "/result.json", c.json_encode({status = "finished", seed = flags.seed, kind = "pretrain",
  values = {["val." .. config.report] = config.harm == "nan" and 0 / 0 or loss(epoch)}}, {nan = "string"}))
harm "end"
run:close()
]])

function sweeps.file(name, text)
  return sweeps.write(name .. ".lua", ("local sweep = vbl.sweep\nvbl.sweep {name = %q, experiment = %q, folder = %q,\n%s}\n"):format(
    name, sweeps.toy, sweeps.folder .. "/" .. name, text))
end

function sweeps.run(words)
  return system.output {"sh", "-c", 'exec 2>&1; exec "$@"', "sh", system.executable(), table.unpack(words)}
end

-- A run's output and code against what they have to be; the texts have to be in the output.
function sweeps.expect(code, words, ...)
  local text, got = sweeps.run(words)
  local missing = {}
  for _, part in ipairs {...} do
    if not text:find(part, 1, true) then missing[#missing + 1] = ("%q"):format(part) end
  end
  check.ok(got == code and #missing == 0, ("%s: exit code %s, expected %d; output lacks %s: ...%s"):format(table.concat(words, " "), got, code,
                                                                                                        table.concat(missing, ", "), text:sub(-1500)))
  return text
end

function sweeps.entries(folder) return journal_of.open(folder, "reader"):read() end

local final = {finished = true, failed = true, pruned = true}

function sweeps.check_journal(folder, seeds)
  local ends, attempts, trials = {}, {}, 0
  for _, e in ipairs(sweeps.entries(folder)) do
    local key = e.trial and e.seed and e.trial .. " " .. e.seed
    if e.type == "trial" then
      check.equal(e.trial, trials)
      trials, ends[e.trial] = trials + 1, {}
    elseif e.type == "start" then
      check.equal(e.attempt, (attempts[key] or 0) + 1)
      attempts[key] = e.attempt
    elseif e.type == "end" and final[e.status] then
      check.ok(not ends[e.trial][e.seed], "run " .. key .. " ended twice")
      check.equal(e.attempt, attempts[key])
      ends[e.trial][e.seed] = e
    end
  end
  for number = 0, trials - 1 do
    for _, seed in ipairs(seeds) do check.ok(ends[number][seed], ("trial %d seed %d has no end"):format(number, seed)) end
  end
  return ends
end

function sweeps.processes(folder)
  local list = {}
  for _, name in ipairs(system.list "/proc") do
    local pid = tonumber(name)
    local file = pid and pid ~= system.pid() and io.open("/proc/" .. name .. "/cmdline")
    if file then
      if ((file:read "a") or ""):find(folder, 1, true) then list[#list + 1] = pid end
      file:close()
    end
  end
  return list
end

sweeps.finish = check.done

return sweeps

-- A run of a trial: a process `vbl EXPERIMENT key=value ... --seed N --out FOLDER/trials --name trial-0007`, and what its run folder says.
--
--   trial.name(definition, run, attempt) -> "trial-0007", with several seeds "trial-0007-seed-1", begun anew "trial-0007.2"
--   trial.words(definition, config) -> {"key=value", ...}
--   trial.command(definition, folder, trial, run, attempt, opts) -> the process's words; opts {resume=RUN, device=}
--   trial.folder(folder, definition, run) -> the run's folder of its newest attempt, nil before there is one
--   trial.resumable(path) -> whether it has a checkpoint to go on from, and no process writes it
--   trial.outcome(definition, path, code, output) -> {status=, values=, message=}     path nil: the process made no run folder
--   trial.reports(definition, path) -> list of {at=, values=, last=} from metrics.jsonl, epoch 0 (before training) left out; last: it is of the
--     last step that the manifest names, after which there is nothing left to save
local objective = require "vbl.sweep.objective"
local process = require "vbl.process"
local runs = require "vbl.runs"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local values = require "vbl.config.values"

local trial = {}

local function base_name(definition, run)
  local name = ("trial-%04d"):format(run.trial)
  return #definition.seeds > 1 and ("%s-seed-%d"):format(name, run.seed) or name
end

function trial.name(definition, run, attempt)
  return base_name(definition, run) .. (attempt > 1 and "." .. attempt or "")
end

function trial.words(config)
  local words = {}
  for key, value in pairs(config) do words[#words + 1] = ("%s=%s"):format(key, type(value) == "string" and value or values.show(value)) end
  table.sort(words)
  return words
end

function trial.command(definition, folder, config, run, attempt, opts)
  local command = {system.executable(), definition.experiment}
  local function add(...) table.move({...}, 1, select("#", ...), #command + 1, command) end
  if opts.resume then
    add("--resume", opts.resume)
  else
    add(table.unpack(trial.words(config)))
    add("--seed", tostring(run.seed), "--out", folder .. "/trials", "--name", trial.name(definition, run, attempt))
  end
  add("--threads", tostring(definition.threads))
  if opts.device then add("--device", opts.device) end
  return command
end

-- DATE-TIME-NAME or DATE-TIME-NAME.ATTEMPT; run folders of other trials differ in NAME.
function trial.folder(folder, definition, run)
  local wanted, best, best_attempt = base_name(definition, run), nil, 0
  for _, name in ipairs(system.list(folder .. "/trials") or {}) do
    local rest = name:match "^%d+%-%d+%-%d+%-%d+%-(.*)$"
    local stem, attempt = (rest or ""):match "^(.*)%.(%d+)$"
    if (stem or rest) == wanted and (tonumber(attempt) or 1) > best_attempt and system.exists(("%s/trials/%s/config.lua"):format(folder, name)) then
      best, best_attempt = ("%s/trials/%s"):format(folder, name), tonumber(attempt) or 1
    end
  end
  return best
end

function trial.resumable(path) return system.exists(path .. "/checkpoints/last") and not runs.open(path):locked() end

local function failed(format, ...) return {status = "failed", message = format:format(...)} end

-- Everything that the run reports, for the message that says that the objective is not among it.
local function reported(record)
  local list = {}
  for name in pairs(next(record.values) and record.values or (record:last())) do
    if name:find "^%l+%." and not name:find "^step%." and not name:find "%.layer%." then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

local function scored(definition, record)
  local found = objective.of_record(definition.objectives, record)
  for _, o in ipairs(definition.objectives) do
    local value = found[o.name]
    if type(value) ~= "number" then
      local list = reported(record)
      return failed("reports no '%s'%s; it reports: %s", o.name, require("vbl.nearest").hint(o.name, list), #list > 0 and table.concat(list, ", ") or "nothing")
    end
    if value ~= value or math.abs(value) == math.huge then return failed("%s is %s", o.name, tostring(value)) end
  end
  return {status = "finished", values = found}
end

local signals = {[4] = "SIGILL", [6] = "SIGABRT", [7] = "SIGBUS", [8] = "SIGFPE", [11] = "SIGSEGV"}

function trial.outcome(definition, path, code, output)
  local record = path and runs.open(path)
  if code == 128 + 2 or code == 128 + 15 then return {status = "released", killed = true, message = "was stopped from outside"} end
  if code == 128 + 9 then return {status = "released", killed = true, message = "was killed (signal 9; out of memory?)"} end
  if code > 128 then return failed("ended by signal %d%s", code - 128, signals[code - 128] and " (" .. signals[code - 128] .. ")" or "") end
  if code ~= 0 then
    local message = record and record.status == "failed" and record.message
    return failed("%s", message or system.exists(output) and process.last_words(store.read_file(output)) or "exit code " .. code)
  end
  if not record then return failed("made no run folder under --out: an experiment of a sweep trains through vbl.train, or makes one itself") end
  if record.status == "failed" then return failed("%s", record.message or "its result.json says failed") end
  return scored(definition, record)
end

function trial.reports(definition, path)
  local record, by_epoch, list, steps = runs.open(path), {}, {}, {}
  local constants = objective.of_record(definition.objectives, {values = {}, manifest = record.manifest, last = function() return {} end})
  for _, row in ipairs(record:metrics()) do
    local name, at = objective.of_row(definition.objectives, row, record.task), row.epoch or row.step
    if name and at > 0 then
      by_epoch[at] = by_epoch[at] or setmetatable({}, {__index = constants})
      by_epoch[at][name], steps[at] = row.value, row.step
    end
  end
  for at, found in pairs(by_epoch) do
    local complete = {}
    for _, o in ipairs(definition.objectives) do complete[o.name] = found[o.name] end
    local whole = true
    for _, o in ipairs(definition.objectives) do whole = whole and type(complete[o.name]) == "number" and complete[o.name] == complete[o.name] end
    if whole then list[#list + 1] = {at = at, values = complete, last = (steps[at] or 0) >= (record.manifest.steps or math.huge)} end
  end
  table.sort(list, function(a, b) return a.at < b.at end)
  return list
end

return trial

-- vbl sweep FILE [key=value ...] [flags]     the same as vbl FILE: begins the sweep that the file says
-- vbl sweep status FOLDER                    its trials, the best, what failed and why
-- vbl sweep resume FOLDER [jobs=N] [trials=N] [--retry]     goes on, with more trials, or with the failed ones again
-- vbl sweep worker FOLDER [--device D] [--no-wait]          one worker more, here; what a Slurm array runs
local nearest = require "vbl.nearest"
local system = require "vbl.system.c"
local trimmed = require "vbl.trimmed"
local usage = require "vbl.usage"
local words = require "vbl.words"

local help = [[
usage: vbl sweep FILE [key=value ...] [flags]               begins the sweep that a Lua file says (the same as vbl FILE)
       vbl sweep status FOLDER                              its trials, the best, what failed and why
       vbl sweep resume FOLDER [jobs=N] [trials=N] [--retry]  goes on after an interrupt or a kill; trials=N: with more of them;
                                                            --retry: failed ones again
       vbl sweep worker FOLDER [--device D] [--no-wait]     one more worker, here; --no-wait: ends when nothing is left to begin]]

local subcommands = {"status", "resume", "worker"}

local function folder_of(name, folder)
  if not folder or folder:find "^%-" then usage(("sweep %s: expected the sweep's folder\n%s"):format(name, help)) end
  return trimmed(folder)
end

local run = {}

function run.status(folder, more)
  if more then usage(("sweep status: expected one folder, got '%s' too"):format(more)) end
  local reached = require("vbl.sweep.status").open(folder_of("status", folder))
  print(reached)
  local ok, message = pcall(require("vbl.sweep.results").write, reached)  -- somebody else's sweep can be looked at all the same
  if not ok then print(("(trials.tsv and the figure were not written: %s)"):format(usage.strip(tostring(message)))) end
end

function run.resume(folder, ...)
  folder = folder_of("resume", folder)
  local more, options, flags = words.parse("sweep resume", {...}, {retry = ""}, true)
  for key, n in pairs(options) do
    if key ~= "jobs" and key ~= "trials" then
      more[#more + 1] = ("%s=%s"):format(key, n)
    elseif math.type(n) ~= "integer" or n < 1 then
      usage(("sweep resume: %s: expected a whole number from 1, got '%s'"):format(key, n))
    end
  end
  if #more > 0 then usage(("sweep resume: expected jobs=N, trials=N or --retry, got '%s'"):format(more[1])) end
  require("vbl.sweep.start").resume(folder, {retry = flags.retry, jobs = options.jobs, trials = options.trials})
end

function run.worker(folder, ...)
  folder = folder_of("worker", folder)
  local more, _, flags = words.parse("sweep worker", {...}, {device = "D", ["no-wait"] = ""})
  if #more > 0 then usage(("sweep worker: expected --device D or --no-wait, got '%s'"):format(more[1])) end
  local opts = {print = print, device = flags.device, wait = not flags["no-wait"]}
  return require("vbl.sweep.worker").run(folder:find "^/" and folder or assert(system.cwd()) .. "/" .. folder, opts)
end

local function begin(file, ...)
  if not system.exists(file) then usage(("sweep: %s: no such file, and no command%s\n%s"):format(file, nearest.hint(file, subcommands), help)) end
  local chunk, message = loadfile(file)
  if not chunk then usage(message) end
  arg = {[0] = file, ...}
  chunk(...)
end

return function(name, ...)
  if not name or name == "help" or name == "--help" then return print(help) end
  if not run[name] then return begin(name, ...) end
  for _, word in ipairs {...} do
    if word == "--help" then return print(help) end
  end
  local ok, result = xpcall(run[name], usage.explain, ...)
  if ok then return result end
  if type(result) == "table" then error(result, 0) end
  usage(usage.strip(result))
end

-- Workers as a Slurm array: FOLDER/slurm.sh, submitted by sbatch. Every element of the array is `vbl sweep worker FOLDER`; what one of them
-- leaves when it is cancelled or its time is over goes on in another, or after `vbl sweep resume FOLDER`.
--
--   slurm = {jobs = 8, time = "04:00:00", partition = "gpu", options = {"--gres=gpu:1", "--mem=16G"}}     jobs: elements of the array
--   slurm.read(given) -> the same, checked
--   slurm.script(folder, definition, cwd, opts) -> the text of slurm.sh
--   slurm.submit(folder, definition, cwd, opts) -> the job's number; raises what sbatch says
local c = require "vbl.store.c"
local nearest = require "vbl.nearest"
local system = require "vbl.system.c"

local slurm = {}

local keys = {jobs = "number", time = "string", partition = "string", options = "table"}

function slurm.read(given)
  for key, value in pairs(given) do
    if not keys[key] then error(("sweep: slurm: unknown key '%s'%s"):format(tostring(key), nearest.hint(tostring(key), keys)), 0) end
    if type(value) ~= keys[key] then error(("sweep: slurm: %s: expected a %s, got %s"):format(key, keys[key], tostring(value)), 0) end
  end
  if not math.tointeger(given.jobs) or given.jobs < 1 then error("sweep: slurm: jobs: expected how many elements the array has, such as 8", 0) end
  return given
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- SIGTERM comes 90 s before the time limit, to the worker (exec: it is the batch process), which saves and releases its run.
function slurm.script(folder, definition, cwd, opts)
  local lines = {"#!/bin/sh"}
  local function option(format, ...) lines[#lines + 1] = "#SBATCH " .. format:format(...) end
  option("--job-name=%s", definition.name)
  option("--array=1-%d", opts.jobs)
  option("--ntasks=1")
  option("--cpus-per-task=%d", definition.threads)
  option("--chdir=%q", cwd)
  option("--output=%q", folder .. "/output/slurm-%A_%a.txt")
  option("--signal=B:TERM@90")
  if opts.time then option("--time=%s", opts.time) end
  if opts.partition then option("--partition=%s", opts.partition) end
  for _, text in ipairs(opts.options or {}) do option("%s", text) end
  lines[#lines + 1] = ("exec %s sweep worker %s --no-wait"):format(quote(system.executable()), quote(folder))
  return table.concat(lines, "\n") .. "\n"
end

function slurm.submit(folder, definition, cwd, opts)
  local path = folder .. "/slurm.sh"
  c.write_atomic(path, slurm.script(folder, definition, cwd, opts))
  local text, code = system.output {"sh", "-c", 'exec sbatch --parsable "$0" 2>&1', path}
  if not text then error("sweep: " .. code, 0) end
  local job = text:match "^(%d+)" or text:match "\n(%d+)[^\n]*%s*$"  -- behind what sbatch may have to say
  if code ~= 0 or not job then error(("sweep: %s was not submitted: %s"):format(path, (text:gsub("%s+$", ""))), 0) end
  return job
end

return slurm

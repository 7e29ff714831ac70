-- A run's folder, runs/DATE-TIME-NAME/: config.lua, manifest.json, log.txt, metrics.jsonl, warnings.jsonl, TensorBoard events,
-- checkpoints/, plots/.
-- One process writes it (metrics.jsonl is locked); files that grow do so by whole lines, the others are replaced as a whole.
--
--   folder.create{out = "runs", name=, config = table, manifest = table, files = {name -> text}} -> run
--     config.lua is written last: a folder with it is a whole run, one without it (a writer killed that early) is none
--   folder.open(path) -> run, {config = table}     to go on: what killed writers left is cleaned
--     the first run:load_checkpoint then removes result.json and cuts the growing files to what they were at that checkpoint, so that the rest
--     of the run writes the same metrics as one that was never stopped
--   run.path
--   run:log(format, ...)  run:warn(format, ...)     "2025-09-03 21:03:36 - INFO - text" to the console and log.txt
--   run:alarm{step=, epoch=, kind=, text=}     what is odd in the run's numbers (docs/guards.md): a line of warnings.jsonl, and run:warn
--   run:metric{step=, epoch=, split=, name=, value=}     to metrics.jsonl (vbl.runs.metrics) and the event file
--   run:text(step, tag, markdown)  run:image(step, tag, png)     to the event file alone
--   run:progress(text)     one line redrawn on a terminal (vbl.runs.console)
--   run:checkpoint(kind, parts) -> true, or nil and a message (disk full: the older one is intact)     vbl.runs.checkpoint
--   run:load_checkpoint(kind[, fingerprint]) -> {NAME = name -> tensor, state=}, or nil when the run has no checkpoint
--   run:plots()     draws plots/ from metrics.jsonl
--   run:sync()      what was written is on the disk
--   run:close()     and the event file gets the plots, samples of the predictions, and how the run ended
local c = require "vbl.store.c"
local checkpoint = require "vbl.runs.checkpoint"
local config_values = require "vbl.config.values"
local console = require "vbl.runs.console"
local events = require "vbl.runs.events"
local merged = require "vbl.merged"
local metrics = require "vbl.runs.metrics"
local system = require "vbl.system.c"
local trimmed = require "vbl.trimmed"
local usage = require "vbl.usage"
local visible = require "vbl.visible"

local folder = {}

local Run = {}
Run.__index = Run

local EVENTS = "events.out.tfevents.vbl"
local growing = {"metrics.jsonl", "warnings.jsonl", "log.txt", EVENTS}

-- A disk that refuses is no mistake in any code: one sentence, without the place that wrote and its traceback.
local function append(run, name, text)
  local ok, message = pcall(run.files[name].write, run.files[name], text)
  if ok then return end
  if system.interrupted() then error(message, 0) end
  usage(usage.strip(message))
end

-- Opens the growing files, metrics.jsonl with its lock first.
local function attach(path, config)
  local run = setmetatable({path = path, config = config, files = {}, screen = console.new()}, Run)
  for _, name in ipairs(growing) do run.files[name] = c.append(path .. "/" .. name) end
  return run
end

-- The config is there from the first moment: as text, and as the hyperparameters of a session.
local function begin_events(run)
  local time = os.time()
  if run.files[EVENTS]:tell() > 0 then return end
  append(run, EVENTS, events.header(time))
  local code = ("    " .. config_values.write(run.config)):gsub("\n", "\n    ")  -- indented: Markdown's code
  run:text(0, "config", code)
  append(run, EVENTS, events.session_start(time, run.config))
end

-- out/DATE-TIME-NAME, made; -2, -3, ... behind it when it is taken.
local function make(out, name)
  name = name:gsub("[^%w%-_.]+", "-")
  local base = ("%s/%s-%s"):format(out, os.date "%Y-%m-%d-%H%M%S", name)
  local path, n = base, 1
  while not c.make_folder(path) do
    n = n + 1
    path = base .. "-" .. n
  end
  return path
end

-- The config as plain values: its keys without the flags, and the seed, which is one of them.
local function plain_config(config)
  local copy = merged(config, config.flags and {seed = config.flags.seed})
  copy.flags = nil
  return copy
end

-- Each may round otherwise, or read a file otherwise (vbl.runs.causes).
local function libraries()
  local found = system.libraries()
  return {onednn = found.onednn, openblas = found.openblas_core or "missing", utf8proc = found.utf8proc, jpeg = require("vbl.data.c").jpeg_decoder()}
end

local function manifest_text(given)
  local cpu = system.cpu()
  local manifest = {created = os.date "%Y-%m-%d %H:%M:%S", vbl = require("vbl").version, isa = cpu.isa, cpu = cpu.model, system = system.uname(),
                    threads = system.threads(), build = ("%08x"):format(c.crc32_file "/proc/self/exe"), libraries = libraries()}
  return c.json_encode(merged(manifest, given), {indent = 2})
end

local function write_files(path, config, opts)
  c.write_atomic(path .. "/manifest.json", manifest_text(opts.manifest))
  for name, text in pairs(opts.files or {}) do c.write_atomic(path .. "/" .. name, text) end
  c.write_atomic(path .. "/config.lua", config)
end

function folder.create(opts)
  local config = plain_config(opts.config or {})
  local ok, source = pcall(require("vbl.config").write, config)
  if not ok then error(("config: %s to the run's config.lua; what is no plain value belongs in the parts of vbl.train.pretrain"):format(source), 0) end
  local path = make(opts.out or "runs", opts.name or "run")
  local written, message = pcall(write_files, path, source, opts)
  if not written then
    pcall(c.remove, path)  -- on a disk that refuses this too it stays behind, and is no run
    error(message, 0)
  end
  local run = attach(path, config)
  begin_events(run)
  return run
end

folder.config = require "vbl.config.stored"

function folder.open(path)
  path = trimmed(path)
  if not system.exists(path .. "/config.lua") then
    error(("%s: not a run's folder (no config.lua in it); expected one such as runs/DATE-TIME-NAME"):format(path), 0)
  end
  local config = folder.config(path)
  local run = attach(path, config)
  c.clean_stale(path)
  if system.exists(path .. "/checkpoints") then c.clean_stale(path .. "/checkpoints") end
  run.resuming = true
  return run, {config = config}
end

local function write_log(run, level, format, ...)
  local text = ("%s - %s - %s"):format(os.date "%Y-%m-%d %H:%M:%S", level, visible(format:format(...)))
  run.screen.line(text)
  append(run, "log.txt", text .. "\n")
end

function Run:log(format, ...) write_log(self, "INFO", format, ...) end

function Run:warn(format, ...) write_log(self, "WARNING", format, ...) end

local alarm_keys = {"step", "epoch", "kind", "text"}

function Run:alarm(row)
  self:warn("%s", row.text)
  append(self, "warnings.jsonl", c.json_encode(row, {order = alarm_keys}) .. "\n")
end

function Run:progress(text) self.screen.progress(text) end

function Run:metric(row)
  local time = system.time()
  append(self, "metrics.jsonl", metrics.line(merged(row, {time = math.floor(time)})))
  self.last_step = row.step
  local tag = row.split and row.split .. "/" .. row.name or row.name
  append(self, EVENTS, events.scalar(time, row.step, tag, row.value))
end

function Run:text(step, tag, markdown) append(self, EVENTS, events.text(system.time(), step, tag, markdown)) end

function Run:image(step, tag, png) append(self, EVENTS, events.image(system.time(), step, tag, png)) end

function Run:sync()
  for _, file in pairs(self.files) do file:sync() end
end

function Run:checkpoint(kind, parts)
  checkpoint.check_kind(kind)
  local ok, message = pcall(function()
    local offsets = {}
    self:sync()
    for name, file in pairs(self.files) do offsets[name] = file:tell() end
    checkpoint.write(self.path .. "/checkpoints", kind, parts, offsets)
  end)
  if ok then return true end
  if system.interrupted() then error(message, 0) end
  return nil, usage.strip(message)
end

-- The growing files as they were at the checkpoint; without one, empty. What the run came to before goes first, and not sooner: a resume that is refused has
-- changed nothing.
local function rewind(run, offsets)
  c.remove(run.path .. "/result.json")
  for name, file in pairs(run.files) do file:truncate(offsets and offsets[name] or 0) end
  begin_events(run)
end

function Run:load_checkpoint(kind, fingerprint)
  local parts, offsets = checkpoint.read(self.path .. "/checkpoints", kind, fingerprint)
  if self.resuming then rewind(self, offsets) end
  self.resuming = nil
  return parts
end

function Run:plots()
  local ok, message = pcall(function() require("vbl.plot").from_run(self.path) end)
  if ok then return end
  if system.interrupted() then error(message, 0) end
  self:warn("plots were not drawn: %s", usage.strip(message))
end

function Run:close()
  self.screen.clear()
  if self.files[EVENTS] and not self.ended then
    local ok, message = pcall(function() require "vbl.runs.ending"(self) end)  -- the module is loaded here, too
    if not ok and not system.interrupted() then self.screen.line("TensorBoard's events are not complete: " .. usage.strip(message)) end
  end
  self.ended = true
  for _, file in pairs(self.files) do file:close() end
end

return folder

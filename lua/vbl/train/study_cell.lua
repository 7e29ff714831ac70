-- One run of a study, as a process of its own: what goes wrong in it is its own, its memory goes with it, and it can run beside others.
--   cell.look(cell, flags) -> "done" (finished; with --final also tested), "resume" or "new"; sets cell.config_now, cell.name_of_run, cell.resume
--     and cell.record, the newest run of that name (nil: none). The name ends in the hash of the config, so a changed config is another run
--   cell.refusal(cell, flags) -> what its run, planned only, says that it cannot begin with; nil: nothing. After cell.look
--   cell.start(cell, flags, threads, output) -> child     output: the file that gets what it prints; nil: the terminal
--   cell.left(cell, flags) -> its newest run, nil before there is one
--   cell.work(given)      what that process does
local job_of = require "vbl.train.job"
local kinds = require "vbl.train.kinds"
local loop = require "vbl.train.loop"
local process = require "vbl.process"
local runs = require "vbl.runs"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local values = require "vbl.config.values"

local cell = {}

local WAIT = 30  -- seconds

-- Of each kind of run, the script beside the study's that goes on with such a run by itself.
local scripts = {pretrain = "pretrain_all.lua", finetune = "finetune.lua"}

local function full_name(self, config)
  return ("%s-s%d-%s"):format(self.name:gsub("[^%w%-_.]+", "-"), self.seed, store.sha256(values.write(config)):sub(1, 8))
end

-- The newest run of that name: DATE-TIME-NAME.
local function find(out, name)
  local found
  for _, folder in ipairs(system.list(out) or {}) do
    if folder:match "^%d+%-%d+%-%d+%-%d+%-(.*)$" == name and system.exists(("%s/%s/config.lua"):format(out, folder)) then found = folder end
  end
  return found and runs.open(out .. "/" .. found)
end

-- A study that was killed a moment ago leaves runs that still save their last checkpoint.
local function wait_for(record)
  local given_up = system.monotonic() + WAIT
  while record:locked() do
    if system.interrupted() then return end
    if system.monotonic() > given_up then usage(("study: another process writes %s: is the study running already?"):format(record.path)) end
    system.sleep(0.1)
  end
end

local function tested(record)
  for name in pairs(record.values) do
    if name:find "^test%." then return true end
  end
  return false
end

function cell.look(self, flags)
  self.config_now = type(self.config) == "function" and self.config() or self.config
  self.name_of_run = full_name(self, self.config_now)
  self.record = find(flags.out, self.name_of_run)
  self.resume = nil
  if not self.record then return "new" end
  if self.record.status == "invalid" then return "done" end  -- somebody's decision: no table counts it
  if self.record.status == "finished" and not (flags.final and self.record.kind == "finetune" and not tested(self.record)) then return "done" end
  wait_for(self.record)
  self.resume = system.exists(self.record.path .. "/checkpoints/last") and self.record.path or nil  -- killed before its first checkpoint: anew
  return self.resume and "resume" or "new"
end

-- The process's words. own: of its flags, those that are not the same in all of them.
local function command(self, flags, own)
  local kind = self.kind or "finetune"
  local given = {kind = kind, script = (arg and arg[0] or ""):gsub("[^/]*$", "") .. scripts[kind], config = self.config_now,
                 flags = {device = flags.device, out = flags.out, final = flags.final, seed = self.seed, name = self.name_of_run, threads = own.threads,
                          resume = own.resume, plan = own.plan}}
  return {system.executable(), "-e", ("require 'vbl.train.study_cell'.work(%s)"):format(values.write(given))}
end

function cell.refusal(self, flags) return process.refusal(command(self, flags, {plan = true})) end

function cell.start(self, flags, threads, output)
  local child, message = system.start(command(self, flags, {threads = threads, resume = self.resume}), {output = output, self = true})
  if not child then usage("study: " .. message) end
  child:go()
  return child
end

local function refuse(message) usage("study: " .. message) end

function cell.work(given)
  local config = given.config
  arg = {[0] = given.script}
  config.flags = given.flags
  config.flags.words, config.flags.given = {}, {}
  require("vbl.config.flags").apply(config.flags, refuse)
  local parts = {kind = kinds.named(given.kind)}
  if config.flags.plan then job_of.new(config, parts, true) else loop.run(config, parts) end
end

function cell.left(self, flags)
  self.record = find(flags.out, self.name_of_run)
  return self.record
end

return cell

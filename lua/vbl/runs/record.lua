-- A run as one reads it: what its folder's files say, without touching them (its writer is vbl.runs.folder).
--
--   record.read(path) -> record, never an error for what is damaged in the folder: status "damaged", and `problems` says what
--   record.is_run(path) -> boolean     record.is_surely_run(path): there is what only this program writes, where other folders
--     have a config.lua, and some a manifest.json, too
-- A record:
--   path, name (the folder's), id (8 hexadecimal digits of the name's hash: the same wherever the folder is copied to)
--   status     "finished", "failed", "interrupted": how it ended (result.json); "running": a process holds metrics.jsonl;
--              "unfinished": none does and it has no end (killed); "invalid": tagged so; "damaged"
--   message    why it failed
--   kind, task "pretrain" or "finetune"; the task of a fine-tuning
--   config, manifest, result     the tables of config.lua, manifest.json, result.json ({} where there is none)
--   values     result.values: {["test.auroc"] = ...}; {} before the end
--   seed, created ("2025-09-03 21:03:36"), tags (a list), note
--   problems   a list of messages: files that cannot be read
--   record:metrics([{name=, split=, epoch=, step=}]) -> rows of metrics.jsonl with equal fields; a field may be a function(value) too
--   record:alarms() -> rows of warnings.jsonl {step=, epoch=, kind=, text=}: what was odd in the run's numbers (docs/guards.md)
--   record:last() -> {["SPLIT.NAME"] = value of the newest such row}, the last epoch that was evaluated (steps of the next one may be there)
--   record:predictions(split) -> header, rows     of predictions/SPLIT.jsonl; raises where there are none or a line is damaged
--   record:splits() -> the splits that have predictions, sorted
--   record:locked() -> whether a process is writing it
local c = require "vbl.store.c"
local folder = require "vbl.runs.folder"
local metrics = require "vbl.runs.metrics"
local shape = require "vbl.runs.shape"
local system = require "vbl.system.c"
local trimmed = require "vbl.trimmed"
local usage = require "vbl.usage"
local visible = require "vbl.visible"

local record = {}

local Record = {}
Record.__index = Record
Record.__tostring = function(self) return ("%s (%s)"):format(visible(self.name), self.status) end

local ends = {finished = true, failed = true, interrupted = true}

-- What readers count on (vbl.runs.shape); who writes them: vbl.runs.folder, vbl.train.state, vbl.train.result, vbl.runs.notes.
local layers = {any = {each = {}}}
local forms = {
  manifest = {kind = "string", task = "string", created = "string", data = "string", data_hash = "string", precision = "string", test_pairs = "integer",
              train_pairs = "integer", total_parameters = "integer", steps = "integer", task_names = {each = "string"}, splits = {any = "integer"}, coattention_layers = {each = "integer"}},
  result = {status = "string", message = "string", kind = "string", task = "string", best = {epoch = "integer", metric = "string", value = "number"},
            values = {any = "number"}, intervals = {any = {each = "number"}}, alignment = {before = layers, after = layers}},
  notes = {tags = {each = "string"}, note = "string"},
  header = {task = "string", split = "string", data_split = "string", kind = "string", classes = {each = "string"}, thresholds = {each = "number"}},
}
-- Of predictions, by the kind of their labels (vbl.tasks.predictions). A rank among ties is a half; an image's, i2t, is in its first sample's row.
local one_class = {label = "integer", scores = "numbers", logits = "numbers"}
local predicted = {binary = one_class, multiclass = one_class, multilabel = {label = {each = "integer"}, scores = "numbers", logits = "numbers"},
                   soft = {label = {any = "number"}, scores = "numbers"}, retrieval = {ranks = {t2i = "number", i2t = "number"}}}

-- JSON's null as nil: a reader asks whether a field is there.
local function without_null(value)
  if type(value) ~= "table" then return value end
  for key, item in pairs(value) do
    if item == c.null then value[key] = nil else without_null(item) end
  end
  return value
end

local function decode(text, where)
  local value = without_null(c.json_decode(text, {where = where, nan = "string"}))
  if type(value) ~= "table" then error(("%s: expected an object, got %s"):format(where, tostring(value)), 0) end
  return value
end

local function read_json(path, form)
  if not system.exists(path) then return {} end
  local value = decode(c.read_file(path), path)
  shape.check(value, form, path)
  return value
end

-- fn's value, or {} and a problem noted.
local function try(self, fn, ...)
  local ok, value = pcall(fn, ...)
  if ok then return value end
  self.problems[#self.problems + 1] = usage.strip(value)
  return {}
end

local function status_of(self)
  for _, tag in ipairs(self.tags) do
    if tag == "invalid" then return "invalid" end
  end
  if #self.problems > 0 then return "damaged" end
  if self:locked() then return "running" end
  return ends[self.result.status] and self.result.status or "unfinished"
end

local function read_config(path)
  local config = folder.config(path)
  shape.check(config, {seed = "integer", batch = "number", test_samples = "number", probe_samples = "number"}, path .. "/config.lua")
  return config
end

local function read_result(path)
  local result = read_json(path, forms.result)
  if result.status ~= nil and not ends[result.status] then
    error(("%s: status: expected finished, failed or interrupted, got '%s'"):format(path, tostring(result.status)), 0)
  end
  return result
end

function record.is_run(path) return system.exists(path .. "/config.lua") end

-- folder.create writes the manifest before the config, with the program's version in it, and whoever writes a run holds its metrics.
function record.is_surely_run(path)
  if not record.is_run(path) then return false end
  if system.exists(path .. "/metrics.jsonl") then return true end
  local ok, manifest = pcall(read_json, path .. "/manifest.json", {})
  return ok and manifest.vbl ~= nil
end

function record.read(path)
  path = trimmed(path)
  local self = setmetatable({path = path, name = path:match "[^/]*$", problems = {}}, Record)
  self.id = c.sha256(self.name):sub(1, 8)
  self.config = try(self, read_config, path)
  self.manifest = try(self, read_json, path .. "/manifest.json", forms.manifest)
  self.result = try(self, read_result, path .. "/result.json")
  local notes = try(self, read_json, path .. "/notes.json", forms.notes)
  self.tags, self.note = notes.tags or {}, notes.note or ""
  self.kind, self.task = self.manifest.kind or self.result.kind, self.manifest.task or self.result.task
  self.seed, self.created = self.config.seed, self.manifest.created
  self.values, self.message = self.result.values or {}, self.result.message
  self.status = status_of(self)
  return self
end

function Record:locked() return c.locked(self.path .. "/metrics.jsonl") end

local function matches(row, filter)
  for key, wanted in pairs(filter) do
    local value = row[key]
    if type(wanted) == "function" then
      if value == nil or not wanted(value) then return false end
    elseif value ~= wanted then
      return false
    end
  end
  return true
end

local fields = {name = true, split = true, epoch = true, step = true}

function Record:metrics(filter)
  for key in pairs(filter or {}) do
    if not fields[key] then error(("metrics: no field '%s'%s"):format(tostring(key), require("vbl.nearest").hint(key, fields)), 2) end
  end
  local path = self.path .. "/metrics.jsonl"
  local rows = system.exists(path) and metrics.read(path) or {}
  if not filter then return rows end
  local list = {}
  for _, row in ipairs(rows) do
    if matches(row, filter) then list[#list + 1] = row end
  end
  return list
end

function Record:alarms()
  local path = self.path .. "/warnings.jsonl"
  return system.exists(path) and metrics.alarms(path) or {}
end

function Record:last()
  local values, epoch = {}, nil
  for _, row in ipairs(self:metrics()) do
    values[row.split and row.split .. "." .. row.name or row.name] = row.value
    if row.split ~= "step" then epoch = row.epoch or epoch end
  end
  return values, epoch
end

function Record:splits()
  local list = {}
  for _, name in ipairs(system.list(self.path .. "/predictions") or {}) do list[#list + 1] = name:match "^([^.].*)%.jsonl$" end
  return list
end

-- The classes that a row names are there: a reader makes room for as many.
local function check_classes(t, classes, where)
  for class in pairs(type(t) == "table" and #t == 0 and t or {}) do
    local number = math.tointeger(tonumber(class))
    if not number or number < 0 or number >= classes then error(("%s: %s is none of the %d classes"):format(where, class, classes), 0) end
  end
end

local function check_prediction(row, header, where)
  if row.id == nil then error(where .. ": a prediction without an id", 0) end
  local form = predicted[header.kind] or {}
  shape.check(row, form, where)
  if form.scores and row.scores == nil then error(where .. ": scores is missing", 0) end
  if form.ranks and not (row.ranks and row.ranks.t2i) then error(where .. ": ranks.t2i is missing", 0) end
  for _, key in ipairs {"label", "scores"} do check_classes(row[key], #(header.classes or {}), where .. "." .. key) end
end

function Record:predictions(split)
  local path = ("%s/predictions/%s.jsonl"):format(self.path, split)
  if not system.exists(path) then
    local have = self:splits()
    error(("%s: no predictions of the split '%s' (it has %s)"):format(self.path, split, #have > 0 and table.concat(have, ", ") or "none"), 0)
  end
  local text, header, rows, number = c.read_file(path), nil, {}, 0
  if text:sub(-1) ~= "\n" then error(path .. ": its last line has no end: half-written or cut off", 0) end
  for line in text:gmatch "([^\n]*)\n" do
    number = number + 1
    local row = decode(line, path .. ":" .. number)
    if number == 1 then header = row else rows[number - 1] = row end
  end
  if header.kind == nil or header.id ~= nil then error(path .. ":1: expected the header {task, split, kind, ...}", 0) end
  shape.check(header, forms.header, path .. ":1")
  for i, row in ipairs(rows) do check_prediction(row, header, ("%s:%d"):format(path, i + 1)) end
  return header, rows
end

return record

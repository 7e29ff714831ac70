-- Run folders in the form that a trainer leaves them, for tests of what reads them.
--   local runs = require("run_files").new()      runs.path
--   runs:make(name, {config =, manifest =, result =, notes =, metrics = {row, ...}, predictions = {SPLIT = {header, row, ...}}}) -> path
--   runs:write(name, text)   runs:remove()
local c = require "vbl.store.c"
local metrics = require "vbl.runs.metrics"

local Runs = {}
Runs.__index = Runs

local run_files = {}

function run_files.new()
  local path = os.tmpname()
  os.remove(path)
  c.make_folder(path)
  return setmetatable({path = path}, Runs)
end

function Runs:remove() c.remove(self.path) end

function Runs:write(name, text)
  local full = self.path .. "/" .. name
  c.make_folder((full:match "^(.*)/"))
  c.write_atomic(full, text)
  return full
end

local function lines(rows, encode)
  local list = {}
  for i, row in ipairs(rows) do list[i] = encode(row) end
  return table.concat(list)
end

local function json_line(row) return c.json_encode(row, {nan = "string"}) .. "\n" end

function Runs:make(name, parts)
  self:write(name .. "/config.lua", require("vbl.config").write(parts.config or {}))
  for _, part in ipairs {"manifest", "result", "notes"} do
    if parts[part] then self:write(("%s/%s.json"):format(name, part), json_line(parts[part])) end
  end
  self:write(name .. "/metrics.jsonl", lines(parts.metrics or {}, metrics.line))
  for split, rows in pairs(parts.predictions or {}) do self:write(("%s/predictions/%s.jsonl"):format(name, split), lines(rows, json_line)) end
  return self.path .. "/" .. name
end

return run_files

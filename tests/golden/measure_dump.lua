-- vbl's side of measure_oracles.py: runs the calls of one JSON file and writes their values and statuses to another.
--   vbl tests/golden/measure_dump.lua CALLS.json RESULTS.json
local vbl = require "vbl"
local measure = require "vbl.measure"

local function run(call)
  local opts, x = call.opts, vbl.load(call.x)
  if opts.directions then opts.directions = vbl.eye(x:shape()[2]):to("f64") end
  if call.measure == "max_sim" then
    local tp, pt = measure.max_sim(x, vbl.load(call.y), opts)
    return call.field == "tp" and tp or pt, {status = "OK"}
  elseif call.measure == "attention_entropy" then
    local value, record = measure.attention_entropy(x, opts)
    return call.field == "head 2" and record.heads[2] or value, record
  elseif call.measure == "linear_probe" then
    local labels = opts.labels
    opts.labels = nil
    return measure.linear_probe(x, labels, opts)
  elseif call.matrices == 1 then
    return measure[call.measure](x, opts)
  end
  return measure[call.measure](x, vbl.load(call.y), opts)
end

local results = {}
for i, call in ipairs(vbl.load(arg[1])) do
  local ok, value, record = pcall(run, call)
  if not ok then
    results[i] = {status = "ERROR: " .. value}
  else
    if call.field ~= "value" and record[call.field] then value = record[call.field] end
    results[i] = {status = record.status, value = value == value and value or nil}
  end
end
vbl.save(arg[2], results)

-- A trainer's config, checked and complete.
--   checks.complete(kind, config) -> a new config with every key of vbl.train.options[kind]; what is wrong is an error that names the key. "auto" stays
--       where it is the default: the job says what it stands for
--   checks.choice(key, value, list)     raises where the value is none of the list
local nearest = require "vbl.nearest"
local options = require "vbl.train.options"
local vbl = require "vbl"

local checks = {}

-- The number, as an integer where it has to be whole.
local function check_number(key, value, row)
  local low, high = row.from or -math.huge, row.to or math.huge
  if value >= low and value <= high and math.abs(value) < math.huge and (not row.whole or math.tointeger(value)) then
    return row.whole and math.tointeger(value) or value
  end
  error(string.format("config: %s: expected a %snumber %s, got %s", key, row.whole and "whole " or "",
                      row.to and string.format("from %g to %g", low, high) or string.format("of at least %g", low), tostring(value)), 0)
end

function checks.choice(key, value, list)
  for _, name in ipairs(list) do
    if value == name then return end
  end
  error(string.format("config: %s: expected one of %s, got '%s'%s", key, table.concat(list, ", "), tostring(value), nearest.hint(tostring(value), list)), 0)
end

local function check_precision(c)
  checks.choice("precision", c.precision, {"f32", "bf16", "tf32"})
  if c.precision == "tf32" and c.flags.device == "cpu" and vbl.zeros(1):device() == "cpu" then
    error("config: precision: products in tf32 are a GPU's (--device cuda); on the CPU there are f32 and bf16", 0)
  end
end

-- What a step's tasks go together in is of no matter to those that take a step each, or parts of the batch: vbl.train.mix.
local function check_together(c)
  if c.tasks_together then checks.choice("tasks_together", c.tasks_together, {"auto", "yes", "no"}) end
end

local partners = {"matched", "mismatched", "none"}

local function check_lists(c)
  for i = 1, 2 do
    local b = c.betas[i]
    if #c.betas ~= 2 or type(b) ~= "number" or not (b >= 0 and b < 1) then
      error("config: betas: expected two numbers from 0 to below 1 such as {0.9, 0.98}", 0)
    end
  end
  for i, partner in ipairs(c.partners) do
    local known = false
    for _, name in ipairs(partners) do known = known or name == partner end
    if not known then
      error(string.format("config: partners: item %d: expected matched, mismatched or none, got '%s'%s", i, tostring(partner), nearest.hint(partner, partners)), 0)
    end
  end
  if #c.partners == 0 then error("config: partners: expected at least one of matched, mismatched, none (probe_samples=0 leaves out the analysis)", 0) end
end

function checks.complete(kind, config)
  local rows = options[kind]
  local c = setmetatable({flags = config.flags, name = config.name}, getmetatable(config))
  for key, row in pairs(rows) do
    if config[key] == nil then c[key] = row[2] else c[key] = config[key] end
    local auto = c[key] == "auto" and row[2] == "auto"
    if c[key] ~= nil and type(c[key]) ~= row[1] and not auto then
      error(string.format("config: %s: expected a %s%s, got %s (%s)", key, row[1], row[2] == "auto" and " or auto" or "", type(c[key]), tostring(c[key])), 0)
    end
    if row[1] == "number" and not auto then c[key] = check_number(key, c[key], row) end
  end
  for key in pairs(config) do
    if not rows[key] and key ~= "flags" and key ~= "name" then
      error(string.format("config: the trainer has no key '%s'%s (a key of the script's own stands in own = {%s = ...}, and is read as config.own.%s)",
                          key, nearest.hint(key, rows), key, key), 0)
    end
  end
  check_precision(c)
  check_lists(c)
  check_together(c)
  return c
end

return checks

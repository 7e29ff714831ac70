-- What report, report_layers and matrix read: options, checked, and names of measures.
local c = require "vbl.measure.c"
local groups = require "vbl.measure.groups"
local merged = require "vbl.merged"
local with_defaults = require "vbl.with_defaults"

local settings = {}

local defaults = {null = 200, interval = "subsample", draws = 100, seed = 0, alpha = 0.05, groups = false, k = false}

-- opts with the defaults, groups as a list for n rows, or nil; wrong keys and ranges raise.
function settings.read(opts, n)
  local out = with_defaults("report", opts, defaults, 4)
  if out.interval ~= "subsample" and out.interval ~= false then
    error(("report: interval: expected \"subsample\" or false, got %s (rows drawn with replacement would be each other's neighbours)"):format(tostring(out.interval)), 3)
  end
  if math.type(out.null) ~= "integer" or out.null < 0 then error("report: null: expected a number of permutations, 0 for none", 3) end
  if math.type(out.draws) ~= "integer" or out.draws < 1 then error("report: draws: expected a number of subsets, from 1", 3) end
  if math.type(out.seed) ~= "integer" then error("report: seed: expected a whole number, got " .. tostring(out.seed), 3) end
  if type(out.alpha) ~= "number" or not (out.alpha > 0 and out.alpha < 1) then error("report: alpha: expected a number between 0 and 1", 3) end
  out.groups = groups.read(out.groups, n)
  return out
end

local function label_of(name, options)
  local parts = {}
  for key, value in pairs(options) do
    if type(value) ~= "table" and type(value) ~= "userdata" then parts[#parts + 1] = ("%s=%s"):format(key, tostring(value)) end
  end
  table.sort(parts)
  return #parts == 0 and name or ("%s(%s)"):format(name, table.concat(parts, ","))
end

-- names: "cka", or a list of names and of entries {"cka", kernel = "rbf", label = "rbf"}. -> list of {name=, label=, opts=}
function settings.entries(names)
  local list, seen = {}, {}
  if type(names) == "string" then names = {names} end
  if type(names) ~= "table" or #names == 0 then error("report: expected a list of measures' names", 3) end
  for i, entry in ipairs(names) do
    local name, options, label = entry, {}, nil
    if type(entry) == "table" then
      name = entry[1]
      for key, value in pairs(entry) do
        if key == "label" then label = value elseif key ~= 1 then options[key] = value end
      end
    end
    label = label or label_of(name, options)
    if seen[label] then error(("report: '%s' is asked for twice: give one of them a label"):format(label), 3) end
    seen[label] = true
    list[i] = {name = name, label = label, opts = options}
  end
  return list
end

-- The entry's own options, with report's k where the measure has one and the entry gives none; and the measure's traits.
function settings.resolve(entry, x, k)
  local options = merged(entry.opts)
  local traits = c.traits(entry.name, x, options)
  if k and traits.options.k and options.k == nil then
    options.k = k
    traits = c.traits(entry.name, x, options)
  end
  return options, traits
end

-- The options of a measure by its name: k where it has one, and what it has for groups of rows. X: one of the matrices.
function settings.options(name, X, k, labels)
  local options = settings.resolve({name = name, opts = {}}, X, k)
  return groups.options(name, options, labels)
end

function settings.rows(X)
  if c.is_prepared(X) then return (X:shape()) end
  return X:size(1)
end

-- X as a prepared matrix, and whether it was made here (and is to be released here).
function settings.prepared(X, name)
  if c.is_prepared(X) then return X, false end
  return c.prepare(X, name), true
end

return settings

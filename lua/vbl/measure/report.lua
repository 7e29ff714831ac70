-- vbl.measure.report(X, Y, names, opts): measures with what is needed to believe them.
--
-- names: "cka", or a list of names and {"cka", kernel = "rbf", label = "rbf"}. Y is nil when all are measures of one matrix.
-- opts: null = 200          permutations of Y's rows (0: none)
--       interval = "subsample"   or false; draws = 100 subsets of n // 2 rows without replacement
--       groups = labels [n] rows of one label (captions of one image) stay together in permutations, subsets and folds, are each other's right answers,
--                            and chance is what their permutations give (vbl.measure.groups)
--       seed = 0, alpha = 0.05 (the null's quantile is 1 - alpha, the interval's level 1 - alpha)
--       k                    neighbours, for the measures that have them
-- A row, one a measure: measure (its label), value, status, chance and chance_source (the exact or null mean), p, null_mean, null_sd,
-- null_q95, calibrated, corrected, z (calibrate.lua says what they are), lo, hi, n, k, null ("permutation", "swap", "none"), tail,
-- warnings, note, seconds. What does not apply is absent. Draw i is the same permutation for every measure and layer of n rows.
local c = require "vbl.measure.c"
local calibrate = require "vbl.measure.calibrate"
local groups = require "vbl.measure.groups"
local settings = require "vbl.measure.settings"
local table_of = require "vbl.measure.report_table"
local system = require "vbl.system.c"

local report = {}

-- -> the null values; nil where the groups leave nothing to permute
local function add_null(row, entry, x, y, options, s, traits)
  local null, fixed = c.null(entry.name, x, y, options, {draws = s.null, seed = s.seed, groups = s.groups})
  if fixed == row.n then
    row.note = "every group has a size of its own: no permutation moves a row, and there is no p"
    return nil
  end
  for key, v in pairs(calibrate.against(row.value, null, traits, s.alpha)) do row[key] = v end
  if not row.chance and row.null_mean then
    row.chance, row.chance_source = row.null_mean, ("mean of %d permutations%s"):format(s.null, s.groups and " of groups" or "")
  end
  if fixed > 0 then row.note = ("%d rows belong to groups of a size that no other group has: no permutation moves them"):format(fixed) end
  return null
end

-- An interval that would reach beyond the best value that the measure can take ends there: few rows give wide ones.
local function add_interval(row, entry, x, y, options, s, traits)
  local n = x:shape()
  local m = n // 2
  local ok, values, rows = pcall(c.subsample, entry.name, x, y, options, {draws = s.draws, rows = math.max(m, 1), seed = s.seed, groups = s.groups})
  if ok then
    row.lo, row.hi = calibrate.interval(row.value, values, n, rows, s.alpha)
    if row.lo and traits.best then
      if traits.distance then row.lo = math.max(row.lo, traits.best) else row.hi = math.min(row.hi, traits.best) end
    end
    if not row.lo then row.note = row.note or ("no interval: undefined on most subsets of %d rows"):format(m) end
  elseif tostring(values):find("interrupted", 1, true) then
    error(values, 0)
  else
    row.note = ("no interval: on %d of the rows %s"):format(m, tostring(values):gsub("^.-: ", "", 1))
  end
end

local function measured(name, x, y, options)
  if y then return c[name](x, y, options) end
  return c[name](x, options)
end

-- One measure of prepared x and y; also returns its null values (nil when there are none) and its traits.
function report.row(entry, x, y, s)
  local began = system.monotonic()
  local options, traits = settings.resolve(entry, x, s.k)
  options = groups.options(entry.name, options, s.groups)
  if traits.matrices == 2 and not y then error(("report: %s compares two matrices, and Y is missing"):format(entry.name), 0) end
  local second = traits.matrices == 2 and y or nil
  local value, record = measured(entry.name, x, second, options)
  local row = {measure = entry.label, value = value, status = record.status, chance = groups.chance(entry.name, record, s.groups),
               n = record.n, k = record.k, dims_x = record.dims_x, dims_y = record.dims_y, warnings = record.warnings, null = traits.null}
  row.chance_source = row.chance and record.chance_source
  local null
  if record.status == "OK" and s.null > 0 and traits.null ~= "none" then null = add_null(row, entry, x, second, options, s, traits) end
  if s.interval and record.status == "OK" then add_interval(row, entry, x, second, options, s, traits) end
  row.seconds = system.monotonic() - began
  return row, null, traits
end

function report.pair(X, Y, names, opts)
  local s, entries, rows = settings.read(opts, settings.rows(X)), settings.entries(names), {}
  local x, own_x = settings.prepared(X, "X")
  local y, own_y
  if Y ~= nil then y, own_y = settings.prepared(Y, "Y") end
  for i, entry in ipairs(entries) do rows[i] = report.row(entry, x, y, s) end
  if own_x then x:release() end
  if own_y then y:release() end
  return table_of(rows, s)
end

return report

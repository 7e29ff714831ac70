-- The first step at which two runs' numbers differ, and what of their records can do that.
--   why(a, b) -> {first =, beyond =, causes =, others =, checkpoints =, remarks =}     a, b: records (vbl.runs.open)
--     first    {step =, rows = those of vbl.runs.diff whose first difference is at that step, rounding = whether all are within rounding}; nil where
--              all values that both runs have are equal
--     beyond   the first row of diff that differs by more than rounding, or nil
--     causes   {{key, value in a, value in b, text}, ...}: keys that differ and can do this; others: those that differ and cannot, and why not
--     checkpoints  lines on the checkpoints of both that stand at one step;  remarks: lines from the logs
local causes = require "vbl.runs.causes"
local checkpoint = require "vbl.runs.checkpoint"
local diff = require "vbl.runs.diff"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

-- (Means of the tasks' norms over an epoch are over the steps that log_every takes.)
local function number_of(name) return name:find "^[%w_]+%.loss%." or name:find "%.lr$" or name:find "%.grad_norm$" or name:find "^step%.norm%." end

-- The order in which the numbers of one step are told: the rate, losses, norms, then all else, the layer analysis last.
local function rank(name)
  for i, pattern in ipairs {"%.lr$", "%.loss%.", "norm", "^[^p]"} do
    if name:find(pattern) then return i end
  end
  return 9
end

local function by_rank(x, y)
  local i, j = rank(x.name), rank(y.name)
  return i < j or i == j and x.name < y.name
end

-- The rows that say whether more than rounding differs. Of other numbers rounding alone can move some far, where two neighbours change places, say; they
-- count only where nothing else differs.
local function telling(rows)
  local list = {}
  for _, row in ipairs(rows) do
    if number_of(row.name) then list[#list + 1] = row end
  end
  return #list > 0 and list or rows
end

local function first_of(metrics)
  local step = metrics.differ[1] and metrics.differ[1].step
  if not step then return nil end
  local first = {step = step, rows = {}, rounding = true, tasks = {}}
  for _, row in ipairs(metrics.differ) do
    if row.step == step then
      first.rows[#first.rows + 1] = row
      local task = row.name:match "%.loss%.([%w_]+)$"
      if task then first.tasks[task:gsub("_shuffled$", ""):gsub("^contrastive$", "ap"):gsub("^ap_.*", "ap")] = true end
    end
  end
  for _, row in ipairs(telling(first.rows)) do first.rounding = first.rounding and not (row.far and row.far.step == step) end
  table.sort(first.rows, by_rank)
  return first
end

local function beyond_of(metrics)
  local best
  for _, row in ipairs(telling(metrics.differ)) do
    if row.far and (not best or row.far.step < best.far.step) then best = row end
  end
  return best
end

-- The moments (vbl.runs.causes) at which the difference can have begun, given what was logged before it.
local function moments(first, metrics)
  local evaluated, logged = false, math.huge
  for name, step in pairs(metrics.begins) do
    evaluated = evaluated or step == 0
    if name:find "^step%." then logged = math.min(logged, step) end
  end
  local low = evaluated and 1 or 0
  if first.step == 0 then return 0, 0 end
  if first.step > math.max(logged, 2) then return 3, 3 end  -- what the first update does is seen in the second step
  if first.step > 1 then return logged <= 1 and 2 or low, 2 end
  if logged > 1 then return low, 2 end  -- the first step's losses are not there to see
  local found = 2
  for _, row in ipairs(first.rows) do
    if row.name:find "^step%.loss%." then found = 1 elseif row.name:find "norm" then found = math.min(found, 1.5) end
  end
  return found == 1 and low or found, found
end

local function splits_fit(cause, first)
  for _, row in ipairs(first.rows) do
    if cause.split and not row.name:find(cause.split) then return false end
  end
  return true
end

-- nil where the cause can have begun what is seen first; else why it cannot.
local function excluded(cause, first, low, high)
  if not splits_fit(cause, first) then return "changes other numbers only" end
  if cause.rounding then return not first.rounding and "moves last bits only" or nil end
  if cause.task and first.step <= 1 and next(first.tasks) and cause.moment <= 1 and not first.tasks[cause.task] then
    return "that task's loss is equal at the first difference"
  end
  if cause.moment < low then return not cause.later and "would have shown before" or nil end
  if cause.moment > high then return "acts later" end
end

-- Whether the row is of a table that is empty in one run and has keys in the other: the rows of those keys say it.
local function told_by_keys(row, rows)
  for _, other in ipairs(rows) do
    if (row[2] == "{}" or row[3] == "{}") and other[1]:sub(1, #row[1] + 1) == row[1] .. "." then return true end
  end
  return false
end

local function sort_causes(a, b, first, into)
  local d = into.diff
  local low, high = moments(first, d.metrics)
  local told = {}  -- some keys stand in the config and in the manifest
  for _, rows in ipairs {d.config, d.data, d.versions} do
    local of = rows == d.config and causes.of_config or causes.of
    for _, row in ipairs(rows) do
      local cause = not told[row[1]] and not told_by_keys(row, rows) and of(row[1], a, b)
      told[row[1]] = true
      if cause then
        local reason = excluded(cause, first, low, high)
        table.insert(reason and into.others or into.causes, {row[1], row[2], row[3], reason or cause.does})
      end
    end
  end
end

-- Its files are read and compared with their checksums: what state.json says of weights that were replaced since is not so.
local function state_of(record, kind)
  local state, message = checkpoint.read_state(record.path .. "/checkpoints", kind)
  if not state then return nil, message end
  local counters = type(state.state) == "table" and state.state.counters
  return state, nil, type(counters) == "table" and math.type(counters.step) == "integer" and counters.step or nil
end

-- {{kind =, step =, a =, b =}, ...} of both, at one step, sorted by it; and lines on those that are damaged.
local function common_checkpoints(a, b)
  local list, damaged = {}, {}
  for _, kind in ipairs(system.list(a.path .. "/checkpoints") or {}) do
    -- What begins with a dot is what the names are links to.
    if kind:sub(1, 1) ~= "." and system.exists(("%s/checkpoints/%s"):format(b.path, kind)) then
      local x, x_wrong, step = state_of(a, kind)
      local y, y_wrong, other = state_of(b, kind)
      if x_wrong or y_wrong then damaged[#damaged + 1] = ("%s: not compared: %s"):format(kind, x_wrong or y_wrong) end
      if step and step == other then list[#list + 1] = {kind = kind, step = step, a = x, b = y} end
    end
  end
  table.sort(list, function(x, y) return x.step < y.step or x.step == y.step and x.kind < y.kind end)
  return list, damaged
end

local NAMED = 3

local function largest_difference(x, y) return x:numel() > 0 and (x:to "f64" - y:to "f64"):abs():max():item() or 0 end

-- "12 of 214 tensors differ, the first bert... (largest difference 3e-07), ..."
local function tensors_of(a, b, kind)
  local file = "/checkpoints/" .. kind .. "/model.safetensors"
  local x, names = store.safetensors_load(a.path .. file)
  local y, list, count = store.safetensors_load(b.path .. file), {}, 0
  for _, name in ipairs(names) do
    local other = y[name]
    local how = not other and "not in B" or table.concat(x[name]:shape(), "x") ~= table.concat(other:shape(), "x") and "another shape" or nil
    local most = not how and largest_difference(x[name], other)
    if how or most ~= 0 then
      count = count + 1
      if #list < NAMED then list[#list + 1] = ("%s (%s)"):format(name, how or ("by up to %.3g"):format(most)) end
    end
  end
  return ("%d of %d tensors differ, the first %s%s"):format(count, #names, table.concat(list, ", "), count > #list and ", ..." or "")
end

local function same_file(x, y) return x and y and x.crc32 == y.crc32 and x.size == y.size end

-- Checkpoints up to the first one whose weights differ.
local function checkpoint_lines(a, b)
  local list, lines = common_checkpoints(a, b)  -- lines: of damaged ones
  for _, pair in ipairs(list) do
    local head = ("%s (step %d): "):format(pair.kind, pair.step)
    if not same_file(pair.a.files["model.safetensors"], pair.b.files["model.safetensors"]) then
      local ok, text = pcall(tensors_of, a, b, pair.kind)
      lines[#lines + 1] = head .. text
      if ok then return lines end
    else
      local moments = same_file(pair.a.files["optimizer.safetensors"], pair.b.files["optimizer.safetensors"])
      lines[#lines + 1] = head .. "equal weights" .. (moments and " and moments" or ", other moments of the optimizer")
    end
  end
  return lines
end

-- What the logs say of resuming: a run that went on elsewhere is not of one piece.
local function add_remarks(lines, letter, record)
  local path = record.path .. "/log.txt"
  for line in (system.exists(path) and store.read_file(path) or ""):gmatch "[^\n]+" do
    local text = line:match " %- INFO %- (resumed at step .*)" or line:match " %- WARNING %- (the run began with .* and goes on with .*)"
    if text then lines[#lines + 1] = letter .. ": " .. text end
  end
end

return function(a, b)
  local d = diff(a, b)
  local result = {diff = d, first = first_of(d.metrics), beyond = beyond_of(d.metrics), causes = {}, others = {}, checkpoints = checkpoint_lines(a, b),
                  remarks = {}}
  add_remarks(result.remarks, "A", a)
  add_remarks(result.remarks, "B", b)
  if result.first then sort_causes(a, b, result.first, result) end
  return result
end

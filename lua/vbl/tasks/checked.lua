-- Tasks (vbl.tasks says what one is) whose mistakes are sentences that name them, those of a script above all.
--   checked.list(tasks, batch)                             raises where one is no task, or two have one name. batch: the samples of a step
--   checked.prepare(task, data, batch, key) -> work        what the task's function gives, or an error that says what it has to give
--   checked.forward(task, model, work, lo, hi, pass) -> {loss=, keys=, stats=}
--   checked.join(task, keys, model[, own]) -> loss, name -> number or tensor
local sorted_keys = require "vbl.sorted_keys"

local checked = {}

local function fail(task, format, ...) error(("task %s: %s"):format(task.name, format:format(...)), 0) end

local function show(value)
  local kind = type(value)
  if kind == "string" then return ("'%s'"):format(value) end
  if kind == "number" or kind == "boolean" then return tostring(value) end
  return kind == "userdata" and "a tensor" or kind == "nil" and "nothing" or "a " .. kind
end

local function is_number(value) return type(value) == "number" end
local function is_function(value) return type(value) == "function" end

-- {what it has to be, whether it is, needed}
local fields = {
  prepare = {"a function prepare(self, data, batch, key)", is_function, true},
  forward = {"a function forward(self, model, work, lo, hi, pass)", is_function, true},
  join = {"a function join(self, keys, model)", is_function},
  check = {"a function check(self, model, data)", is_function},
  weight = {"a number of at least 0, or a function(step, total_steps)", function(w) return is_function(w) or is_number(w) and w >= 0 and w < math.huge end},
  batch = {"how many of a step's samples the task takes", is_number},
  joins_own = {"true or false", function(value) return type(value) == "boolean" end},
  all_images = {"true or false", function(value) return type(value) == "boolean" end},
  passes = {"a whole number from 1 to 2048", function(n) return math.type(n) == "integer" and n >= 1 and n <= 2048 end},
}

local function letters(word)
  local list = {word:lower():byte(1, -1)}
  table.sort(list)
  return string.char(table.unpack(list))
end

local function one_more(long, short)
  for i = 1, #long do
    if long:sub(1, i - 1) .. long:sub(i + 1) == short then return true end
  end
end

-- The same letters in another order or case, or one letter more or less. Another letter may be another word: a task's own `patch` is no `batch`.
local function slip(a, b) return letters(a) == letters(b) or one_more(a, b) or one_more(b, a) end

-- The first key of t that is a slip of a name which t lacks, and that name. names: name -> function(value) -> whether it could be that
local function misspelt(t, names)
  for name, could_be in pairs(names) do
    for key, value in pairs(t[name] == nil and t or {}) do
      if type(key) == "string" and key ~= name and slip(key, name) and could_be(value) then return key, name end
    end
  end
end

-- Works, losses and weights go by a task's name.
local function check_name(tasks, i, seen)
  local name = type(tasks[i]) == "table" and tasks[i].name
  if type(name) ~= "string" then
    error(("tasks[%d]: expected a task with a name, got %s"):format(i, name == false and show(tasks[i]) or "the name " .. tostring(name)), 0)
  end
  if seen[name] then
    error(("tasks[%d] and tasks[%d] are both named '%s', and what a task computes goes by its name: give one another name"):format(seen[name], i, name), 0)
  end
  seen[name] = i
end

-- Without these a task is none, or trains something else in silence. (A join that is missing is seen by the keys.)
local needed = {prepare = is_function, forward = is_function, weight = fields.weight[2], batch = is_number, passes = is_number}

local function check_spelling(task)
  local key, name = misspelt(task, needed)
  if key then fail(task, "no field '%s' is known, did you mean '%s'? (A field of the task's own needs another name, or %s beside it.)", key, name, name) end
end

local function check_field(task, field, row, batch)
  local value = task[field]
  if value == nil and row[3] or value ~= nil and not row[2](value) then fail(task, "%s: expected %s, got %s", field, row[1], show(value)) end
  if field == "batch" and value and not (math.tointeger(value) and value >= 1 and value <= batch) then
    fail(task, "batch: expected a whole number from 1 to the step's %d, got %s", batch, value)
  end
end

function checked.list(tasks, batch)
  if type(tasks) ~= "table" or #tasks == 0 then error(("tasks: expected a list of tasks, got %s without one"):format(show(tasks)), 0) end
  local seen = {}
  for i, task in ipairs(tasks) do
    check_name(tasks, i, seen)
    check_spelling(task)
    for _, field in ipairs(sorted_keys(fields)) do check_field(task, field, fields[field], batch) end
  end
end

function checked.prepare(task, data, batch, key)
  local work = task:prepare(data, batch, key)
  if type(work) ~= "table" or not math.tointeger(work.n) then
    fail(task, "prepare has to return {n = how many samples, ...}, got %s", type(work) == "table" and "n = " .. tostring(work.n) or show(work))
  end
  return work
end

-- The loss as a scalar: a shape of [1] is one too.
local function scalar(task, from, loss)
  if type(loss) ~= "userdata" then fail(task, "%s has to return a loss that is a tensor of one element, got %s", from, show(loss)) end
  if loss:numel() ~= 1 then
    fail(task, "%s has to return a loss of one element, got a tensor of [%s]: take its sum, divided by work.n", from, table.concat(loss:shape(), ", "))
  end
  return #loss:shape() > 0 and loss:reshape() or loss
end

local function is_value(x) return type(x) == "number" or type(x) == "userdata" and x:numel() == 1 end

local function check_stats(task, stats)
  if type(stats) ~= "table" then fail(task, "forward has to return stats = {name = {sum, count}}, got %s", show(stats)) end
  for name, s in pairs(stats) do
    if type(name) ~= "string" then fail(task, "stats: expected {name = {sum, count}}, got %s for a name", show(name)) end
    if type(s) ~= "table" then fail(task, "stats['%s']: expected {sum, count}, got %s (count 0: the sum is a share of one value)", name, show(s)) end
    if not is_value(s[1]) or type(s[2]) ~= "number" then
      fail(task, "stats['%s']: expected {sum, count}, a number or a tensor of one element, and a number, got {%s, %s}", name, show(s[1]), show(s[2]))
    end
  end
end

local function check_keys(task, keys)
  if type(keys) ~= "table" then fail(task, "forward: expected keys = {tensor, ...}, got %s", show(keys)) end
  if not task.join then fail(task, "forward returns keys, and the task has no function join(self, keys, model) that takes them") end
end

local returned = {loss = function(x) return type(x) == "userdata" end, keys = function(x) return type(x) == "table" end}

function checked.forward(task, model, work, lo, hi, pass)
  local out = task:forward(model, work, lo, hi, pass)
  if type(out) ~= "table" then fail(task, "forward has to return {loss =, stats = {name = {sum, count}}}, got %s", show(out)) end
  local key, name = misspelt(out, returned)
  if key then fail(task, "forward returns '%s', did you mean '%s'?", key, name) end
  check_stats(task, out.stats)
  if out.loss then out.loss = scalar(task, "forward", out.loss) end
  if out.keys then check_keys(task, out.keys) end
  return out
end

function checked.join(task, keys, model, own)
  local loss, values = task:join(keys, model, own)
  loss = scalar(task, "join", loss)
  if values ~= nil and type(values) ~= "table" then fail(task, "join has to return {name = number} behind its loss, got %s", show(values)) end
  for name, value in pairs(values or {}) do
    if not is_value(value) then fail(task, "join has to return {name = number} behind its loss, got %s for %s", show(value), name) end
  end
  return loss, values
end

return checked

-- vbl why A B: the first step at which two runs differ, and its cause (vbl.runs.why).
local usage = require "vbl.usage"
local vbl = require "vbl"
local visible = require "vbl.visible"
local words = require "vbl.words"

local function print(text) io.write(visible(text), "\n") end

local help = "usage: vbl why RUN RUN [--out DIR]     the first step at which two runs' numbers differ, and what can have done that"

local function relative(x, y)
  if x ~= x or y ~= y then return "" end
  return (" (relative %.2g)"):format(math.abs(x - y) / math.max(math.abs(x), math.abs(y), 1e-300))
end

local function value_line(name, x, y) return ("%s: %.9g against %.9g%s"):format(name, x, y, relative(x, y)) end

local SHOWN = 6

-- The difference may be older than the step that shows it.
local function gap(step, before)
  local n = step - (before or 0) - 1
  if n < 1 then return "" end
  return (" (nothing is logged of the %s before it; log_every=1 logs each)"):format(n == 1 and "step" or n .. " steps")
end

-- Equal as far as the shorter one goes is not equal.
local function print_ends(m)
  for _, side in ipairs {{"A", m.end_a, m.only_a}, {"B", m.end_b, m.only_b}} do
    local letter, last, names = table.unpack(side, 1, 3)
    if not last then print(letter .. " has no metrics") end
    if #names > 0 and m.common > 0 then print(("%d series are in %s alone, the first %s"):format(#names, letter, names[1])) end
  end
  if m.end_a and m.end_b and m.end_a ~= m.end_b then print(("A's metrics end at step %d, B's at step %d"):format(m.end_a, m.end_b)) end
end

local function print_first(found)
  local first, m = found.first, found.diff.metrics
  if m.common == 0 then return print "their metrics have nothing in common" end
  if not first then return print(("no difference: all %d series that both have are equal in every bit where both have values"):format(m.common)) end
  print(("first difference: %s%s%s"):format(first.step == 0 and "before training, step 0" or "step " .. first.step, first.rounding and ", within rounding" or "",
                                          gap(first.step, m.before)))
  for i, row in ipairs(first.rows) do
    if i > SHOWN then
      print(("  ... and %d more of %d series"):format(#first.rows - SHOWN, m.common))
      break
    end
    print("  " .. value_line(row.name, row.a, row.b))
  end
  local far = found.beyond and found.beyond.far
  if far and (far.step > first.step or first.rounding) then
    print(("beyond rounding:  step %d\n  %s"):format(far.step, value_line(found.beyond.name, far.a, far.b)))
  elseif not far then
    print "beyond rounding:  never, as far as both go"
  end
end

local function print_causes(title, rows)
  if #rows == 0 then return end
  print(title)
  local width = {0, 0}
  for _, row in ipairs(rows) do width = {math.max(width[1], #row[1]), math.max(width[2], #row[2] + #row[3] + 9)} end
  for _, row in ipairs(rows) do
    print((("  %-" .. width[1] .. "s  %-" .. width[2] .. "s  %s"):format(row[1], row[2] .. " against " .. row[3], row[4])))
  end
end

local function print_lines(title, lines)
  if #lines > 0 then print(title .. "\n  " .. table.concat(lines, "\n  ")) end
end

local unknown = [[
cause: not in the runs' records. What they do not hold: a script's own code (tasks and models that it hands to the
  trainer), kernels of another machine with the same name, memory that is not reliable]]

local unclear = [[
cause: not clear. By what is known of them none of the keys above begins to act here; look at them first all the same]]

local function run(...)
  local names, _, flags = words.parse("why", {...}, {out = "DIR"})
  if #names ~= 2 then usage("why: expected two runs\n" .. help) end
  local a, b = vbl.runs.open(vbl.runs.find(names[1], flags.out)), vbl.runs.open(vbl.runs.find(names[2], flags.out))
  local found = vbl.runs.why(a, b)
  print(("A %s\nB %s\n"):format(a, b))
  print_ends(found.diff.metrics)
  print_first(found)
  print_causes("differs, and can do that:", found.causes)
  print_causes("differs too, but:", found.others)
  print_lines("resumed:", found.remarks)
  if found.first and #found.causes == 0 and #found.remarks == 0 then print(#found.others > 0 and unclear or unknown) end
  print_lines("checkpoints of both:", found.checkpoints)
end

return function(first, ...)
  if not first or first == "help" or first == "--help" then return print(help) end
  local ok, message = pcall(run, first, ...)
  if not ok then usage(usage.strip(tostring(message))) end
end

-- vbl.measure: how far two sets of representations agree. vbl.measure.NAME(X, Y[, opts]) -> number, record. X and Y are tensors [n, d]
-- (row i of X is paired with row i of Y), or what vbl.measure.prepare(X) made of one that several measures read.
--
-- record: value, status ("OK", or why the value is NaN), n, dx, dy, k, dims_x, dims_y, chance (the value expected when the rows of Y are
-- shuffled) and chance_source, preprocessing, metric, duplicates_x, duplicates_y, ties, skipped, warnings (a list). What does not apply
-- is absent. A wrong call (shapes, too few rows, k out of range, NaN or Inf in the data) raises.
local c = require "vbl.measure.c"
local nearest = require "vbl.nearest"

return setmetatable(c, {
  __index = function(_, name)
    local names = {}
    for key in next, c do names[#names + 1] = key end
    error(string.format("no measure is named '%s'%s", tostring(name), nearest.hint(tostring(name), names)), 2)
  end,
})

-- vbl.measure: how far two sets of representations agree. vbl.measure.NAME(X, Y[, opts]) -> number, record. X and Y are tensors [n, d]
-- (row i of X is paired with row i of Y), or what vbl.measure.prepare(X) made of one that several measures read.
--
-- record: value, status ("OK", or why the value is NaN), n, dx, dy, k, dims_x, dims_y, chance (the value expected when the rows of Y are
-- shuffled) and chance_source, preprocessing, metric, duplicates_x, duplicates_y, ties, skipped, warnings (a list). What does not apply
-- is absent. A wrong call (shapes, too few rows, k out of range, NaN or Inf in the data) raises.
--
-- With what is needed to believe a number: vbl.measure.report(X, Y, names, opts), report_layers(layers, names, opts); matrix(Xs, Ys, name)
-- for maps of layers.
local c = require "vbl.measure.c"
local nearest = require "vbl.nearest"
local document = require("vbl.tensor.c").document

c.report = require("vbl.measure.report").pair
c.report_layers = require "vbl.measure.report_layers"
c.matrix = require "vbl.measure.matrix"
require "vbl.measure.stream"
c.selftest = function(opts) return require("vbl.measure.selftest").run(opts) end
c.passed = function(name) return require("vbl.measure.selftest").passed(name) end

document("vbl.measure.report", "report(X, Y, names, {null=200, interval=\"subsample\"|false, draws=100, groups=, seed=0, alpha=0.05, k=}) -> report",
  "names: a measure, or a list of them and of {\"cka\", kernel = \"rbf\", label = \"rbf\"}. One row a measure: value, status, chance, p by permutation, " ..
  "null_mean, null_q95, calibrated (0 = within chance, 1 = best), lo and hi. Prints as a table; report:row(measure), :totable(), :save(path .json .tsv).")
document("vbl.measure.report_layers", "report_layers({{name=, x=, y=}, ...}, names, opts) -> report",
  "report for every layer of the same n rows, one permutation for all; rows \"max\" (\"min\" of distances) and \"mean\" have the search over layers " ..
  "inside the null. q: Benjamini-Hochberg over the table.")
document("vbl.measure.matrix", "matrix(Xs, Ys, name, [opts]) -> tensor f64 [#Xs, #Ys], statuses",
  "A measure of every X with every Y, tensors or prepared. Pass one list twice for a map within a stream.")
document("vbl.measure.selftest", "selftest([{quiet=false}]) -> result",
  "Asks every measure for its known value, identical, rotated, independent and degenerate data; prints the table. result:passed(name).")
document("vbl.measure.passed", "passed(name) -> boolean, reason", "Whether the measure passes its self-test, asked once a process.")

return setmetatable(c, {
  __index = function(_, name)
    local names = {}
    for key in next, c do names[#names + 1] = key end
    error(string.format("no measure is named '%s'%s", tostring(name), nearest.hint(tostring(name), names)), 2)
  end,
})

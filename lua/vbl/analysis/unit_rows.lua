-- unit_rows(x [n, d]) -> its rows at length 1; a row of zeros stays one
local vbl = require "vbl"

return function(x) return x / (x * x):sum(2, true):sqrt():maximum(vbl.full({1}, 1e-12)) end

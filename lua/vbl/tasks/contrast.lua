-- InfoNCE of a batch's rows, or a rank's share of it (vbl.dist).
--   contrast(q, k, opts[, own]) -> loss     q, k [N, D], row i of one the positive of row i of the other; opts {temperature =, symmetric =}: vbl.nn.functional.info_nce.
--     own {first =, count =}: of these rows as queries alone, against all keys, and still divided by N: the ranks' losses add up to that of all rows
local mismatch = require "vbl.data.mismatch"
local F = require "vbl.nn.functional"

-- The op has query i's positive in row i of the keys, so own rows come first there too.
local function own_rows(q, k, temperature, own)
  local first = own.count > 0 and own.first or 1
  local keys = first > 1 and mismatch.up(k, first - 1) or k
  return F.info_nce(q:narrow(1, first, own.count), keys, {temperature = temperature, divisor = q:size(1)})
end

return function(q, k, opts, own)
  if not own then return F.info_nce(q, k, opts) end
  local loss = own_rows(q, k, opts.temperature, own)
  if not opts.symmetric then return loss end
  return (loss + own_rows(k, q, opts.temperature, own)) * 0.5
end

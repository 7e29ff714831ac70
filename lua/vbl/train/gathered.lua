-- Of each column all ranks' rows (vbl.dist), and which of these is this rank's first: gathered(columns) -> {tensor, ...}, first. columns: tensors of this
-- rank's rows, in the order that all ranks have; none of a rank without rows. Without history.
local dist = require "vbl.dist"

return function(columns)
  local all, first = {}, 1
  for j = 1, dist.most(#columns) do all[j], first = dist.gather(columns[j]) end
  return all, first
end

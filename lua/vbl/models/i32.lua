-- i32(device, list[, columns]) -> an index tensor i32 [n], or [n // columns, columns], of a list of n numbers
local vbl = require "vbl"

return function(device, list, columns)
  local tensor = vbl.tensor(list, {dtype = "i32", device = device})
  return columns and tensor:reshape(#list // columns, columns) or tensor
end

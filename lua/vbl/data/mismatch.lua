-- The samples of a batch with others' images.
--   mismatch.distance(view, index) -> by     the fewest places by which the images move on until every sample (numbers of the view) meets another
--                                            image than its own; nil: the batch shows too few images for that
--   mismatch.up(x, by) -> tensor             rows (first dim) moved up by `by`, the first ones to the end
local vbl = require "vbl"

local mismatch = {}

function mismatch.distance(view, index)
  for by = 1, #index - 1 do
    local apart = true
    for i = 1, #index do apart = apart and not view:same_image(index[i], index[(i + by - 1) % #index + 1]) end
    if apart then return by end
  end
end

function mismatch.up(x, by) return vbl.cat({x:narrow(1, by + 1, x:size(1) - by), x:narrow(1, 1, by)}, 1) end

return mismatch

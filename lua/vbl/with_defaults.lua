-- with_defaults(what, given, defaults[, level]) -> a new table: the given options, and the defaults of those that are not given. One that has no default is
-- an error as of vbl.known, at the given level of the stack (3: the line that called the function). An option without a value of its own has the default false.
local known = require "vbl.known"
local merged = require "vbl.merged"
local sorted_keys = require "vbl.sorted_keys"

return function(what, given, defaults, level)
  local options = known(what, given, sorted_keys(defaults), (level or 3) + 1)
  return merged(defaults, options)
end

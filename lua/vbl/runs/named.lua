-- named(word) -> the folder of the run in runs/ that the word names (vbl.runs.find); the word itself where something is at that path, or no run is named so:
-- the caller knows what else it can be. Raises where it names several.
local find = require "vbl.runs.find"
local system = require "vbl.system.c"

return function(word) return system.exists(word) and word or find(word, "runs", word) end

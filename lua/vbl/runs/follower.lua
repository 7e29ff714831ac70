-- A run as the ranks behind the first have it (vbl.dist): what vbl.runs.folder does to its files the first one does, once. Checkpoints are read by all.
--   follower(path) -> run
local checkpoint = require "vbl.runs.checkpoint"

local Follower = {}
Follower.__index = Follower

for _, name in ipairs {"log", "warn", "alarm", "progress", "metric", "text", "image", "plots", "sync", "close"} do Follower[name] = function() end end

function Follower:load_checkpoint(kind, fingerprint) return (checkpoint.read(self.path .. "/checkpoints", kind, fingerprint)) end

return function(path) return setmetatable({path = path}, Follower) end

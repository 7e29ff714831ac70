-- vbl's side of `peer_torch.py step`: the model of towers.lua. Prints one JSON line like the peer's.
--   vbl tests/bench/step.lua [steps] [threads] [f32|bf16]
local common = require "bench_common"

local steps = tonumber(arg[1]) or 20
if arg[2] then require("vbl.system.c").set_threads(tonumber(arg[2])) end
local towers = require "towers"
common.measure("step", arg[3] or "f32", steps, 2, towers.step, towers.parameters)

-- vbl.sweep: a search over the config of an experiment. A Lua file is the sweep:
--
--   local sweep = vbl.sweep
--   vbl.sweep {
--     name = "fusion", experiment = "experiments/finetune.lua",
--     space = {lr = sweep.log(1e-4, 1e-2), ["model.placement"] = sweep.choice {"none", "early", "middle", "late"},
--              ["model.fusion"] = "interleaved", ["scenes.train"] = 4000, epochs = 5},
--     objective = "val.accuracy", method = "tpe", trials = 40, seeds = {0, 1, 2}, jobs = 2, pruner = "median",
--   }
--   vbl FILE    vbl sweep FILE    vbl sweep status FOLDER    vbl sweep resume FOLDER    vbl sweep worker FOLDER
--
-- name        the sweep's folder is OUT/NAME (runs/NAME), or folder =
-- experiment  the script; a run of a trial is `vbl EXPERIMENT key=value ... --seed N --out FOLDER/trials --name trial-0007`
-- space       config key -> a dimension (log, linear, integer, integer_log, choice, subset, when), or a constant: vbl.sweep.space
-- objective   "max val.auroc", or a list of several: vbl.sweep.objective
-- method      "grid", "random", "tpe": vbl.sweep.suggest; trials = configurations; seeds = {0}: each trial runs once a seed, its score is
--             the mean; seed = 0: of what the sweep draws; startup = 10: of tpe
-- pruner      "median", "halving", or {"halving", min = 1, eta = 3}: vbl.sweep.prune
-- jobs        workers on this machine; threads = 1: of each trial; devices = {"cuda:0", "cuda:1"}: one a worker
-- slurm       {jobs = 8, time = "04:00:00", ...}: workers as a Slurm array: vbl.sweep.slurm; lease = 120: seconds without a heartbeat after
--             which a worker of another host counts as dead
-- config      what vbl.config gave, when the file has keys of its own
--
-- vbl.sweep{...} -> what vbl.sweep.open(FOLDER) gives: {trials, best, ...}, its tostring a table (vbl.sweep.status)
local space = require "vbl.sweep.space"

local sweep = {}

for _, name in ipairs {"log", "linear", "integer", "integer_log", "choice", "subset", "when"} do sweep[name] = space[name] end

function sweep.open(folder) return require("vbl.sweep.status").open(folder) end

return setmetatable(sweep, {__call = function(_, given) return require("vbl.sweep.start").new(given) end})

-- Pretraining, fine-tuning, packing and a sweep, stopped 240 times: by signal 9, SIGTERM, SIGINT and by power cuts after which a disk has what
-- was synced and no more, or all names, or some of both. Each time what is gone on with ends as if nothing had been, bit for bit, and no more
-- than the last checkpoint's interval is lost.
local faults = require "faults"

local number = tonumber(os.getenv "VBL_TEST_KILLS" or 240)
local seed = tonumber(os.getenv "VBL_TEST_SEED" or 1)
local shares = {pretrain = 0.4, finetune = 0.3, pack = 0.25, sweep = 0.05}

faults.each({"pretrain", "finetune", "pack", "sweep"}, function(name)
  faults.kills(faults.workloads[name](), math.floor(shares[name] * number + 0.5), seed)
end)

faults.finish()

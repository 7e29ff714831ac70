-- Pretraining, fine-tuning, packing and a sweep, stopped 240 times: by signal 9, SIGTERM, SIGINT and by power cuts after which a disk has what
-- was synced and no more, or all names, or some of both. Each time what is gone on with ends as if nothing had been, bit for bit, and no more
-- than the last checkpoint's interval is lost.
-- In pieces: VBL_TEST_WORKLOAD=sweep is one workload alone; VBL_TEST_PART=2/5 the second of five parts of each one's kills. All parts are the whole.
local check = require "check"
local faults = require "faults"

local number = tonumber(os.getenv "VBL_TEST_KILLS" or 240)
local seed = tonumber(os.getenv "VBL_TEST_SEED" or 1)
local only, slice = os.getenv "VBL_TEST_WORKLOAD", os.getenv "VBL_TEST_PART" or "1/1"
local part, parts = slice:match "^(%d+)/(%d+)$"
part, parts = tonumber(part), tonumber(parts)
assert(part and part >= 1 and part <= parts, "VBL_TEST_PART: expected PART/PARTS such as 2/5, got " .. slice)

local shares, known = {{"pretrain", 0.4}, {"finetune", 0.3}, {"pack", 0.25}, {"sweep", 0.05}}, false
for _, share in ipairs(shares) do
  if not only or only == share[1] then
    known = true
    check.group(share[1], function() faults.kills(faults.workloads[share[1]](), math.floor(share[2] * number + 0.5), seed, part, parts) end)
  end
end
assert(known, "VBL_TEST_WORKLOAD: expected pretrain, finetune, pack or sweep, got " .. tostring(only))

faults.finish()

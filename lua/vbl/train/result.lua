-- result.json, what a run came to, replaced as a whole at each of its ends:
--   {status = "finished"|"failed"|"interrupted", message =, seed =, kind =, task =, best = {epoch =, metric =, value =},
--    values = {"val.accuracy" = ...}, intervals = {"test.accuracy" = {low, high}}, alignment = {before =, after =}}
-- values: of a pretraining run its last evaluation, of a finetuning run those of the best checkpoint. alignment: vbl.train.probe's summary, before
-- training and of the same model as values; a run that measured none has none.
local c = require "vbl.store.c"
local dist = require "vbl.dist"

local result = {}

function result.write(run, job, s, status, message)
  if not dist.first() then return end
  local alignment = (s.before or s.after) and {before = s.before, after = s.after}
  local best = s.best and {epoch = s.best.epoch, metric = s.best.metric, value = s.best.value}
  local record = {status = status, message = message, seed = job.config.flags.seed, kind = job.kind.name, task = job.task_name, best = best,
                  values = job.kind.values(job, s), intervals = s.intervals, alignment = alignment}
  run:sync()  -- whoever reads that it ended finds all of it
  c.write_atomic(run.path .. "/result.json", c.json_encode(record, {indent = 2, nan = "string"}) .. "\n")
end

return result

-- removable(record): raises, with the reason, for a run that a process is writing, and for a folder that is not surely a run's: a project's folder may
-- have a config.lua too.
return function(record)
  if not require("vbl.runs.record").is_surely_run(record.path) then
    error(record.path .. ": not surely a run's folder (no metrics.jsonl and no manifest.json of this program); remove it by hand if it is one", 0)
  end
  if record:locked() then error(record.path .. ": is running; stop it first", 0) end
end

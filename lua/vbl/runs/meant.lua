-- meant(word) -> ", did you mean runs/DATE-TIME-NAME?" where a word that is no run's folder is the id, the name or a part of the name of one run in
-- runs/, else "". For what takes folders alone, because it writes them down.
return function(word)
  local find = require "vbl.runs.find"  -- here: it needs the record, whose folder asks this
  local ok, path = pcall(find, word, "runs")
  return ok and path ~= word and (", did you mean %s?"):format(path) or ""
end

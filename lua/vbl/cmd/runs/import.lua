-- vbl runs import SOURCE ...: runs that were made elsewhere, as a folder or an archive (vbl.runs.import).
local usage = require "vbl.usage"
local vbl = require "vbl"

return {
  usage = "FOLDER|ARCHIVE.tar[.gz] ...",
  help = "copies runs from another machine in",
  run = function(words, _, flags)
    if #words == 0 then usage "runs import: expected a run's folder or an archive of it (vbl runs help)" end
    for _, source in ipairs(words) do
      for _, path in ipairs(vbl.runs.import(source, flags.out)) do print("imported " .. path) end
    end
  end,
}

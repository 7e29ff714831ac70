-- vbl runs tag RUN TAG ...: adds tags; -TAG removes one. "invalid" keeps the run out of every table.
local usage = require "vbl.usage"
local vbl = require "vbl"

return {
  usage = "RUN TAG ... [-TAG ...]",
  help = "adds tags, removes those with a -",
  run = function(words, _, flags)
    if #words < 2 then usage "runs tag: expected a RUN and tags; -TAG removes one (vbl runs help)" end
    local record = vbl.runs.open(vbl.runs.find(words[1], flags.out))
    local tags = vbl.runs.tag(record, table.pack(table.unpack(words, 2)))
    print(("%s: %s"):format(record.name, #tags > 0 and table.concat(tags, " ") or "no tags"))
  end,
}

-- vbl runs note RUN TEXT: the note of a run; "" removes it.
local usage = require "vbl.usage"
local vbl = require "vbl"

return {
  usage = "RUN TEXT",
  help = "replaces its note",
  run = function(words, _, flags)
    if #words ~= 2 then usage "runs note: expected a RUN and a text in quotes (vbl runs help)" end
    vbl.runs.note(vbl.runs.open(vbl.runs.find(words[1], flags.out)), words[2])
  end,
}

-- vbl data describe SOURCE [key=value ...]: what the data set is.
local usage = require "vbl.usage"
local vbl = require "vbl"
local visible = require "vbl.visible"

return {
  options = true,
  usage = "SOURCE",
  help = "splits, classes, lengths, what was skipped",
  run = function(words, options)
    if #words ~= 1 then usage "data describe: expected one SOURCE (vbl data help)" end
    print(visible(vbl.data.open(words[1], options):describe()))
  end,
}

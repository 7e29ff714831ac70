-- vbl data check SOURCE [key=value ...]: whether all images can be read and the splits are apart. Exit code 1 when not.
local usage = require "vbl.usage"
local vbl = require "vbl"

return {
  usage = "SOURCE",
  help = "reads all images; leaks between splits by id, image, text",
  run = function(words, options)
    if #words ~= 1 then usage "data check: expected one SOURCE (vbl data help)" end
    local data = vbl.data.open(words[1], options)
    print(data:describe())
    local text, well = data:check()
    print(text)
    return well and 0 or 1
  end,
}

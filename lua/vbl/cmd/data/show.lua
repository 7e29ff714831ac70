-- vbl data show SOURCE N [OUT.png] [split=train] [task=mlm|ap|mim] [epoch=0] [key=value ...]: sample N as the model gets it, its picture in
-- OUT.png, its tokens here.
local usage = require "vbl.usage"
local vbl = require "vbl"
local visible = require "vbl.visible"

local own = {split = true, task = true, epoch = true, probability = true, step = true}

return {
  options = true,
  usage = "SOURCE N [OUT.png] [task=mlm]",
  help = "sample N of split= as the model gets it",
  run = function(words, options)
    local index = math.tointeger(tonumber(words[2]))
    if #words < 2 or #words > 3 or not index then usage "data show: expected SOURCE N [OUT.png] (vbl data help)" end
    local opts, rest = {seed = options.seed}, {}
    for key, value in pairs(options) do
      if own[key] then opts[key] = value else rest[key] = value end
    end
    local shown = vbl.data.open(words[1], rest):show(index, opts)
    if words[3] then vbl.save(words[3], shown.image) end
    print(visible(shown.text))
  end,
}

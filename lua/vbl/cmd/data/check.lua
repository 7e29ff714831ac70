-- vbl data check SOURCE [key=value ...]: whether all images can be read and the splits are apart. Exit code 1 when not.
local usage = require "vbl.usage"
local vbl = require "vbl"
local visible = require "vbl.visible"

-- The set, and why a run would refuse it: one with more bad records or images than max_bad takes is opened all the same, so that the list
-- of them is whole.
local function open(source, options)
  local ok, data = pcall(vbl.data.open, source, options)
  if ok then return data end
  local refused = data
  if options.max_bad then error(refused, 0) end
  options.max_bad = 1
  ok, data = pcall(vbl.data.open, source, options)
  if not ok then error(refused, 0) end
  return data, usage.strip(refused):match "^[^\n]*":gsub("; the first:$", "")
end

return {
  options = true,
  usage = "SOURCE",
  help = "reads all images; leaks between splits by id, image, text",
  run = function(words, options)
    if #words ~= 1 then usage "data check: expected one SOURCE (vbl data help)" end
    local data, refused = open(words[1], options)
    print(visible(data:describe()))
    local text, well = data:check()
    if refused then text = text:gsub("%f[^\n]ok$", "NOT OK") .. ": " .. refused end
    print(visible(text))
    return well and not refused and 0 or 1
  end,
}

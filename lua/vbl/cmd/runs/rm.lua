-- vbl runs rm RUN ... [--yes]: removes runs, after asking. All words are looked up, and may go, before anything is removed.
local record = require "vbl.runs.record"
local removable = require "vbl.runs.removable"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local vbl = require "vbl"

local function megabytes(path)
  local bytes = 0
  for _, name in ipairs(require("vbl.store.c").files(path)) do bytes = bytes + system.stat(path .. "/" .. name).size end
  return bytes / 1e6
end

local function confirmed(records)
  for _, r in ipairs(records) do print(("%s  %s  %.1f MB"):format(r.path, r.status, megabytes(r.path))) end
  if not system.isatty "stdin" then usage "runs rm: nobody to ask here; --yes removes without asking" end
  io.write(("remove %s for good? [y/N] "):format(#records == 1 and "it" or ("these %d runs"):format(#records)))
  io.flush()
  local answer = io.read "l" or ""
  return answer:lower() == "y" or answer:lower() == "yes"
end

return {
  usage = "RUN ... [--yes]",
  help = "removes runs; not one that is running",
  run = function(words, _, flags)
    if #words == 0 then usage "runs rm: expected one RUN or several (vbl runs help)" end
    local records, named = {}, {}
    for _, word in ipairs(words) do
      local path = vbl.runs.find(word, flags.out)
      local r = record.read(path)
      removable(r)
      if not named[path] then records[#records + 1] = r end
      named[path] = true
    end
    if not flags.yes and not confirmed(records) then return print "nothing was removed" end
    for _, r in ipairs(records) do
      vbl.runs.remove(r)
      print("removed " .. r.path)
    end
  end,
}

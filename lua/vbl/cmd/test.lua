-- vbl test [tier ...]: runs the tests of the build folder that this program lies in; tiers quick, unit, gpu, full (default:
-- quick unit). Exit code: ctest's; 77 when what was asked for cannot run here.
-- vbl test measures: every line of the measures' fixture with its difference; needs no build folder. Exit code 1 when one is off.
local nearest = require "vbl.nearest"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local vbl = require "vbl"

local tiers = {"quick", "unit", "gpu", "full"}

local function known(tier)
  for _, name in ipairs(tiers) do
    if name == tier then return true end
  end
end

local function has_gpu()
  for _, device in ipairs(vbl.devices()) do
    if device.name:find "^cuda" then return true end
  end
end

-- The folder of sources that this build was configured from, or nil.
local function source_folder(build)
  local file = io.open(build .. "/CMakeCache.txt")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text:match "CMAKE_HOME_DIRECTORY:INTERNAL=([^\n]*)"
end

return function(...)
  if ... == "--help" then
    return print(("usage: vbl test [TIER ...]     runs tests of these tiers (%s; quick and unit by default), or measures alone"):format(table.concat(tiers, ", ")))
  end
  if ... == "measures" and select("#", ...) == 1 then return require("vbl.measure.fixture").run() == 0 and 0 or 1 end
  local wanted = select("#", ...) > 0 and {...} or {"quick", "unit"}
  for _, tier in ipairs(wanted) do
    if not known(tier) then
      usage(("test: no tier '%s'%s (tiers: %s; or measures alone)"):format(tier, nearest.hint(tier, tiers), table.concat(tiers, ", ")))
    end
    if tier == "gpu" and not has_gpu() then
      print "SKIPPED: gpu: no GPU backend is built into this vbl, or no device is here (vbl doctor)"
      return 77
    end
  end
  local build = system.executable():match "^(.*)/"
  local source = source_folder(build)
  if not source then
    print(("SKIPPED: no tests beside %s: they are built with the sources (make test)"):format(system.executable()))
    return 77
  end
  local code, message = system.run {source .. "/tools/test.sh", build, table.unpack(wanted)}
  if not code then usage("test: " .. message) end
  return code
end

-- gnuplot as a separate process. A figure is a script, kept beside the pictures (BASE.gp: edit it and run `gnuplot BASE.gp` there), that
-- writes BASE.svg and BASE.png.
--
--   gnuplot.available() -> boolean; when it is missing, says so once, in one line
--   gnuplot.quote(text) -> a gnuplot string
--   gnuplot.render(base, width, height, data, commands)     size in pixels; data: blocks; commands: the drawing, done once a format
local c = require "vbl.store.c"
local system = require "vbl.system.c"

local gnuplot = {}

local found, told

function gnuplot.available()
  if found == nil then
    local _, code = system.output {"sh", "-c", "command -v gnuplot"}
    found = code == 0
  end
  if not found and not told then
    io.stderr:write "plots skipped: gnuplot is not installed (package gnuplot-nox)\n"
    told = true
  end
  return found
end

function gnuplot.quote(text) return "'" .. tostring(text):gsub("%c", " "):gsub("'", "''") .. "'" end

-- Text is taken literally (noenhanced): names hold '_' and '^'. The PNG has twice the pixels, for screens and print.
local head = [[
if (!exists("base")) base = %s
%s
set encoding utf8
do for [format = 1:2] {
  if (format == 1) {
    set terminal svg noenhanced size %d,%d font "Sans,12" background "#ffffff"
    set output base.".svg"
  } else {
    set terminal pngcairo noenhanced size %d,%d font "Sans,12" fontscale 1.6 linewidth 2 pointscale 1.5 background "#ffffff"
    set output base.".png"
  }
%s
  unset output
}
]]

local function finish(base, temporary)
  for _, suffix in ipairs {".svg", ".png"} do
    local ok, message = os.rename(temporary .. suffix, base .. suffix)
    if not ok then error(("plot: %s"):format(message), 0) end
  end
end

function gnuplot.render(base, width, height, data, commands)
  if not gnuplot.available() then return false end
  local folder, name = base:match "^(.*)/([^/]*)$"
  if folder and folder ~= "" then c.make_folder(folder) end
  local script, temporary = base .. ".gp", base .. ".tmp-" .. system.pid()
  c.write_atomic(script, head:format(gnuplot.quote(name or base), data, width, height, 2 * width, 2 * height, commands))
  -- Apart: a Ctrl-C at the terminal makes gnuplot jump out of whatever it does, an allocation too, after which it may abort or wait for ever.
  local text, code = system.output {"sh", "-c", 'exec gnuplot -e "$1" "$2" 2>&1', "sh", "base=" .. gnuplot.quote(temporary), script, apart = true}
  if code ~= 0 then
    for _, suffix in ipairs {".svg", ".png"} do os.remove(temporary .. suffix) end
    error(("plot: gnuplot failed on %s: %s"):format(script, text or code), 0)
  end
  finish(base, temporary)
  return true
end

return gnuplot

-- What a run shows on its terminal: whole lines, and below them one progress line that is redrawn in place. Not on a terminal: lines,
-- and the progress as a line of its own once a minute.
--
-- console.new([device]) -> {line(text), progress(text), clear()}     device {write(text), width() -> columns or nil, clock() -> s}
local dist = require "vbl.dist"
local system = require "vbl.system.c"

local console = {}

local REDRAW, PLAIN = 0.1, 60  -- seconds between progress lines on a terminal and elsewhere

-- mpirun gives its processes terminals of their own, wherever its own output goes.
local function width()
  local stream = dist.launched() > 1 and "parent" or "stdout"
  return system.isatty "stdout" and system.isatty(stream) and (system.width(stream) or 80) or nil
end

local stdout = {
  write = function(text)
    io.stdout:write(text)
    io.stdout:flush()
  end,
  width = width,
  clock = system.monotonic,
}

-- The first `width` characters. Bytes that are no UTF-8 count one each.
local function fit(text, width)
  text = text:gsub("%c", " ")
  if (utf8.len(text) or #text) <= width then return text end
  return text:sub(1, (utf8.len(text) and utf8.offset(text, width + 1) or width + 1) - 1)
end

function console.new(device)
  device = device or stdout
  local shown, last = nil, nil  -- the progress text on the screen; when one was last written
  local self = {}

  function self.line(text)
    local width = device.width()
    if shown then device.write "\r\27[K" end
    device.write(text .. "\n")
    if shown and width then device.write(fit(shown, width - 1)) end
  end

  function self.progress(text)
    local now, width = device.clock(), device.width()
    if last and now - last < (width and REDRAW or PLAIN) then return end
    if not width then
      if last then device.write(text .. "\n") end
      last = last or now
      if now - last >= PLAIN then last = now end
      return
    end
    last, shown = now, text
    device.write("\r\27[K" .. fit(text, width - 1))
  end

  function self.clear()
    if shown then device.write "\r\27[K" end
    shown = nil
  end

  return self
end

return console

-- usage: vbl tools/ansi_svg.lua TITLE <TEXT >SVG   Terminal text with SGR escapes (as `tmux capture-pane -e -p` gives it) as an SVG picture of a
-- window: 24-bit, 256 and 16 colours, bold, dim, inverse. Text stays text, so that it can be searched and copied.
local title = arg[1] or "vbl"

local FONT, LINE, CELL, PAD, BAR = 13, 17, 7.83, 14, 30  -- pixels; CELL: a monospaced letter of 13 px, held by textLength
local INK, PAPER = "#e6e6e6", "#1b1e24"
local basic = {[0] = "#3b4048", "#ff7b72", "#7ee787", "#e3b341", "#79c0ff", "#d2a8ff", "#76e3ea", "#e6e6e6",
               "#7d8590", "#ffa198", "#aff5b4", "#f2cc60", "#a5d6ff", "#e2c5ff", "#b3f0ff", "#ffffff"}

local function of_256(n)
  if n < 16 then return basic[n] end
  if n >= 232 then return ("#%02x%02x%02x"):format(8 + 10 * (n - 232), 8 + 10 * (n - 232), 8 + 10 * (n - 232)) end
  local function level(v) return v == 0 and 0 or 55 + 40 * v end
  n = n - 16
  return ("#%02x%02x%02x"):format(level(n // 36), level(n // 6 % 6), level(n % 6))
end

-- 38 or 48 and what follows it at codes[i] -> colour, the next i
local function extended(codes, i)
  if codes[i] == 2 then return ("#%02x%02x%02x"):format(codes[i + 1], codes[i + 2], codes[i + 3]), i + 4 end
  return of_256(codes[i + 1]), i + 2
end

local function apply(state, text)
  local codes = {}
  for code in (text .. ";"):gmatch "(%d*)[;:]" do codes[#codes + 1] = tonumber(code) or 0 end
  local i = 1
  while i <= #codes do
    local code = codes[i]
    i = i + 1
    if code == 0 then state.ink, state.paper, state.bold, state.dim, state.inverse = nil, nil, nil, nil, nil
    elseif code == 1 then state.bold = true
    elseif code == 2 then state.dim = true
    elseif code == 7 then state.inverse = true
    elseif code == 22 then state.bold, state.dim = nil, nil
    elseif code == 27 then state.inverse = nil
    elseif code == 38 then state.ink, i = extended(codes, i)
    elseif code == 48 then state.paper, i = extended(codes, i)
    elseif code == 39 then state.ink = nil
    elseif code == 49 then state.paper = nil
    elseif code >= 30 and code <= 37 then state.ink = basic[code - 30]
    elseif code >= 40 and code <= 47 then state.paper = basic[code - 40]
    elseif code >= 90 and code <= 97 then state.ink = basic[code - 82]
    elseif code >= 100 and code <= 107 then state.paper = basic[code - 92] end
  end
end

-- The column after the last one that shows anything.
local function end_of(runs)
  for i = #runs, 1, -1 do
    local run = runs[i]
    if run.paper then return run.column + run.width end
    if run.text:find "%S" then return run.column + utf8.len((run.text:gsub(" +$", ""))) end
  end
  return 0
end

-- A line as runs of one style: {text =, column =, ink =, paper =, bold =, dim =}; the style at a line's end goes on in the next.
local function runs_of(line, state)
  local runs, column, at = {}, 0, 1
  while at <= #line do
    local codes, after = line:match("^\27%[([%d;:]*)m()", at)
    if codes then
      apply(state, codes)
      at = after
    else
      local stop = (line:find("\27", at + 1, true) or #line + 1) - 1
      local text = line:sub(at, stop):gsub("^\27[^%a]*%a", "")
      local width = utf8.len(text) or #text
      local ink, paper = state.ink or INK, state.paper
      if state.inverse then ink, paper = paper or PAPER, state.ink or INK end
      if width > 0 then runs[#runs + 1] = {text = text, column = column, width = width, ink = ink, paper = paper, bold = state.bold, dim = state.dim} end
      column, at = column + width, stop + 1
    end
  end
  return runs
end

local function escaped(text) return (text:gsub("&", "&amp;"):gsub("<", "&lt;"):gsub(">", "&gt;")) end

-- A browser makes one blank of several, but not of these.
local function kept(text) return (escaped(text):gsub("  +", function(blanks) return ("\u{A0}"):rep(#blanks) end)) end

-- A prompt is not what was typed.
local function split_prompt(runs)
  local first = runs[1]
  local prompt = first and not first.paper and first.text:match "^%d+>>? "
  if not prompt then return runs end
  local rest = first.text:sub(#prompt + 1)
  local out = {{text = prompt, column = 0, width = #prompt, ink = basic[2], bold = true}}
  if rest ~= "" then out[2] = {text = rest, column = #prompt, width = utf8.len(rest), ink = basic[15], bold = true} end
  return table.move(runs, 2, #runs, #out + 1, out)
end

local lines, columns, state = {}, 0, {}
for line in io.read("a"):gmatch "([^\n]*)\n" do
  local runs = runs_of(line, state)
  lines[#lines + 1], columns = split_prompt(runs), math.max(columns, end_of(runs))
end
while #lines > 0 and end_of(lines[#lines]) == 0 do lines[#lines] = nil end

local width, height = 2 * PAD + columns * CELL, BAR + 2 * PAD + #lines * LINE
local out = {
  ('<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">'):format(width, height, width, height, escaped(title)),
  -- The border is seen on a dark page and on a white one.
  ('<rect x="0.5" y="0.5" width="%.0f" height="%.0f" rx="8" fill="%s" stroke="#6e7681"/>'):format(width - 1, height - 1, PAPER),
}
for i, color in ipairs {"#ff5f57", "#febc2e", "#28c840"} do out[#out + 1] = ('<circle cx="%d" cy="%d" r="5.5" fill="%s"/>'):format(2 + 18 * i, BAR // 2 + 2, color) end
out[#out + 1] = ('<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,\'DejaVu Sans Mono\',\'Liberation Mono\',monospace" font-size="%d">'):format(FONT)
out[#out + 1] = ('<text x="%.0f" y="%d" fill="#9da5b0" text-anchor="middle">%s</text>'):format(width / 2, BAR // 2 + 6, escaped(title))

local function add_run(run, top)
  local x = PAD + run.column * CELL
  if run.paper then out[#out + 1] = ('<rect x="%.2f" y="%d" width="%.2f" height="%d" fill="%s"/>'):format(x, top, run.width * CELL + 0.3, LINE, run.paper) end
  if not run.text:find "%S" then return end
  -- From its first letter on: blanks before and behind only cost bytes.
  local lead, text = run.text:match "^(%s*)(.-)%s*$"
  out[#out + 1] = ('<text x="%.2f" y="%d" textLength="%.2f" fill="%s"%s%s>%s</text>'):format(
    x + #lead * CELL, top + 13, (utf8.len(text) or #text) * CELL, run.ink, run.bold and ' font-weight="bold"' or "", run.dim and ' opacity="0.7"' or "", kept(text))
end

for i, runs in ipairs(lines) do
  for _, run in ipairs(runs) do add_run(run, BAR + PAD + (i - 1) * LINE) end
end
out[#out + 1] = "</g>\n</svg>"
print(table.concat(out, "\n"))

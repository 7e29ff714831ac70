-- vbl reference FOLDER: a page of Markdown for each module and each kind of object (vbl.measure.md, tensor.md), README.md that lists them,
-- and vbl.1, the manual page. All from the tables and comments that ?name reads.
local pages = require "vbl.reference"
local source = require "vbl.source"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local usage = require "vbl.usage"
local vbl = require "vbl"

local function file_of(part) return (part.name:gsub(" ", "-")) .. ".md" end

local function page(part)
  local lines = {"# " .. part.name, ""}
  if part.about ~= "" then lines[#lines + 1] = "```\n" .. part.about .. "\n```\n" end
  for _, entry in ipairs(part.entries) do
    lines[#lines + 1] = ("## %s\n\n```lua\n%s\n```\n\n%s\n"):format(entry.name, entry.signature, entry.help)
    if entry.example then lines[#lines + 1] = ("```lua\n%s\n```\n"):format(entry.example) end
  end
  return table.concat(lines, "\n")
end

local function contents(parts)
  local lines = {"# Reference", ""}
  for _, part in ipairs(parts) do
    lines[#lines + 1] = ("- [%s](%s): %d functions"):format(part.name, file_of(part), #part.entries)
  end
  return table.concat(lines, "\n") .. "\n"
end

local function roff(text) return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("^[.']", "\\&%0"):gsub("\n([.'])", "\n\\&%1")) end

local commands = {"doctor", "data", "export", "learn", "lsp", "reference", "report", "runs", "sweep", "test", "why"}

-- What a command's head says: a line "vbl NAME words: what it does", or with blanks for the colon, begins an entry.
local function add_command(lines, head)
  for line in head:gmatch "[^\n]+" do
    local words, text = line:match "^(vbl .-)%s%s+(%S.*)$"
    if not words then words, text = line:match "^(vbl [^:]*): (.*)$" end
    if words then lines[#lines + 1] = ".TP\n.B " .. roff(words) end
    lines[#lines + 1] = roff((text or line):gsub("^%s+", ""))
  end
end

local function add_commands(lines)
  for _, command in ipairs(commands) do
    local module = "vbl.cmd." .. command
    add_command(lines, source.head(module) or "")
    local made = require(module)
    for _, sub in ipairs(type(made) == "table" and made.names or {}) do add_command(lines, source.head(module .. "." .. sub) or "") end
  end
end

local function manual()
  local lines = {
    ('.TH VBL 1 "" "vbl %s"'):format(vbl.version), ".SH NAME", "vbl \\- pretrains two\\-stream vision\\-language transformers and measures their alignment",
    ".SH SYNOPSIS", ".B vbl", "[\\-e code] [\\-l module] [\\-i] [\\-v] [\\-E] [\\-W] [script [key=value ...] [flags]]", ".br", ".B vbl", "command ...", ".SH DESCRIPTION",
    "An interpreter of Lua 5.4 with the engine inside. Without a script, on a terminal, it is a prompt. Options are those of lua(1).", ".SH COMMANDS",
  }
  add_commands(lines)
  lines[#lines + 1] = ".SH FLAGS OF A SCRIPT"
  for _, flag in ipairs(require("vbl.config.flags").rows) do
    lines[#lines + 1] = (".TP\n.B %s %s\n%s"):format(roff("--" .. flag[1]), flag[2] or "", roff(flag[3]))
  end
  lines[#lines + 1] = ".SH FILES\n.TP\n.B $XDG_STATE_HOME/vbl/history, ~/.local/state/vbl/history\nwhat was typed at the prompt"
  lines[#lines + 1] = ".SH ENVIRONMENT\n.TP\n.B LUA_INIT, LUA_PATH, LUA_CPATH\nas lua(1); also with _5_4 behind the name, which comes first. \\-E ignores them and VBL_LUA\n.TP\n.B VBL_LUA\nfolder whose Lua modules come before the program's own\n.TP\n.B OMP_WAIT_POLICY\n" ..
                      "active or passive: how threads wait"
  return table.concat(lines, "\n") .. "\n"
end

return function(out, more)
  if out == "--help" then return print "usage: vbl reference FOLDER     all help as pages of Markdown, and vbl.1" end
  if not out or more or out:find "^%-" then usage "usage: vbl reference FOLDER" end
  local ok, message = system.mkdir(out)
  if not ok then usage("reference: " .. message) end
  local parts = pages()
  for _, part in ipairs(parts) do store.write_atomic(out .. "/" .. file_of(part), page(part)) end
  store.write_atomic(out .. "/README.md", contents(parts))
  store.write_atomic(out .. "/vbl.1", manual())
  print(("%s: %d pages and vbl.1"):format(out, #parts + 1))
end

-- visible(text) -> text that is safe to show: what a stranger's file says goes to a terminal, which takes control characters for commands (move the cursor,
-- rename the window, fill the clipboard). Those of ASCII but for newline and tab become \xNN, those of Latin-1, as UTF-8, \u{NN}. An error's message gets the
-- same where the program ends (bindings/main.c).
local function ascii(char) return ("\\x%02x"):format(char:byte()) end
local function latin(char) return ("\\u{%02x}"):format(char:byte()) end

return function(text) return (text:gsub("[%z\1-\8\11-\31\127]", ascii):gsub("\xC2([\x80-\x9F])", latin)) end

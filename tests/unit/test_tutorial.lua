-- Every block of docs/tutorial.md runs as `vbl learn` runs it, and shows what the text says that it shows.
local check = require "check"
local system = require "vbl.system.c"

local folder = os.tmpname()
os.remove(folder)
assert(system.mkdir(folder))

local function learn(words) return system.output {"sh", "-c", ("cd '%s' && exec 2>&1; '%s' learn %s </dev/null"):format(folder, system.executable(), words)} end

check.group("the tutorial", function()
  local text, code = learn "1"  -- the word is no key of the experiment in step 6
  check.equal(code, 0)
  for i = 1, 7 do check.ok(text:find("\n" .. i .. ". ", 1, true) or text:find("^" .. i .. ". "), "step " .. i) end
  local before, after = tonumber(text:match "\nbefore the fusion\t([%d.-]+)"), tonumber(text:match "\nafter it\t([%d.-]+)")
  check.ok(before < 0.2 and after > 0.7, "the trap: " .. text)
  check.ok(tonumber(text:match "\nsame\t([%d.]+)") == 1)
  check.ok(text:find "Alignment of the two streams by layer\n.*mismatched")
  check.ok(text:find "CKA, layer by layer\n")
end)

check.group("at a terminal: a step without a word leaves its names, help is at hand, and how to go on", function()
  local command = [[cd '%s' && printf '?vbl.randn\nbanana\ns\ns\n\nq\n' | TERM=xterm script -qec "'%s' learn" /dev/null]]
  local text, code = system.output {"sh", "-c", command:format(folder, system.executable())}
  if code == 127 then return print "SKIPPED: script(1) is not installed (package bsdutils)" end
  check.equal(code, 0)
  check.ok(text:find "f32%[128," and text:find "vbl learn 4 goes on from here", text)
  check.ok(text:find("randn(d1, d2", 1, true) and not text:find("f32[6,4]", 1, true), "neither ?name nor another word is Return: " .. text)
end)

check.group("blocks of other pages", function()
  arg = {[0] = "page", "--out", folder}  -- for those that train
  package.cpath = system.executable():match "^(.*)/[^/]*$" .. "/plugin/?.so;" .. package.cpath
  for _, page in ipairs {"docs/extending.md", "docs/differences.md"} do
    local n = 0
    for code in require("vbl.store.c").read_file(page):gmatch "```lua\n(.-)```" do
      n = n + 1
      assert(load(code, "=" .. page))()
    end
    check.ok(n > 0)
  end
end)

check.group("words", function()
  local text, code = learn "9"
  check.equal(code, 1)
  check.ok(text:find("STEP from 1 to 7", 1, true), text)
end)

system.run {"rm", "-rf", folder}
check.done()

-- `cmake --install` into a folder, the folder moved, the program run from there with nothing of the source near; bash's completion.
local check = require "check"
local system = require "vbl.system.c"

local build = system.executable():match "^(.*)/[^/]*$"
local folder = os.tmpname()
os.remove(folder)

local function sh(format, ...) return system.output {"sh", "-c", "exec 2>&1; " .. format:format(...)} end

if system.run {"sh", "-c", "command -v cmake >/dev/null"} ~= 0 then
  print "SKIPPED: cmake is not on the PATH"
  os.exit(77)
end

check.group("installed and moved", function()
  local text, code = sh("cmake --install '%s' --prefix '%s/a' && mv '%s/a' '%s/b'", build, folder, folder, folder)
  check.equal(code, 0)
  check.ok(code == 0 or print(text))
  for _, file in ipairs {"bin/vbl", "share/vbl/experiments/pretrain_all.lua", "share/man/man1/vbl.1", "share/bash-completion/completions/vbl"} do
    check.ok(system.exists(("%s/b/%s"):format(folder, file)), file)
  end
  text, code = sh("cd / && '%s/b/bin/vbl' '%s/b/share/vbl/experiments/overfit_batch.lua' --help", folder, folder)
  check.equal(code, 0)
  check.ok(text:find "^usage: vbl ")
end)

-- What Tab offers for a line whose last word is being typed.
local function offered(line)
  local script = [[. '%s/b/share/bash-completion/completions/vbl'; PATH='%s/b/bin':$PATH; cd '%s/b/share/vbl'; compopt() { :; }
    COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _vbl; printf '%%s\n' "${COMPREPLY[@]}"]]
  return (system.output {"bash", "-c", script:format(folder, folder, folder, line)})
end

if system.run {"sh", "-c", "command -v bash >/dev/null"} == 0 then
  check.group("completion", function()
    check.equal(offered "vbl doc", "doctor\n")
    check.ok(offered("vbl ex"):find "experiments/\n")
    check.equal(offered "vbl experiments/overfit_batch.lua --thr", "--threads\n")
    check.ok(offered("vbl experiments/pretrain_all.lua model.drop"):find "^model%.dropout=\n$")
  end)
end

system.run {"rm", "-rf", folder}
check.done()

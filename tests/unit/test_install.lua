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
  for _, file in ipairs {"bin/vbl", "share/vbl/experiments/pretrain_all.lua", "share/man/man1/vbl.1", "share/bash-completion/completions/vbl", "include/vbl/vbl.h",
                       "share/pkgconfig/vbl.pc", "share/doc/vbl/vbl.cdx.json"} do
    check.ok(system.exists(("%s/b/%s"):format(folder, file)), file)
  end
  text, code = sh("cd / && '%s/b/bin/vbl' '%s/b/share/vbl/experiments/overfit_batch.lua' --help", folder, folder)
  check.equal(code, 0)
  check.ok(text:find "^usage: vbl ")
end)

if system.run {"pkg-config", "--exists", "lua5.4"} == 0 then
  check.group("the example of a plug-in, built against what is installed", function()
    local text, code = sh("cd '%s' && cp -r b/share/vbl/examples/plugin p && export PKG_CONFIG_PATH='%s/b/share/pkgconfig' && cmake -S p -B p/build && cmake --build p/build",
                          folder, folder)
    check.equal(code, 0)
    check.ok(code == 0 or print(text))
    text, code = sh("cd '%s/p' && LUA_CPATH='build/?.so;;' ../b/bin/vbl -e 'require [[example]] print(vbl.measure.passed [[centred_cosine]], vbl.nn.functional.squared_relu(vbl.full({1}, 3)):item())'", folder)
    check.equal(text, "true\t9.0\n")
  end)
end

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

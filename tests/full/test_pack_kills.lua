-- `vbl data pack` killed ten times at random moments, as a user starts it: what it finishes then is what an undisturbed run writes, byte for
-- byte. The moments come from the clock, so that each run of the test tries others; they are printed.
local check = require "check"
local store = require "vbl.store.c"
local system = require "vbl.system.c"

local folder = require "fresh_folder" "pack-kills"

local function files(path)
  local all = {}
  for _, name in ipairs(system.list(path)) do all[#all + 1] = name .. " " .. store.sha256_file(path .. "/" .. name) end
  return table.concat(all, "\n")
end

-- seconds: killed after so long; nil: to its end. -> exit code
local function pack(out, threads, seconds)
  local command = ("%s %s data pack scenes %s/%s image=96 train=30000 test=100 shard=300 threads=%d >%s/log 2>&1"):format(
    seconds and ("timeout -s KILL %.3f"):format(seconds) or "", system.executable(), folder, out, threads, folder)
  return system.run {"/bin/sh", "-c", command}
end

check.group("ten kills", function()
  local started = system.monotonic()
  check.equal(pack("undisturbed", 2), 0)
  local longest, killed = (system.monotonic() - started) / 6, 0
  math.randomseed(os.time())
  for _ = 1, 60 do
    local after = 0.1 + math.random() * longest
    local code = pack("killed", 2, after)
    if code == 128 + 9 then
      killed = killed + 1
      print(("  kill %d after %.3f s: %d files"):format(killed, after, #(system.list(folder .. "/killed") or {})))
      if killed == 10 then break end
    else  -- done before its moment: once more from the start, with earlier ones
      check.equal(code, 0)
      store.remove(folder .. "/killed")
      longest = longest / 2
    end
  end
  check.equal(killed, 10)
  check.equal(pack("killed", 2), 0)
  check.equal(files(folder .. "/killed"), files(folder .. "/undisturbed"))
end)

check.done()

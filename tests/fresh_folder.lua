-- fresh_folder(name) -> path     a folder of a test's own, empty, in memory where there is such a place (every checkpoint waits for the disk); removed as
-- the program ends. Its name has the process's number, which comes again: what a killed test of that number left is not taken over.
local c = require "vbl.store.c"
local system = require "vbl.system.c"

local root = os.execute "test -w /dev/shm" and "/dev/shm" or os.getenv "TMPDIR" or "/tmp"
local made = setmetatable({}, {__gc = function(paths)
  for _, path in ipairs(paths) do c.remove(path) end
end})

return function(name)
  local base = ("%s/vbl-test-%s-%d"):format(root, name, system.pid())
  local path, n = base, 1
  while not c.make_folder(path) do
    n = n + 1
    path = base .. "-" .. n
  end
  made[#made + 1] = path
  return path
end

-- The list of what the program is made of (cmake/sbom.cmake) against the program itself, as readelf sees it, and against docs/security.md.
local check = require "check"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local vbl = require "vbl"

if not os.getenv "VBL_HARDENED" then
  print "SKIPPED: this build links to a sanitizer's libraries too"
  os.exit(77)
end
if not system.output {"readelf", "--version"} then
  print "SKIPPED: readelf is not installed (package binutils)"
  os.exit(77)
end

local build = system.executable():match "^(.*)/[^/]*$"
local components = vbl.load(build .. "/vbl.cdx.json").components

local function property(c, name)
  for _, p in ipairs(c.properties) do
    if p.name == "vbl:" .. name then return p.value end
  end
end

local function licence(c) return c.licenses[1].expression or c.licenses[1].license.name end

-- What a built file links to, without versions: {libhdf5_serial = true, ...}.
local function needed(path)
  local found = {}
  for name in system.output {"readelf", "-dW", path}:gmatch "NEEDED[^\n]*%[([^\n]-)%.so" do found[name] = true end
  return found
end

-- One of the files that are built: what it links to is in the list, and what the list says that it links to or opens is in it.
local function compare(by)
  local path = build .. "/" .. by
  local links, bytes = needed(path), store.read_file(path)
  check.ok(links.libc, "readelf names no libc")
  for _, c in ipairs(components) do
    local how, seen = property(c, "how"), false
    if property(c, "by") == by then
      for file in property(c, "file"):gmatch "%S+" do
        if how == "linked" then seen = seen or links[file] end
        if how == "opened" then seen = seen or bytes:find(file .. ".so", 1, true) end
      end
      check.ok(seen or how ~= "linked" and how ~= "opened", ("%s is not %s in %s"):format(c.name, how, by))
    end
    -- The C library's row is the program's; the CUDA backend shares it.
    if how == "linked" and (property(c, "by") == by or c.name == "GNU C library") then
      for file in property(c, "file"):gmatch "%S+" do links[file] = nil end
    end
  end
  for name in pairs(links) do check.ok(false, ("%s links to %s, which cmake/sbom.cmake does not list"):format(by, name)) end
end

check.group("each library that the program links to, and no other", function() compare "vbl" end)

if system.exists(build .. "/libvbl_cuda.so") then
  check.group("each library that the CUDA backend links to, and no other", function() compare "libvbl_cuda.so" end)
end

if system.exists(build .. "/libvbl_mpi.so") then
  check.group("each library that ranks link to, and no other", function() compare "libvbl_mpi.so" end)
end

check.group("each has a version where one was found, a licence and a reason; names are told once", function()
  local names = {}
  for _, c in ipairs(components) do
    check.ok(not names[c.name], c.name)
    names[c.name] = true
    local version = c.version or "0"
    check.ok(version:find "^%d[%w.]*$", ("%s: version %s"):format(c.name, version))
    check.ok(c.version or property(c, "how") == "run" or c.name == "cuDNN" or c.name == "NCCL", c.name .. " has no version")
    check.ok(#licence(c) > 1 and #c.description > 1, c.name)
  end
end)

check.group("the table in docs/security.md says the same", function()
  local rows, known = {}, {}
  for name, terms, how in store.read_file "docs/security.md":gmatch "\n| ([^|\n]+) | ([^|\n]+) | ([^|\n]+) |" do rows[name] = {terms = terms, how = how} end
  for _, c in ipairs(components) do
    local row = rows[c.name]
    known[c.name] = true
    check.equal(row and row.terms, licence(c))
    check.ok(row and row.how:find(property(c, "how"), 1, true), ("%s: %s"):format(c.name, row and row.how))
  end
  for name, row in pairs(rows) do
    local elsewhere = row.how:find "where it is there" or row.how:find "libvbl_cuda" or row.how:find "libvbl_mpi"
    check.ok(known[name] or elsewhere or name == "library" or not row.how:find "^linked", name .. " is in no build")
  end
end)

check.done()

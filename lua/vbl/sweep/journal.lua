-- The journal of a sweep: FOLDER/journal/000001.json, 000002.json, ..., one entry a file, one line each, never changed. A writer makes the
-- entry after the last it has read, and of all that try, one succeeds (core/store/atomic.h: written beside, flushed, linked); the others
-- read that entry and think again. So everything that is decided is decided knowing all that was written before, by any worker on any
-- host, and nobody waits for a lock: locks over NFS need a lock service, outlive a killed host, or are granted to all; a link is made once.
-- A kill -9 leaves an entry whole or not at all. `cat FOLDER/journal/*` is the history as JSON lines.
--
--   journal.open(folder, writer) -> journal      writer: a name that no other process of any host has
--   journal:read() -> list of the entries that are new, in order
--   journal:append(entry) -> true; false when another's entry came first: read() and decide again
--   journal.count: entries read
local c = require "vbl.store.c"
local system = require "vbl.system.c"

local journal = {}

local Journal = {}
Journal.__index = Journal

local function path_of(self, number) return ("%s/journal/%06d.json"):format(self.folder, number) end

-- A file that is missing in between would make all after it unreachable.
local function check_whole(self)
  local last = 0
  for _, name in ipairs(system.list(self.folder .. "/journal") or {}) do last = tonumber(name:match "^(%d+)%.json$") or last end
  for number = 1, last do
    if not system.exists(path_of(self, number)) then
      error(("%s: is missing, while %06d.json is there: the journal has lost an entry; bring it back from a copy"):format(path_of(self, number), last), 0)
    end
  end
end

function journal.open(folder, writer)
  local self = setmetatable({folder = folder, count = 0, temporary = ("%s/workers/%s.entry"):format(folder, writer)}, Journal)
  check_whole(self)
  return self
end

function Journal:read()
  local list = {}
  while system.exists(path_of(self, self.count + 1)) do
    local path = path_of(self, self.count + 1)
    local entry = c.json_decode(c.read_file(path), {where = path, nan = "string"})
    if type(entry) ~= "table" or type(entry.type) ~= "string" then
      error(("%s: is no entry of a journal, which is an object with a type; bring it back from a copy"):format(path), 0)
    end
    list[#list + 1] = entry
    self.count = self.count + 1
  end
  return list
end

function Journal:append(entry)
  entry.time = math.floor(system.time())
  local text = c.json_encode(entry, {order = {"type", "trial", "seed", "attempt"}, nan = "string"}) .. "\n"
  return c.create_once(path_of(self, self.count + 1), text, self.temporary)
end

return journal

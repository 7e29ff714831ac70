-- The newest values of many runs, fast: metrics.jsonl of a long run has megabytes, and OUT/.index.sqlite remembers what its end said.
-- Only a cache: an entry counts while the file's size and time are those it was made from; the file may be deleted at any time, is made
-- anew where it is damaged, and is done without where it cannot be written (a read-only folder) or locks cannot be relied on (NFS and
-- other shared file systems). Two processes may use it at once.
--
-- index.last(out, records) -> {[record] = {values = {["SPLIT.NAME"] = value}, epoch =}}     as record:last(); records lie in `out`. One whose
--   metrics are damaged has none, and its status says so
local c = require "vbl.store.c"
local shape = require "vbl.runs.shape"
local system = require "vbl.system.c"
local usage = require "vbl.usage"

local index = {}

local VERSION = 1  -- of the table below; another one in the file: made anew

local function prepare(path)
  local db = c.database(path)
  local version = db:run("PRAGMA user_version")[1][1]
  if version ~= VERSION then
    db:run "BEGIN IMMEDIATE"
    db:run "DROP TABLE IF EXISTS last"
    db:run "CREATE TABLE last (name TEXT PRIMARY KEY, size INTEGER, mtime REAL, data TEXT) WITHOUT ROWID"
    db:run("PRAGMA user_version = " .. VERSION)
    db:run "COMMIT"
  end
  return db
end

-- The database, or nil where there can be none. A file that is none, or a damaged one, goes.
local function open(out)
  local path = out .. "/.index.sqlite"
  if c.is_network(out) ~= false then return nil end
  local ok, db = pcall(prepare, path)
  if not ok and (db:find("not a database", 1, true) or db:find("malformed", 1, true)) then
    os.remove(path)
    ok, db = pcall(prepare, path)
  end
  return ok and db or nil
end

local function decode(data)
  local entry = c.json_decode(data, {where = ".index.sqlite", nan = "string"})
  shape.check(entry, {values = {any = "number"}, epoch = "number"}, ".index.sqlite")
  return entry
end

-- What an entry of the file says while it is of these metrics, and is one; else nil.
local function remembered(row, stat)
  if not row or not stat or row.size ~= stat.size or row.mtime ~= stat.mtime then return nil end
  local ok, entry = pcall(decode, row.data)
  return ok and entry or nil
end

-- What the metrics say; where they are damaged, the record gets to say it, and the others are listed all the same.
local function measured(record)
  local ok, values, epoch = pcall(record.last, record)
  if ok then return {values = values, epoch = epoch} end
  if system.interrupted() then error(values, 0) end
  record.status = "damaged"
  table.insert(record.problems, usage.strip(values))
  return nil
end

local function known(db)
  local rows = {}
  for _, row in ipairs(db:run "SELECT name, size, mtime, data FROM last") do rows[row[1]] = {size = row[2], mtime = row[3], data = row[4]} end
  return rows
end

local function update(db, fresh)
  db:run "BEGIN IMMEDIATE"
  for name, row in pairs(fresh) do db:run("INSERT OR REPLACE INTO last VALUES (?, ?, ?, ?)", name, row.size, row.mtime, row.data) end
  db:run "COMMIT"
end

function index.last(out, records)
  local db = open(out)
  local ok, rows = pcall(function() return db and known(db) or {} end)
  local result, fresh = {}, {}
  for _, record in ipairs(records) do
    local stat = system.stat(record.path .. "/metrics.jsonl")
    result[record] = remembered(ok and rows[record.name], stat)
    if not result[record] then
      result[record] = measured(record)
      if stat and result[record] then fresh[record.name] = {size = stat.size, mtime = stat.mtime, data = c.json_encode(result[record], {nan = "string"})} end
    end
  end
  if db and next(fresh) then pcall(update, db, fresh) end  -- what cannot be kept is computed anew
  if db then db:close() end
  return result
end

return index

-- Checkpoints of a run: checkpoints/KIND (last, best, epoch-N) is replaced as a whole (core/store/atomic.h). It holds NAME.safetensors
-- for each group of tensors and state.json: {kind, files = {name -> {size, crc32}}, offsets = {log -> bytes}, fingerprint, state}.
--
--   checkpoint.write(folder, kind, parts, offsets)      parts {NAME = {names=, tensors=, metadata=}, ..., state = table}; raises
--   checkpoint.read(folder, kind, fingerprint) -> {NAME = name -> tensor, ..., state = table}, offsets; nil when there is none at all
--   checkpoint.check_kind(kind)     raises for a kind that is none
--   checkpoint.place(path) -> the run's folder, and the kind where it is RUN/checkpoints/KIND; nil where it is neither's
--   checkpoint.read_state(folder, kind) -> its state.json; nil and why where it is not there or not whole
--   checkpoint.whole(folder) -> {{kind=, path=}, ...} of the undamaged ones, sorted
-- A damaged, missing or foreign one is an error that names the file, or the first key of the fingerprint that differs, and the
-- checkpoints that are whole.
local c = require "vbl.store.c"
local difference = require "vbl.difference"
local merged = require "vbl.merged"
local sorted_keys = require "vbl.sorted_keys"
local system = require "vbl.system.c"
local trimmed = require "vbl.trimmed"

local checkpoint = {}

function checkpoint.check_kind(kind)
  if kind ~= "last" and kind ~= "best" and not tostring(kind):find "^epoch%-%d+$" then
    error(("checkpoint: expected the kind last, best or epoch-N, got '%s'"):format(tostring(kind)), 3)
  end
end

function checkpoint.place(path)
  path = trimmed(path)
  if system.exists(path .. "/config.lua") then return path end
  local run, kind = path:match "^(.*)/checkpoints/([^/]+)$"
  if run and system.exists(run .. "/config.lua") then return run, kind end
end

local function write_parts(path, kind, parts, offsets)
  local files, state = {}, merged(parts.state)
  for _, name in ipairs(sorted_keys(parts)) do
    local part, file = parts[name], name .. ".safetensors"
    if name ~= "state" then
      local crc, size = c.safetensors_save(path .. "/" .. file, part.names, part.tensors, part.metadata or {format = "pt"})
      files[file] = {size = size, crc32 = crc}
    end
  end
  local fingerprint = state.fingerprint
  state.fingerprint = nil
  local record = {kind = kind, files = files, offsets = offsets, fingerprint = fingerprint or {}, state = state}
  c.write_atomic(path .. "/state.json", c.json_encode(record, {indent = 2, nan = "string"}))
end

function checkpoint.write(folder, kind, parts, offsets)
  checkpoint.check_kind(kind)
  c.make_folder(folder)
  local new <close> = c.replace_folder(folder, kind)
  write_parts(new:path(), kind, parts, offsets)
  new:commit()
end

-- state.json of a whole checkpoint, or nil and what is wrong.
local function verify(path)
  local ok, record = pcall(function()
    return c.json_decode(c.read_file(path .. "/state.json"), {where = path .. "/state.json", nan = "string"})
  end)
  if not ok then return nil, record end
  if type(record) ~= "table" or type(record.files) ~= "table" or type(record.offsets) ~= "table" or type(record.state) ~= "table" then
    return nil, path .. "/state.json: not the state of a checkpoint"
  end
  for file, expected in pairs(record.files) do
    local found, crc, size = pcall(c.crc32_file, path .. "/" .. file)
    if not found then return nil, crc end
    if size ~= expected.size then
      return nil, ("%s/%s: has %d bytes, expected %d: truncated or replaced"):format(path, file, size, expected.size)
    end
    if crc ~= expected.crc32 then return nil, ("%s/%s: its checksum differs: damaged or replaced"):format(path, file) end
  end
  return record
end

-- state.json of a whole checkpoint of that kind, or nil and what is wrong.
function checkpoint.read_state(folder, kind) return verify(folder .. "/" .. kind) end

function checkpoint.whole(folder)
  local list = {}
  for _, kind in ipairs(system.list(folder) or {}) do
    local path = folder .. "/" .. kind
    if kind:sub(1, 1) ~= "." and verify(path) then list[#list + 1] = {kind = kind, path = path} end
  end
  return list
end

local function refuse(folder, kind, message)
  local others = {}
  for _, other in ipairs(checkpoint.whole(folder)) do
    if other.kind ~= kind then others[#others + 1] = other.kind end
  end
  if #others == 0 then error(("%s (this run has no other whole checkpoint)"):format(message), 0) end
  error(("%s\nwhole checkpoints of this run: %s; to go on from one of them:\n  rm -r '%s/%s'; cp -rL '%s/%s' '%s/%s'"):format(
    message, table.concat(others, ", "), folder, kind, folder, others[#others], folder, kind), 0)
end

local function check_fingerprint(path, stored, fingerprint)
  local text = c.json_encode(fingerprint, {nan = "string"})
  local key, old, new = difference.first(stored, c.json_decode(text, {nan = "string"}))
  if not key then return end
  error(("%s: of another run: '%s' is %s in the checkpoint and %s in this config"):format(path, key, old, new), 0)
end

function checkpoint.read(folder, kind, fingerprint)
  checkpoint.check_kind(kind)
  local path = folder .. "/" .. kind
  if not system.exists(path) then
    if #checkpoint.whole(folder) == 0 then return nil end
    refuse(folder, kind, path .. ": there is no such checkpoint")
  end
  local record, message = verify(path)
  if not record then refuse(folder, kind, message) end
  if fingerprint then check_fingerprint(path, record.fingerprint, fingerprint) end
  local parts = {state = record.state}
  for file in pairs(record.files) do parts[file:match "^(.*)%.safetensors$"] = c.safetensors_load(path .. "/" .. file) end
  return parts, record.offsets
end

return checkpoint

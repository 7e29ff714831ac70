-- The scalars of a run as a TensorBoard event file.
-- A record (TFRecord): u64 length, masked crc32c of those 8 bytes, the bytes, their masked crc32c; all little-endian. The bytes are a
-- protobuf Event {1: double wall_time, 2: int64 step, 3: string file_version, 5: Summary {1: Value {1: string tag, 2: float simple_value}}}.
local c = require "vbl.store.c"

local events = {}

-- crc rotated right by 15 bits plus a constant, so that a crc over data that holds crcs stays a good one.
local function masked_crc(text)
  local crc = c.crc32c(text)
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
end

local function varint(n)
  local bytes = {}
  repeat
    local low = n & 127
    n = n >> 7
    bytes[#bytes + 1] = string.char(n == 0 and low or low | 128)
  until n == 0
  return table.concat(bytes)
end

-- Wire types: 0 varint, 1 fixed 64, 2 length and bytes, 5 fixed 32.
local function tag(field, wire) return varint(field << 3 | wire) end
local function bytes_field(field, text) return tag(field, 2) .. varint(#text) .. text end

function events.record(text)
  local length = string.pack("<I8", #text)
  return length .. string.pack("<I4", masked_crc(length)) .. text .. string.pack("<I4", masked_crc(text))
end

-- The first record of every file.
function events.header(time) return events.record(tag(1, 1) .. string.pack("<d", time) .. bytes_field(3, "brain.Event:2")) end

function events.scalar(time, step, name, value)
  local summary = bytes_field(1, bytes_field(1, name) .. tag(2, 5) .. string.pack("<f", value))
  return events.record(tag(1, 1) .. string.pack("<d", time) .. tag(2, 0) .. varint(step) .. bytes_field(5, summary))
end

return events

-- A run as a TensorBoard event file: scalars, images, texts, and its config as hyperparameters.
--   events.header(time)     the first record of every file
--   events.scalar(time, step, tag, value)
--   events.image(time, step, tag, png)      png: the file's bytes
--   events.text(time, step, tag, markdown)
--   events.session_start(time, config), events.session_end(time, status)     config: a table of plain values, nested keys as a.b.c, lists as
--     text; status "finished", "failed", "interrupted" or nil. The metrics of the session are the run's scalars.
-- A record (TFRecord): u64 length, masked crc32c of those 8 bytes, the bytes, their masked crc32c; all little-endian. The bytes are a
-- protobuf Event {1: double wall_time, 2: int64 step, 3: string file_version, 5: Summary {1: Value {1: string tag, 2: float simple_value,
-- 4: Image {1: height, 2: width, 3: colorspace, 4: bytes}, 8: TensorProto {1: dtype, 2: shape, 8: string_val}, 9: SummaryMetadata {1:
-- PluginData {1: plugin_name, 2: content}}}}}; content of the plugin "hparams": HParamsPluginData {3: SessionStartInfo {1: map name ->
-- google.protobuf.Value, 5: double start_time}, 4: SessionEndInfo {1: status, 2: double end_time}}.
local c = require "vbl.store.c"
local config_values = require "vbl.config.values"
local flatten = require "vbl.runs.flatten"

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

-- Zero is what a missing field means.
local function number_field(field, n) return n == 0 and "" or tag(field, 0) .. varint(n) end
local function double_field(field, x) return tag(field, 1) .. string.pack("<d", x) end

function events.header(time) return events.record(double_field(1, time) .. bytes_field(3, "brain.Event:2")) end

-- A record with one value, whose fields after the tag are `fields`.
local function value(time, step, name, fields)
  local summary = bytes_field(1, bytes_field(1, name) .. fields)
  return events.record(double_field(1, time) .. number_field(2, step) .. bytes_field(5, summary))
end

function events.scalar(time, step, name, x) return value(time, step, name, tag(2, 5) .. string.pack("<f", x)) end

function events.image(time, step, name, png)
  local width, height = png:match "^\x89PNG\r\n\x1a\n....IHDR(....)(....)"
  if not width then error(("event image '%s': not a PNG file"):format(name), 2) end
  local image = number_field(1, (string.unpack(">I4", height))) .. number_field(2, (string.unpack(">I4", width))) .. number_field(3, 3) .. bytes_field(4, png)
  return value(time, step, name, bytes_field(4, image))
end

local STRING, FLOAT = 7, 1  -- dtypes of TensorProto

local function plugin(name, content) return bytes_field(9, bytes_field(1, bytes_field(1, name) .. (content and bytes_field(2, content) or ""))) end

function events.text(time, step, name, text)
  local tensor = number_field(1, STRING) .. bytes_field(2, "") .. bytes_field(8, text)
  return value(time, step, name, bytes_field(8, tensor) .. plugin "text")
end

-- Its data are the metadata; the plugin wants a tensor all the same: one of no elements.
local function hparams(time, name, content)
  local nothing = number_field(1, FLOAT) .. bytes_field(2, bytes_field(2, ""))
  return value(time, 0, name, bytes_field(8, nothing) .. plugin("hparams", content))
end

-- A google.protobuf.Value.
local function plain(x)
  if type(x) == "number" then return double_field(2, x) end
  if type(x) == "boolean" then return number_field(4, x and 1 or 0) end
  return bytes_field(3, type(x) == "string" and x or config_values.show(x))
end

function events.session_start(time, config)
  local flat, keys, fields = flatten(config), {}, {}
  for key in pairs(flat) do keys[#keys + 1] = key end
  table.sort(keys)
  for i, key in ipairs(keys) do fields[i] = bytes_field(1, bytes_field(1, key) .. bytes_field(2, plain(flat[key]))) end
  return hparams(time, "_hparams_/session_start_info", bytes_field(3, table.concat(fields) .. double_field(5, time)))
end

local statuses = {finished = 1, failed = 2, interrupted = 2}

function events.session_end(time, status)
  return hparams(time, "_hparams_/session_end_info", bytes_field(4, number_field(1, statuses[status] or 0) .. double_field(2, time)))
end

return events

-- What cka_stream objects have beside C's methods: value, save, and cka_stream_load.
local c = require "vbl.measure.c"
local store = require "vbl.store"

local methods = c.cka_stream_methods
c.cka_stream_methods = nil

-- CKA of the first two matrices -> number, record. opts.estimator: "debiased" or "biased".
function methods:value(opts)
  local values, statuses = self:matrix(opts)
  local status = statuses[1][2]
  return values[{1, 2}], {value = values[{1, 2}], status = status, n = self:rows(), metric = "linear", preprocessing = "centred", warnings = {},
                          chance = not (opts and opts.estimator == "biased") and 0 or nil}
end

-- The state as a .safetensors file (or .npz); it goes on with cka_stream_load.
function methods:save(path) store.save(path, self:state()) end

-- A stream that goes on from what s:save(path) wrote.
function c.cka_stream_load(path) return c.cka_stream_from((store.load(path))) end

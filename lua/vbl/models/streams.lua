-- The two streams on their way through the layers and the fusion's blocks.
--   streams.new(name, encoder, x, lay) -> a stream: its rows x so far, its layout, the layers that it has been through
--   streams.layers_to(s, ctx, to)            through the encoder's layers below `to`
--   streams.close(s, ctx)                    what follows the last layer, once
--   streams.both(t, v, ctx, parts)           parts of both between two points where they meet
--   streams.through(blocks, t, v, ctx, on, layers)      from one meeting to the next: the second half of a block, layers(s, i), the first half of the next.
--                                            on(i): whether block i is computed
--   streams.ends(t, v) -> text rows, image rows, {text =, vision = rows before the first that were not read}; nil for a stream that nobody reads
local layout = require "vbl.models.layout"
local nn = require "vbl.nn"
local vbl = require "vbl"

local streams = {}

-- A stream on its way: its rows so far, and what its blocks' projections gave.
function streams.new(name, encoder, x, lay) return {name = name, encoder = encoder, x = x, lay = lay, done = 0, qkv = {}} end

function streams.layers_to(s, ctx, to)
  for i = s.done, to - 1 do
    local layer = s.encoder.layers[i + 1]
    s.x = nn.checkpoint(ctx, function(x) return layer:forward(x, s.lay, ctx) end, s.x)
    ctx.tap(s.name .. "." .. i, s.x, s.lay)
  end
  s.done = math.max(s.done, to)
end

-- After the last layer, once.
function streams.close(s, ctx)
  if s.closed then return end
  s.closed = true
  if s.name == "text" then
    s.x = s.encoder:finish(s.x)
  else
    s.x = s.encoder.norm(s.x)
    ctx.tap("vision.norm", s.x, s.lay)
  end
end

-- Calls the parts, functions (s, other), for both streams between two points where these meet: a part may read only what the other stream had at the first
-- point. The images go first: they are most of the work, and the backward pass, in the opposite order, then has the text under way before them. Where the
-- caller attends by a function of its own it is called in the order of the parts.
function streams.both(t, v, ctx, parts)
  local function all(s, other)
    for _, part in ipairs(parts) do part(s, other) end
  end
  if not ctx.attend then return vbl.side_by_side(function() all(v, t) end, function() all(t, v) end) end
  for _, part in ipairs(parts) do
    part(t, v)
    part(v, t)
  end
end

-- Blocks of which the inputs alone are kept, so each is run as a whole, whatever is read. Sums of gradients are in the order of those below.
local function through_checkpointed(blocks, t, v, ctx, on, layers)
  for i = 1, #blocks + 1 do
    local block = blocks[i]
    streams.both(t, v, ctx, {function(s) layers(s, i) end})
    if block and on(i) then
      t.x, v.x = nn.checkpoint(ctx, function(text, vision)
        local vq, tq = block:project("vision", vision), block:project("text", text)
        local out = block:attend("vision", vision, vq, tq, v.lay, t.lay, ctx)
        return block:attend("text", text, tq, vq, t.lay, v.lay, ctx), out
      end, t.x, v.x)
    end
    for _, s in ipairs(block and {t, v} or {}) do ctx.tap("fusion." .. i - 1 .. "." .. s.name, s.x, s.lay) end
  end
end

-- What is left of both streams once nothing of one is read by the other any more: the rows of the samples that the caller reads. A stream with none is
-- over; else it goes on in s.rest: {lay =, other_lay =, own = rows -> those of the samples, others = the same of the other stream's}.
local function cut(s, other, range)
  if not range then
    s.over = true
    return
  end
  local from, n = range[1], range[2]
  local function part(stream)
    if n == stream.lay.B then return stream.lay, function(x) return x end, 0 end
    local lay, before = (stream.lay.P and layout.part_of_image or layout.part_of_text)(stream.lay, from, n)
    return lay, function(x) return x:narrow(1, before + 1, lay.N) end, before
  end
  s.rest = {}
  s.rest.lay, s.rest.own, s.skipped = part(s)
  s.rest.other_lay, s.rest.others = part(other)
end

-- The second half of a block that is computed where `on`, of the rows that are left.
local function second_half(s, other, block, i, on, ctx)
  local rest, qkv, other_qkv, other_lay = s.rest, s.qkv[i], other.qkv[i], other.lay
  if rest then
    s.x, s.lay, s.rest = rest.own(s.x), rest.lay, nil
    if on then qkv, other_qkv, other_lay = rest.own(qkv), rest.others(other_qkv), rest.other_lay end
  end
  if on then s.x = block:attend(s.name, s.x, qkv, other_qkv, s.lay, other_lay, ctx) end
end

-- From one meeting to the next: the second half of a block, layers(s, i), the first half of the next. on(i): whether block i is computed.
function streams.through(blocks, t, v, ctx, on, layers)
  if ctx.checkpointing then return through_checkpointed(blocks, t, v, ctx, on, layers) end
  local last = #blocks
  while last > 0 and not (blocks[last].co and on(last)) do last = last - 1 end
  for i = 1, #blocks + 1 do
    local before, block = blocks[i - 1], blocks[i]
    if ctx.reads and i == last + 1 then
      cut(t, v, ctx.reads.text)
      cut(v, t, ctx.reads.vision)
    end
    streams.both(t, v, ctx, {
      function(s, other)
        if s.over then return end
        second_half(s, other, before, i - 1, before and on(i - 1), ctx)
        if before then ctx.tap("fusion." .. i - 2 .. "." .. s.name, s.x, s.lay) end
      end,
      function(s)
        if not s.over then layers(s, i) end
      end,
      function(s)
        if not s.over and block and on(i) then s.qkv[i] = block:project(s.name, s.x) end
      end})
  end
end

-- The rows of both streams at their ends, and how many before them were not read. Those of a stream that is over are from half-way.
function streams.ends(t, v)
  return not t.over and t.x or nil, not v.over and v.x or nil, {text = t.skipped or 0, vision = v.skipped or 0}
end

return streams

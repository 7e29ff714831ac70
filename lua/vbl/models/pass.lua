-- One pass of a batch through a model (vbl.models.vilbert): embeddings, the encoders' layers, the fusion's blocks.
--   pass.run(model, batch, opts) -> result           model:run
--   pass.trunk(model, batch) -> rows                 model:trunk, the layers before the fusion
--   pass.alone(model, name, batch, opts) -> CLS rows of one stream, "text" or "vision"
--   pass.check_options(opts)                         raises for options that are none of a pass
local batches = require "vbl.models.batch"
local layout = require "vbl.models.layout"
local nearest = require "vbl.nearest"
local single = require "vbl.models.single_stream"
local streams = require "vbl.models.streams"
local taps = require "vbl.models.taps"

local pass = {}

-- The layouts of texts and of images that each have numbers of their own.
local function layouts(self, batch, text_numbers, image_numbers)
  local c, device = self.config, self.list[1].tensor:device()
  local P = (c.image // c.patch) ^ 2 // 1 | 0
  local calm = not self.training or c.dropout == 0
  return layout.text(batch.tokens, batch.lengths, text_numbers, c.max_positions, c.packed, device, calm), layout.image(#image_numbers, P + 1, image_numbers, device, calm)
end

-- batch.numbers: those of layout.numbers, where the batch is made of several passes'. begun: the images are not looked at any more.
local function pass_layouts(self, batch, number, begun)
  if not begun then batches.check(batch, self.config) end
  local numbers = batch.numbers or layout.numbers(batch.samples or layout.samples(batch.tokens:size(1)), number or 0)
  return layouts(self, batch, numbers, numbers)
end

-- How many layers of a stream come before the first block (its trunk), and whether that is all of it.
local function trunk_of(self, name)
  local c = self.config
  if c.fusion == "interleaved" and #self.blocks > 0 then return c.coattention[name][1], false end
  return c.layers, true
end

-- Both streams, t and v what start gave.
local function pair_of(self, t, v, tl, vl, ctx)
  t, v = streams.new("text", self.text, t, tl), streams.new("vision", self.vision, v, vl)
  for _, s in ipairs(ctx.begun and {t, v} or {}) do s.done, s.closed = trunk_of(self, s.name) end
  return t, v
end

local function interleaved(self, t, v, tl, vl, ctx)
  local c = self.config
  t, v = pair_of(self, t, v, tl, vl, ctx)
  local function layers(s, i)
    if self.blocks[i] then return streams.layers_to(s, ctx, c.coattention[s.name][i]) end
    streams.layers_to(s, ctx, c.layers)
    streams.close(s, ctx)
  end
  if ctx.cross then
    streams.through(self.blocks, t, v, ctx, function(i) return not ctx.off[i - 1] end, layers)
  else
    streams.both(t, v, ctx, {function(s) layers(s, #self.blocks + 1) end})
  end
  return streams.ends(t, v)
end

-- The same rows, for other users than the fusion: the gradients of each are summed by themselves first, so that checkpointed blocks give the same bits.
local function own_gradient(x) return x:reshape(x:size(1), x:size(2)) end

local function stacked(self, t, v, tl, vl, ctx)
  t, v = pair_of(self, t, v, tl, vl, ctx)
  streams.both(t, v, ctx, {function(s)
    streams.layers_to(s, ctx, self.config.layers)
    streams.close(s, ctx)
    s.alone = own_gradient(s.x)
  end})
  local unimodal = {text = t.alone, vision = v.alone}
  if ctx.fuse then
    local function on(i) return (ctx.cross or not self.blocks[i].co) and not ctx.off[i - 1] end
    streams.through(self.blocks, t, v, ctx, on, function() end)
  end
  local x, y, skipped = streams.ends(t, v)
  return x, y, skipped, unimodal
end

-- name of a stream -> {first sample, samples}; nil: all of both. A tap sees what it is set on, and with no block the streams are the unimodal ones.
local function what_is_read(self, opts, B)
  local reads = opts.reads
  if not reads or next(self.tapped) or opts.unimodal and #self.blocks == 0 then return nil end
  if reads == "text" or reads == "vision" then return {[reads] = {1, B}} end
  return reads
end

-- The rows of both streams as a pass begins with them.
local function start(self, batch, tl, vl, ctx)
  if ctx.begun then return own_gradient(ctx.begun.text), own_gradient(ctx.begun.vision) end
  return self.text:embed(tl, ctx), self.vision:embed(batch.images, batch.mask, vl, ctx)
end

-- The streams as they are before any co-attention, on a second way through the layers.
local function without_fusion(self, through, batch, tl, vl, ctx)
  local alone = setmetatable({cross = false, tap = function() end, again = true, reads = false}, {__index = ctx})
  local t, v = start(self, batch, tl, vl, alone)
  t, v = through(self, t, v, tl, vl, alone)
  return {text = t, vision = v}
end

local OPTIONS = {pass = true, cross = true, unimodal = true, fuse = true, reads = true, attend = true, begun = true}

-- The options of a pass, as :run takes them, or an error that names what is none.
function pass.check_options(opts)
  for key in pairs(opts) do
    if not OPTIONS[key] then error(("vilbert: a pass has no option '%s'%s"):format(tostring(key), nearest.hint(tostring(key), OPTIONS)), 0) end
  end
  local reads = opts.reads
  if reads == nil or reads == "text" or reads == "vision" or type(reads) == "table" then return end
  error(("vilbert: reads: expected \"text\" or \"vision\", got %s"):format(tostring(reads)), 0)
end

-- One pass on rows.
--   batch   {tokens = i32 [B,T], lengths = i32 [B], images, mask = u8 [B,P], 1 hides a patch, samples = numbers of the samples in the effective batch}
--   opts    pass        number of this pass within the step, for dropout
--           cross       false skips every co-attending block
--           unimodal    true also gives the streams as they are before any co-attention (a pass that computes them anyway gives them unasked)
--           fuse        false gives nothing else: the fusion is not computed
--           reads       "text" or "vision": the caller reads that stream only, and what only the other one needs is left out; or
--                       {text = {first sample, samples} or nil, vision =}: the samples whose rows are read
--           attend      called in place of the attention kernel (vbl.nn.attention)
--           begun       {text [N,D], vision [B*P,D]}: what the trunk already made of the batch (vbl.models.trunk), whose images are then not looked at
-- In eval mode the blocks that :ablate names are left out.
-- Returns {text [N,D], vision [B*P,D], text_layout, vision_layout, taps, unimodal = {text [N,D], vision [B*P,D]} or nil, skipped = {text =, vision =
-- rows before the first that were not read}}; a stream that is not read may be nil.
function pass.run(self, batch, opts)
  opts = opts or {}
  pass.check_options(opts)
  local c = self.config
  local tl, vl = pass_layouts(self, batch, opts.pass, opts.begun)
  local found = {}
  local ctx = {training = self.training, p = c.dropout, seed = self.rng.seed, step = self.rng.step,
               off = self.training and {} or self.off, cross = opts.cross ~= false and opts.fuse ~= false, fuse = opts.fuse ~= false,
               attend = opts.attend, checkpointing = self.checkpointing and not opts.attend, tap = taps.collector(self.tapped, found),
               reads = what_is_read(self, opts, tl.B), begun = opts.begun}
  local t, v = start(self, batch, tl, vl, ctx)
  ctx.tap("text.embeddings", t, tl)
  ctx.tap("vision.embeddings", v, vl)
  local unimodal, skipped
  if c.fusion == "stacked" then
    t, v, skipped, unimodal = stacked(self, t, v, tl, vl, ctx)
  else
    local joined = c.fusion == "single_stream"
    local through = joined and single.run or interleaved
    if opts.unimodal and ctx.fuse and (joined or #self.blocks > 0) then unimodal = without_fusion(self, through, batch, tl, vl, ctx) end
    t, v, skipped = through(self, t, v, tl, vl, ctx)
    if not ctx.cross or not joined and #self.blocks == 0 then unimodal = unimodal or {text = t, vision = v} end
  end
  if not ctx.fuse then return {text_layout = tl, vision_layout = vl, taps = found, unimodal = unimodal} end
  ctx.tap("text.final", t, tl)
  ctx.tap("vision.final", v, vl)
  return {text = t, vision = v, text_layout = tl, vision_layout = vl, taps = found, unimodal = unimodal, skipped = skipped}
end

-- The layers before the first block, without dropout, of texts and images that need not be pairs: batch as :run takes it, but tokens i32 [A,T], lengths
-- i32 [A], images and mask of B. Returns {text [N,D], vision [B*P,D], text_layout, vision_layout}.
function pass.trunk(self, batch)
  local tl, vl = layouts(self, batch, layout.samples(batch.tokens:size(1)), layout.samples(batch.images:size(1)))
  local ctx = {training = false, checkpointing = self.checkpointing, tap = function() end}
  local t, v = start(self, batch, tl, vl, ctx)
  t, v = pair_of(self, t, v, tl, vl, ctx)
  streams.both(t, v, ctx, {function(s)
    local layers, all = trunk_of(self, s.name)
    streams.layers_to(s, ctx, layers)
    if all then streams.close(s, ctx) end
  end})
  return {text = t.x, vision = v.x, text_layout = tl, vision_layout = vl}
end

-- The CLS rows of the one stream that a classifier without fusion reads; the other stream is not computed.
function pass.alone(self, name, batch, opts)
  local tl, vl = pass_layouts(self, batch, opts.pass)
  local ctx = {training = self.training, p = self.config.dropout, seed = self.rng.seed, step = self.rng.step, attend = opts.attend,
               checkpointing = self.checkpointing and not opts.attend, tap = function() end}
  local s = name == "text" and streams.new(name, self.text, self.text:embed(tl, ctx), tl) or
              streams.new(name, self.vision, self.vision:embed(batch.images, nil, vl, ctx), vl)
  streams.layers_to(s, ctx, self.config.layers)
  streams.close(s, ctx)
  return self.cls(s.x, s.lay)
end

return pass

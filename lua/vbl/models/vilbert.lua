-- vbl.models.vilbert{...}: the two-stream vision-language transformer. Text: BERT. Image: ViT. Fused by co-attention placed between
-- the encoders' own layers (fusion = "interleaved") or in dual blocks on top of them ("stacked"); or, to compare with, one transformer over
-- both ("single_stream"). Keys: vilbert_config.lua; weights: vbl.models.weights, whose sizes it takes where the keys do not say others.
local dist = require "vbl.dist"
local vbl = require "vbl"
local nn = require "vbl.nn"
local F = require "vbl.nn.functional"
local bert = require "vbl.models.bert"
local vit = require "vbl.models.vit"
local fusion = require "vbl.models.fusion"
local heads = require "vbl.models.heads"
local single = require "vbl.models.single_stream"
local batches = require "vbl.models.batch"
local layout = require "vbl.models.layout"
local config = require "vbl.models.vilbert_config"
local passes = require "vbl.models.passes"
local streams = require "vbl.models.streams"
local nearest = require "vbl.nearest"
local taps = require "vbl.models.taps"
local weights = require "vbl.models.weights"

local Vilbert = {}
Vilbert.__index = Vilbert

local function counter()
  local n = -1
  return function()
    n = n + 1
    return n
  end
end

local function build_fusion(self, scope, c, sites)
  local blocks = {}
  if c.fusion == "interleaved" then
    for i = 1, #c.coattention.text do
      blocks[i] = fusion.block(scope:child("fusion." .. i - 1), c, c.dim, c.coattention.dim, c.coattention.heads, true, sites)
    end
  elseif c.fusion == "stacked" then
    local cross = {}
    for _, i in ipairs(c.cross_attention_layers) do cross[i] = true end
    for i = 0, c.depth - 1 do
      blocks[i + 1] = fusion.block(scope:child("fusion." .. i), c, c.dim, c.dim, c.attention_heads, cross[i] or false, sites)
    end
  end
  self.blocks = blocks
end

-- given: see vbl.models.vilbert_config.schema. Draws from vbl.manual_seed's stream. The result is in training mode.
-- model.checkpointing = true: of every encoder layer and fusion block only the input is kept for backward, which runs it again (vbl.checkpoint).
-- dry: parameters are shapes without memory, to be counted and not run; "empty": they are tensors, with nothing in them.
local function new(given, dry)
  local found = type(given) == "table" and given.weights and weights.open(given.weights)
  local c = config.resolve(found and found:config(given) or given or {})
  local self = setmetatable({config = c, training = true, rng = {seed = 0, step = 0}, list = {dry = dry}, tapped = {}, off = {}}, Vilbert)
  local family = c.init == "family"
  local bert_init = family and nn.init.normal(0.02)
  local function fan_in(n) return nn.init.fan_in(n) end
  local function normal() return bert_init end
  local function zeros() return nn.init.zeros end
  local encoder = nn.scope(self.list, "", family and normal or fan_in, family and zeros or fan_in)
  local other = nn.scope(self.list, "", fan_in, fan_in)
  local sites = counter()
  self.text = bert.new(encoder, c.fusion == "single_stream" and setmetatable({layers = 0, text_norm = "post"}, {__index = c}) or c, sites)
  self.vision = vit.new(encoder, c, sites)
  build_fusion(self, other, c, sites)
  self.heads = heads.build(other, c)
  self.classifier = heads.classifier(other, c, sites())
  self.list.dry = nil
  self.built = #self.list  -- what a script adds comes behind
  if dry == true then return self end
  vbl.optim.pack(self.list)
  if found then
    self.loaded = weights.load(self, found, {whole = false})
    for _, note in ipairs(dist.first() and self.loaded.notes or {}) do io.stderr:write("vbl: ", note, "\n") end
  end
  return self
end

-- Of texts and images that are numbered by themselves.
local function layouts(self, batch, text_numbers, image_numbers)
  local c, device = self.config, self.list[1].tensor:device()
  local P = (c.image // c.patch) ^ 2 // 1 | 0
  local calm = not self.training or c.dropout == 0
  return layout.text(batch.tokens, batch.lengths, text_numbers, c.max_positions, c.packed, device, calm), layout.image(#image_numbers, P + 1, image_numbers, device, calm)
end

-- batch.numbers: those of layout.numbers, where the batch is made of several passes'. begun: the images are not looked at any more.
local function pass_layouts(self, batch, pass, begun)
  if not begun then batches.check(batch, self.config) end
  local numbers = batch.numbers or layout.numbers(batch.samples or layout.samples(batch.tokens:size(1)), pass or 0)
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

local OPTIONS = {pass = true, cross = true, unimodal = true, fuse = true, reads = true, attend = true, begun = true}

-- The options of a pass, as :run takes them, or an error that names what is none.
function Vilbert.check_options(opts)
  for key in pairs(opts) do
    if not OPTIONS[key] then error(("vilbert: a pass has no option '%s'%s"):format(tostring(key), nearest.hint(tostring(key), OPTIONS)), 0) end
  end
  local reads = opts.reads
  if reads == nil or reads == "text" or reads == "vision" or type(reads) == "table" then return end
  error(("vilbert: reads: expected \"text\" or \"vision\", got %s"):format(tostring(reads)), 0)
end

-- One pass on rows. batch: {tokens i32 [B,T], lengths i32 [B], images, mask= u8 [B,P] patches to hide, samples= array of sample
-- numbers in the effective batch}. opts: {pass= number of this pass within the step (dropout), cross = false switches every
-- co-attending block off (it is skipped whole), unimodal = true also gives the streams as they are before any co-attention (a pass that computes them anyway gives them unasked), fuse = false
-- gives nothing else: the fusion is not computed, reads = "text" or "vision": the caller reads that stream alone, and what only the other needs is
-- left out (or {text = {first sample, samples} or nil, vision =}: the samples whose rows are read), attend = what attends in place of the kernel (vbl.nn.attention),
-- begun = {text [N,D], vision [B*P,D]}: what the trunk made of the batch already (vbl.models.trunk); its images are then not looked at}.
-- Blocks that :ablate names are left out in eval mode.
-- Returns {text [N,D], vision [B*P,D], text_layout, vision_layout, taps, unimodal = {text [N,D], vision [B*P,D]} or nil, skipped = {text =, vision =
-- rows before the first that were not read}}; a stream that is not read may be nil, and is no other's.
function Vilbert:run(batch, opts)
  opts = opts or {}
  Vilbert.check_options(opts)
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
    if opts.unimodal and ctx.fuse and (joined or #self.blocks > 0) then
      local alone = setmetatable({cross = false, tap = function() end, again = true, reads = false}, {__index = ctx})
      local ut, uv = start(self, batch, tl, vl, alone)
      ut, uv = through(self, ut, uv, tl, vl, alone)
      unimodal = {text = ut, vision = uv}
    end
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
function Vilbert:trunk(batch)
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

-- The results of several passes, requests = {{batch, opts}, ...}, as :run gives each to rounding, dropout masks included: vbl.models.passes.
function Vilbert:run_all(requests, shared) return passes.run(self, requests, shared) end

-- The CLS rows of the one stream that a classifier without fusion reads; the other stream is not computed.
local function cls_alone(self, name, batch, opts)
  local tl, vl = pass_layouts(self, batch, opts.pass)
  local ctx = {training = self.training, p = self.config.dropout, seed = self.rng.seed, step = self.rng.step, attend = opts.attend,
               checkpointing = self.checkpointing and not opts.attend, tap = function() end}
  local s = name == "text" and streams.new(name, self.text, self.text:embed(tl, ctx), tl) or
              streams.new(name, self.vision, self.vision:embed(batch.images, nil, vl, ctx), vl)
  streams.layers_to(s, ctx, self.config.layers)
  streams.close(s, ctx)
  return self.cls(s.x, s.lay)
end

-- The classifier's logits [B, outputs] of a batch; batch and opts as in :run.
function Vilbert:classify(batch, opts)
  opts = opts or {}
  if not self.classifier then error("vilbert: the model has no classifier; give it classifier = {outputs = ...}", 2) end
  local reads, text, vision = self.config.classifier.reads, nil, nil
  if reads ~= "both" and #self.blocks == 0 and self.config.fusion ~= "single_stream" then
    text = cls_alone(self, reads, batch, opts)
    vision = text
  else
    local out = self:run(batch, opts)
    text, vision = self.cls(out.text, out.text_layout), self.cls(out.vision, out.vision_layout)
  end
  return self.classifier(text, vision, {training = self.training, seed = self.rng.seed, step = self.rng.step,
                                        samples = layout.numbers(batch.samples or layout.samples(batch.tokens:size(1)), opts.pass or 0)})
end

-- Co-attending blocks that the next forwards in eval mode leave out, by name: {"fusion.0", "fusion.*"}. No argument or {}: none.
function Vilbert:ablate(patterns)
  local names = {}
  for i, block in ipairs(self.blocks) do
    if block.co then names[#names + 1] = "fusion." .. i - 1 end
  end
  patterns = patterns or {}
  if #names == 0 and (type(patterns) == "string" or next(patterns) ~= nil) then error("ablate: this model has no co-attention to switch off", 0) end
  self.off = {}
  for name in pairs(taps.check(patterns, names, "ablate: no co-attending block")) do self.off[tonumber(name:match "%d+$")] = true end
  return self
end

-- rows [N, D] of one stream -> the CLS rows [B, D]
function Vilbert.cls(rows, lay) return F.gather_rows(rows, lay.cls) end

-- {tokens=i32 [B,T], lengths=i32 [B], images=f32 or u8 [B,3,H,W]} -> {text=[B,T,D], vision=[B,P,D], taps={name -> [B,T or P,D]}};
-- rows past a length are 0. opts as in :run.
function Vilbert:forward(batch, opts)
  local out = self:run(batch, opts)
  local result = {text = taps.unpack(out.text, out.text_layout), vision = taps.unpack(out.vision, out.vision_layout), taps = {}}
  for name, tap in pairs(out.taps) do result.taps[name] = taps.unpack(tap.rows, tap.layout) end
  return result
end

-- The taps of the next forwards, by patterns: "text.*" "vision.11" "fusion.*"; see vbl.models.taps. No argument or {} = none.
function Vilbert:tap(patterns)
  self.tapped = taps.check(patterns or {}, taps.names(self.config), "tap: no layer")
  return self
end

function Vilbert:tap_names() return taps.names(self.config) end

function Vilbert:train(on)
  self.training = on ~= false
  return self
end

function Vilbert:eval() return self:train(false) end

-- An array of {name=, tensor=} in the model's order that also maps name -> tensor.
function Vilbert:parameters() return self.list end

local storage = require "vbl.models.parameters"
Vilbert.num_parameters, Vilbert.freeze, Vilbert.unfreeze = storage.count, storage.freeze, storage.unfreeze
Vilbert.load, Vilbert.save, Vilbert.metadata = storage.load, storage.save, storage.metadata
Vilbert.summary = require("vbl.models.summary").text
Vilbert.flops = require("vbl.models.summary").flops

function Vilbert:__tostring()
  local c = self.config
  return string.format("vilbert(%s, %d wide, %d+%d layers, %d fusion block%s, %d parameters)", c.fusion, c.dim, c.layers, c.layers, #self.blocks, #self.blocks == 1 and "" or "s",
                       self:num_parameters())
end

return new

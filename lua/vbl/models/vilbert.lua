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
local layout = require "vbl.models.layout"
local config = require "vbl.models.vilbert_config"
local pass = require "vbl.models.pass"
local passes = require "vbl.models.passes"
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

-- One pass on rows, and what a pass takes: vbl.models.pass.
Vilbert.run, Vilbert.trunk, Vilbert.check_options = pass.run, pass.trunk, pass.check_options

-- The results of several passes, requests = {{batch, opts}, ...}, as :run gives each to rounding, dropout masks included: vbl.models.passes.
function Vilbert:run_all(requests, shared) return passes.run(self, requests, shared) end

-- The classifier's logits [B, outputs] of a batch; batch and opts as in :run.
function Vilbert:classify(batch, opts)
  opts = opts or {}
  if not self.classifier then error("vilbert: the model has no classifier; give it classifier = {outputs = ...}", 2) end
  local reads, text, vision = self.config.classifier.reads, nil, nil
  if reads ~= "both" and #self.blocks == 0 and self.config.fusion ~= "single_stream" then
    text = pass.alone(self, reads, batch, opts)
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
  return string.format("vilbert(%s, %d wide, %d+%d layers, %d fusion block%s, %d parameters)", c.fusion, c.dim, c.layers, c.layers, #self.blocks,
                       #self.blocks == 1 and "" or "s", self:num_parameters())
end

return new

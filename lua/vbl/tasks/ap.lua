-- Alignment prediction: half of the pairs get another image's caption (never one of the same image, never an equal text); one logit
-- says whether caption and image belong together, binary cross-entropy.
--   head = "concat": on [text CLS ; image CLS] after the fusion (the thesis's; alone it stays at ln 2)
--   (the trainer takes head = "auto" for concat on scenes and similarity on photographs)
--   head = "similarity": on 10 x the element-wise product of the L2-normalised CLS vectors as they are before any co-attention
-- contrastive = {weight = 1, temperature = 0.07, learnable = false, on = "unimodal"}: InfoNCE in both directions over the matched pairs
-- of the effective batch (van den Oord et al. 2018; Radford et al. 2021), on the CLS vectors before any co-attention; of matched pairs that
-- show one image the first alone takes part, so that no caption of an image is its negative. on = "fused" is
-- the thesis's way: a fused vector has already seen its partner, so the pair gives itself away.
-- augment = {...}: of the training images (vbl.data.augment); the test sees them as they are.
local vbl = require "vbl"
local contrast = require "vbl.tasks.contrast"
local readout = require "vbl.models.readout"
local tasks = require "vbl.tasks"
local augment = require "vbl.data.augment"
local F = require "vbl.nn.functional"
local usage = require "vbl.usage"

local Ap = {}
Ap.__index = Ap

local function contrastive_options(given)
  if not given then return false end
  local c = tasks.options("ap contrastive", given, {temperature = 0.07, learnable = false, on = "unimodal"})
  c.start = given.temperature
  if c.on ~= "unimodal" and c.on ~= "fused" then error("task ap: contrastive.on: expected \"unimodal\" or \"fused\", got " .. tostring(c.on), 0) end
  return c
end

local function new(opts)
  local self = setmetatable(tasks.options("ap", opts, {head = "concat", contrastive = false, augment = false}), Ap)
  if self.head ~= "concat" and self.head ~= "similarity" then
    error("task ap: head: expected \"concat\" or \"similarity\", got " .. tostring(self.head), 0)
  end
  self.contrastive = contrastive_options(self.contrastive)
  self.augment = augment.options("ap", "", self.augment)
  return self
end

function Ap:check(model, data)
  augment.check_data("ap", self.augment, data, true)
  local name = self.head == "concat" and "ap" or "ap_similarity"
  if not model.heads[name] then error(string.format("task ap: head = \"%s\" needs the model's head \"%s\"; add it to heads", self.head, name), 0) end
  if self.contrastive and self.contrastive.learnable and not model.heads.log_temperature then
    error("task ap: a learnable temperature needs the model's head \"temperature\"; add it to heads", 0)
  end
  local start = self.contrastive and self.contrastive.learnable and self.contrastive.start
  if start then vbl.no_grad(function() model.heads.log_temperature:fill_(math.log(start)) end) end
end

function Ap:prepare(data, batch, key)
  local ok, swapped = pcall(data.swap_captions, data, batch, key)  -- {tokens, lengths, labels = array of 0 or 1 (1: the pair belongs together)}
  if not ok then error("task ap: " .. usage.strip(swapped), 0) end  -- too few different captions: the data's fault, not the code's
  local images = key.test and batch.images or augment.images(batch.images, self.augment, batch, key, "ap")
  local repeated = self.contrastive and tasks.repeats(data, batch.index, swapped.labels) or nil
  return {n = batch.n, labels = swapped.labels, repeated = repeated, batch = {tokens = swapped.tokens, lengths = swapped.lengths, images = images}}
end

-- CLS rows of the matched pairs of a part that begins at sample lo, normalised, each image once: {text [m, D], vision [m, D]}
local function matched_rows(self, model, out, work, lo, labels)
  local source = self.contrastive.on == "unimodal" and out.unimodal or out
  local t, v = {}, {}
  local tcls, vcls = out.text_layout.first, out.vision_layout.P
  for i, y in ipairs(labels) do
    if y == 1 and not work.repeated[lo + i - 1] then t[#t + 1], v[#v + 1] = tcls[i], (i - 1) * vcls end
  end
  local function rows(x, index) return F.normalize_rows(F.gather_rows(x, vbl.tensor(index, {dtype = "i32"}))) end
  if #t == 0 then return nil end
  return {rows(source.text, t), rows(source.vision, v)}
end

function Ap:forward(model, work, lo, hi, pass)
  local part = tasks.part(work.batch, lo, hi)
  local on_unimodal = self.contrastive and self.contrastive.on == "unimodal"
  local out = model:run(part, {
    pass = pass, unimodal = self.head == "similarity" or on_unimodal,
    fuse = self.head == "concat" or self.contrastive and not on_unimodal or false,
  })
  local y = table.move(work.labels, lo, hi, 1, {})
  local logit = readout.alignment(model, out, self.head):reshape(-1)
  local labels = vbl.tensor(y)
  local loss = F.bce_with_logits(logit, labels, {divisor = work.n})
  local right = logit:detach():gt(0):eq(labels):sum()
  return {loss = loss, keys = self.contrastive and matched_rows(self, model, out, work, lo, y),
          stats = {["loss.ap"] = {loss, 0}, ["accuracy.ap"] = {right, #y}}}
end

Ap.joins_own = true

function Ap:join(keys, model, own)
  local c = self.contrastive
  local q, temperature = keys[1], c.temperature
  if c.learnable then
    temperature = model.heads.log_temperature:exp():reshape()
    if temperature:device() ~= "cpu" then q, temperature = q / temperature, 1 end  -- info_nce would wait for it
  end
  local loss = contrast(q, keys[2], {temperature = temperature, symmetric = true}, own)
  return loss * c.weight, {["loss.contrastive"] = loss, ["chance.contrastive"] = math.log(keys[1]:size(1))}
end

return new

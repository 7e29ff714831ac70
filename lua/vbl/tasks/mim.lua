-- Contrastive masked image modelling: the image goes through the whole model twice with the same text, clean and with patches masked
-- in the normalised pixels. InfoNCE from the masked view's patch tokens of vision.final (queries) to the clean view's (keys), never
-- CLS, L2-normalised, mean over the queries; every chosen position of the batch is a candidate. Of samples that show one image the first
-- alone takes part: a patch is no negative of itself.
--   probability = 0.3     share of the patches to hide, each sample
--   positions = "unmasked" (the thesis's) | "masked" | "all"
--   target = "grad" (gradients flow into the clean view too) | "stop"
--   temperature = 0.07
--   augment = {crop =, flip =, clean = {...}, masked = {...}}   vbl.data.augment. Crop and flip are drawn once for both views, since patch i
--                         of one is to match patch i of the other; colours and blur are each view's own.
local vbl = require "vbl"
local tasks = require "vbl.tasks"
local contrast = require "vbl.tasks.contrast"
local augment = require "vbl.data.augment"
local F = require "vbl.nn.functional"

local Mim = {}
Mim.__index = Mim

-- -> {both =, clean =, masked =}
local function views(given)
  if not given then return {} end
  local both = {}
  for key, value in pairs(given) do
    if key ~= "clean" and key ~= "masked" then both[key] = value end
  end
  local why = "drawn once for both views (patch i of one must show what patch i of the other does): give it as augment.crop, .ratio, .flip"
  return {both = augment.options("mim", "", both), clean = augment.options("mim", ".clean", given.clean, why),
          masked = augment.options("mim", ".masked", given.masked, why)}
end

local function new(opts)
  local self = setmetatable(tasks.options("mim", opts, {probability = 0.3, positions = "unmasked", target = "grad", temperature = 0.07, augment = false}), Mim)
  if not ({unmasked = 1, masked = 1, all = 1})[self.positions] then
    error("task mim: positions: expected \"unmasked\", \"masked\" or \"all\", got " .. tostring(self.positions), 0)
  end
  if self.target ~= "grad" and self.target ~= "stop" then error("task mim: target: expected \"grad\" or \"stop\", got " .. tostring(self.target), 0) end
  self.augment = views(self.augment)
  return self
end

function Mim:check(_, data)
  for _, options in pairs(self.augment) do augment.check_data("mim", options, data) end
end

function Mim:prepare(data, batch, key)
  local mask = data:mask_patches(batch.n, {probability = self.probability, seed = key.seed, step = key.step})
  local both = augment.images(batch.images, self.augment.both, batch, key, "mim")
  local clean = augment.images(both, self.augment.clean, batch, key, "mim_clean")
  local masked = augment.images(both, self.augment.masked, batch, key, "mim_masked")
  return {n = batch.n, mask = mask, masked = masked, repeated = tasks.repeats(data, batch.index), batch = {tokens = batch.tokens, lengths = batch.lengths, images = clean}}
end

-- Row numbers, in [B * P] rows with CLS first, of the chosen patches of a part that begins at sample lo.
local function chosen(positions, mask, P, repeated, lo)
  local index = {}
  for b, row in ipairs(mask) do
    for j, hidden in ipairs(repeated[lo + b - 1] and {} or row) do
      if positions == "all" or (hidden == 1) == (positions == "masked") then index[#index + 1] = (b - 1) * P + j end
    end
  end
  return index
end

function Mim:forward(model, work, lo, hi, pass)
  local clean = tasks.part(work.batch, lo, hi)
  local mask = work.mask:narrow(1, lo, hi - lo + 1)
  local images = work.masked and work.masked:narrow(1, lo, hi - lo + 1)  -- nil: those of the clean view
  local masked = setmetatable({mask = mask, images = images}, {__index = clean})
  local index = chosen(self.positions, mask:totable(), mask:size(2) + 1, work.repeated, lo)
  if #index == 0 then return {stats = {}} end
  index = vbl.tensor(index, {dtype = "i32"})
  local function tokens(out) return F.normalize_rows(F.gather_rows(out.vision, index)) end
  local function target() return tokens(model:run(clean, {pass = pass + 1, reads = "vision"})) end
  if self.target == "stop" then return {keys = {tokens(model:run(masked, {pass = pass, reads = "vision"})), vbl.no_grad(target)}, stats = {}} end
  local out = model:run_all {{masked, {pass = pass, reads = "vision"}}, {clean, {pass = pass + 1, reads = "vision"}}}
  return {keys = {tokens(out[1]), tokens(out[2])}, stats = {}}
end

Mim.joins_own = true

function Mim:join(keys, _, own)
  local loss = contrast(keys[1], keys[2], {temperature = self.temperature}, own)
  return loss, {["loss.mim"] = loss, ["candidates.mim"] = keys[2]:size(1)}
end

return new

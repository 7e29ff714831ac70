-- Masked language modelling (Devlin et al. 2019): 15 % of the tokens that are not [CLS], [SEP] or padding are to be predicted; of these
-- 80 % are [MASK], 10 % a random ordinary token, 10 % unchanged. Mean cross-entropy over the masked tokens of the whole batch; with
-- none masked there is no loss and no gradient. The head runs on the masked rows only.
local vbl = require "vbl"
local tasks = require "vbl.tasks"
local F = require "vbl.nn.functional"

local Mlm = {}
Mlm.__index = Mlm

-- {probability = 0.15, weight = 1, batch = nil}
local function new(opts)
  return setmetatable(tasks.options("mlm", opts, {probability = 0.15}), Mlm)
end

function Mlm:check(model)
  if not model.heads.mlm then error("task mlm: the model has no mlm head; add \"mlm\" to heads", 0) end
end

function Mlm:prepare(data, batch, key)
  local tokens, labels, count = data:mask_tokens(batch.tokens, batch.lengths, {probability = self.probability, seed = key.seed, step = key.step})
  return {n = batch.n, count = count, labels = labels, batch = {tokens = tokens, lengths = batch.lengths, images = batch.images}}
end

function Mlm:forward(model, work, lo, hi, pass)
  local part = tasks.part(work.batch, lo, hi)
  local labels, rows, wanted = work.labels:narrow(1, lo, hi - lo + 1):totable(), {}, {}
  local lengths = part.lengths:totable()
  local first, at = 0, model.config.packed and lengths or nil
  for b = 1, #labels do
    for t = 1, lengths[b] do
      if labels[b][t] >= 0 then rows[#rows + 1], wanted[#wanted + 1] = first + t - 1, labels[b][t] end
    end
    first = first + (at and at[b] or part.tokens:size(2))
  end
  if #rows == 0 then return {stats = {["loss.mlm"] = {0, 0}}} end
  local out = model:run(part, {pass = pass, reads = "text"})
  local logits = model.heads.mlm(F.gather_rows(out.text, vbl.tensor(rows, {dtype = "i32"})))
  local loss = F.cross_entropy(logits, vbl.tensor(wanted, {dtype = "i32"}), {divisor = work.count})
  return {loss = loss, stats = {["loss.mlm"] = {loss, 0}}}
end

return new

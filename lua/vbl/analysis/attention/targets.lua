-- What an attribution explains: one number that the model says of a pair.
--   "alignment"        the logit of alignment prediction: heads.ap on the fused CLS vectors, or heads.ap_similarity on the unimodal ones
--   "class"            the largest logit of the classifier; {class = k}: logit k (classes count from 0)
--   function(model, pair, opts) -> a tensor of one element; opts are for model:run
--   targets.score(model, pair, target, opts) -> that tensor     targets.default(model) -> the target to look at, or nil
local readout = require "vbl.models.readout"

local targets = {}

function targets.default(model)
  if model.classifier then return "class" end
  if model.heads.ap or model.heads.ap_similarity then return "alignment" end
end

local function alignment(model, pair, opts)
  if not model.heads.ap and not model.heads.ap_similarity then error("attention: target \"alignment\": the model has neither head ap nor ap_similarity", 0) end
  local head = model.heads.ap and "concat" or "similarity"
  local run = {attend = opts.attend, cross = opts.cross}
  if head == "similarity" then run.fuse = false end
  return readout.alignment(model, model:run(pair, run), head):reshape(-1)
end

local function class(model, pair, k, opts)
  if not model.classifier then error("attention: target class: the model has no classifier", 0) end
  local logits = model:classify(pair, opts)
  if k == nil then return logits:max(2) end
  if math.type(k) ~= "integer" or k < 0 or k >= logits:size(2) then
    error(("attention: target class: expected 0 to %d, got %s"):format(logits:size(2) - 1, tostring(k)), 0)
  end
  return logits:narrow(2, k + 1, 1)
end

function targets.score(model, pair, target, opts)
  if target == "alignment" then return alignment(model, pair, opts):sum() end
  if target == "class" then return class(model, pair, nil, opts):sum() end
  if type(target) == "table" and target.class then return class(model, pair, target.class, opts):sum() end
  if type(target) == "function" then return target(model, pair, opts):sum() end
  error(("attention: target: expected \"alignment\", \"class\", {class = k} or a function, got %s"):format(tostring(target)), 0)
end

return targets

-- What a fine-tuning run starts from, and how fast each of its layers learns.
--   start.weights(from) -> the path of weights, from as a path      from: a RUN (its best checkpoint, else its last) or its name (vbl.runs.named), one of
--     its checkpoints, or what vbl.models.weights reads
--   start.depth_of(name, config) -> the layer that a parameter belongs to, from 0, embeddings, to the heads, the largest
--   start.layer_scales(model, decay) -> {parameter -> factor of the learning rate}, nil for decay 1
--     decay^(distance from the top): embeddings lowest, then the layers of both streams, the fusion's blocks where they stand, the heads 1
--     (Clark et al. 2020, ELECTRA; Bao et al. 2022, BEiT)
local checkpoint = require "vbl.runs.checkpoint"
local named = require "vbl.runs.named"
local system = require "vbl.system.c"
local trimmed = require "vbl.trimmed"

local start = {}

local function of_run(run)
  local kinds = {}
  for _, found in ipairs(checkpoint.whole(run .. "/checkpoints")) do kinds[found.kind] = found.path end
  if kinds.best or kinds.last then return kinds.best or kinds.last end
  local any = next(kinds)
  local more = any and (" (from=%s is there)"):format(kinds[any]) or ": they were deleted, or none was written yet"
  error(("config: from: %s has no whole checkpoint best or last%s"):format(run, more), 0)
end

function start.weights(from)
  local ok, path = pcall(named, from)
  if not ok then error("config: from: " .. path, 0) end
  from = trimmed(path)
  local run, kind = checkpoint.place(from)
  if run and not kind then return of_run(run), run end
  if kind then
    checkpoint.check_kind(kind)
    if not checkpoint.read_state(run .. "/checkpoints", kind) then error(("config: from: %s: there is no such checkpoint"):format(from), 0) end
  end
  if not system.exists(from) then error(("config: from: %s: no such run, checkpoint or file"):format(from), 0) end
  return from, from
end

-- Layer number of a parameter: 0 embeddings, i + 1 layer i, above them stacked blocks, then the heads.
function start.depth_of(name, c)
  local L = c.layers
  local layer = name:match "^bert%.encoder%.layer%.(%d+)%." or name:match "^vit%.blocks%.(%d+)%."
  if layer then return tonumber(layer) + 1 end
  local block, stream = name:match "^fusion%.(%d+)%.(%a+)%."
  if block then return c.fusion == "stacked" and L + 1 + tonumber(block) or c.coattention[stream][tonumber(block) + 1] + 1 end
  if name:find "^bert%.embeddings%." or name:find "^vit%.cls_token" or name:find "^vit%.pos_embed" or name:find "^vit%.patch_embed%." then return 0 end
  return L + 1 + (c.depth or 0)
end

function start.layer_scales(model, decay)
  if decay == 1 then return nil end
  local scales, c = {}, model.config
  local top = c.layers + 1 + (c.depth or 0)
  for _, p in ipairs(model.list) do scales[p.name] = decay ^ (top - start.depth_of(p.name, c)) end
  return scales
end

return start

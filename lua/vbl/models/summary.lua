-- A model in numbers: parameters by part, FLOPs of a sample, memory of a step. Counted from the sizes, nothing is run.
local summary = {}

local function comma(n)
  local s = string.format("%d", n)
  while true do
    local k
    s, k = s:gsub("^(-?%d+)(%d%d%d)", "%1,%2")
    if k == 0 then return s end
  end
end
summary.comma = comma

local function part_of(name)
  local a, b = name:match("^(%a+)%.([%a_]+)")
  if a == "bert" then return b == "encoder" and "bert.encoder" or "bert." .. b end
  if a == "vit" then return b == "blocks" and "vit.blocks" or "vit embeddings and norm" end
  return name:match("^fusion%.%d+") or name:match("^heads%.[%a_]+") or name:match("^classifier")
end

-- Parts in the model's order: array of {name, parameters, trainable}.
function summary.parts(model)
  local parts = {}
  for _, p in ipairs(model.list) do
    local name = part_of(p.name) or p.name
    local part = parts[name]
    if not part then
      part = {name, 0, 0}
      parts[name], parts[#parts + 1] = part, part
    end
    part[2] = part[2] + p.tensor:numel()
    if p.tensor.requires_grad then part[3] = part[3] + p.tensor:numel() end
  end
  return parts
end

function summary.text(model)
  local lines = {tostring(model), string.format("%-28s %14s %14s", "part", "parameters", "trainable")}
  for _, part in ipairs(summary.parts(model)) do
    lines[#lines + 1] = string.format("%-28s %14s %14s", part[1], comma(part[2]), comma(part[3]))
  end
  lines[#lines + 1] = string.format("%-28s %14s %14s", "total", comma(model:num_parameters()), comma(model:num_parameters("trainable")))
  return table.concat(lines, "\n")
end

-- Multiply-adds count as two. T text tokens, P image tokens. Forward only, one sample, without heads.
local function linear(rows, inputs, outputs) return 2 * rows * inputs * outputs end
local function encoder_layer(n, D, F) return linear(n, D, 3 * D) + 4 * n * n * D + linear(n, D, D) + 2 * linear(n, D, F) end
local function fusion_block(T, P, D, F, dim, co)
  local scores = co and 2 * T * P or T * T + P * P
  return linear(T + P, D, 3 * dim) + 4 * scores * dim + linear(T + P, dim, D) + 2 * linear(T + P, D, F)
end

-- FLOPs of one sample's forward pass with T text tokens.
function summary.flops(model, T)
  local c = model.config
  local P = (c.image // c.patch) ^ 2 // 1 + 1
  local joined = c.fusion == "single_stream"
  local encoders = joined and encoder_layer(T + P, c.dim, c.mlp) or encoder_layer(T, c.dim, c.mlp) + encoder_layer(P, c.dim, c.mlp)
  local total = c.layers * encoders + linear(P - 1, 3 * c.patch ^ 2, c.dim)
  local dim = c.coattention and c.coattention.dim or c.dim
  for _, block in ipairs(model.blocks) do total = total + fusion_block(T, P, c.dim, c.mlp, dim, block.co) end
  return total
end

-- Bytes that one sample keeps for backward: per row of an encoder layer about qkv, attention and its output, two normalised inputs, two residual sums and
-- the MLP's two hidden widths; a fusion block adds one more norm. With checkpointing: each layer's input, and all of one layer or block.
function summary.activation_bytes(model, T)
  local c = model.config
  local rows = T + (c.image // c.patch) ^ 2 // 1 + 1
  local dim = c.coattention and c.coattention.dim or c.dim
  local layer = 9 * c.dim + 2 * c.mlp
  local block = 7 * c.dim + 4 * dim + 2 * c.mlp
  local kept = model.checkpointing and (c.layers + #model.blocks) * c.dim + math.max(layer, block) or c.layers * layer + #model.blocks * block
  return 4 * rows * (kept + 4 * c.dim)
end

return summary

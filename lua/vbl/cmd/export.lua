-- vbl export SOURCE OUT: a trained model as files for others: OUT/bert (Hugging Face's BertModel), OUT/vit (timm), OUT/vilbert.safetensors.
-- SOURCE: a run (its best checkpoint, else its last), a checkpoint's folder, or a safetensors file of this program.
local export = require "vbl.models.weights.export"
local named = require "vbl.runs.named"
local system = require "vbl.system.c"
local trimmed = require "vbl.trimmed"
local usage = require "vbl.usage"
local vbl = require "vbl"
local vocabulary = require "vbl.data.vocabulary"

-- The file of the weights that a path means.
local function find(path)
  path = trimmed(named(path))
  for _, kind in ipairs {"best", "last"} do
    local file = ("%s/checkpoints/%s/model.safetensors"):format(path, kind)
    if system.exists(file) then return file end
  end
  if system.exists(path .. "/config.lua") then usage(("export: %s: the run has no checkpoint yet"):format(path)) end
  if not system.exists(path) then usage(("export: %s: no such run, file or folder"):format(path)) end
  return path
end

local function read_vocabulary(path)
  if not path then return nil end
  local tokenizer = vbl.data.tokenizer(path)
  return vocabulary.tokens(tokenizer), tokenizer:rules()
end

return function(...)
  local source, out, more = ...
  if source == "--help" then return print "usage: vbl export RUN|CHECKPOINT|FILE.safetensors OUT     BERT, ViT and vilbert files for other programs" end
  if not out or more then usage "usage: vbl export RUN|CHECKPOINT|FILE.safetensors OUT" end
  local weights = require "vbl.models.weights"
  local ok, message = pcall(function()
    local found = weights.open(find(source))
    if not found.parts[1].families.vilbert then error(("%s: not a file of this program"):format(source), 0) end
    if not found.parts[1].sizes then error(("%s: says nothing of its model (no config in its metadata, no config.json beside it)"):format(source), 0) end
    local model = vbl.models.vilbert {weights = find(source)}
    local tokens, rules = read_vocabulary(found.vocabulary)
    if tokens and #tokens ~= model.config.vocab then error(("%s: has %d tokens, the model %d"):format(found.vocabulary, #tokens, model.config.vocab), 0) end
    export.write(model, out, {vocabulary = tokens, rules = rules, log = print})
  end)
  if not ok then usage("export: " .. usage.strip(message):gsub("^export: ", "")) end
end

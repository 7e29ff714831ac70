-- The kinds of runs: what their manifest calls them and what does them (vbl.train.job says what a kind is).
--   kinds.named(NAME) -> the kind      NAME: "pretrain" or "finetune"
--   kinds.name_of(RUN) -> "pretrain" or "finetune"; nil where it is no run's folder      kinds.of(RUN) -> the kind
local manifest = require "vbl.runs.manifest"
local system = require "vbl.system.c"

local modules = {pretrain = "vbl.train.pretraining", finetune = "vbl.train.finetuning"}

local kinds = {}

function kinds.named(name) return require(modules[name]) end

function kinds.name_of(run)
  if not system.exists(run .. "/config.lua") then return nil end
  return manifest(run).kind or "pretrain"  -- manifests from before there was fine-tuning name none
end

function kinds.of(run)
  local name = kinds.name_of(run)
  return kinds.named(modules[name] and name or "pretrain")
end

return kinds

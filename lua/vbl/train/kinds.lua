-- The kinds of runs: what their manifest calls them and what does them (vbl.train.job says what a kind is).
--   kinds.named(NAME) -> the kind      NAME: "pretrain" or "finetune"
--   kinds.name_of(RUN) -> "pretrain" or "finetune"; nil where it is no run's folder      kinds.of(RUN) -> the kind
local system = require "vbl.system.c"
local vbl = require "vbl"

local modules = {pretrain = "vbl.train.pretraining", finetune = "vbl.train.finetuning"}

local kinds = {}

function kinds.named(name) return require(modules[name]) end

function kinds.name_of(run)
  if not system.exists(run .. "/config.lua") then return nil end
  local path = run .. "/manifest.json"
  return system.exists(path) and vbl.load(path).kind or "pretrain"  -- manifests of before finetuning name none
end

function kinds.of(run)
  local name = kinds.name_of(run)
  return kinds.named(modules[name] and name or "pretrain")
end

return kinds

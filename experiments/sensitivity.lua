-- How much of a number is the number of items or of neighbours? Curves in n and k beside the same curves for shuffled rows and the measures'
-- own chance laws: biased CKA follows d/(n+d), mutual k-NN k/(n-1).
--   vbl experiments/sensitivity.lua                                   independent, and partly shared, normal data of width `dim`
--   vbl experiments/sensitivity.lua features=runs/.../analysis/features.safetensors
local vbl = require "vbl"

local config = vbl.config({
  features = "",                    -- a file of experiments/analyse.lua; else drawn data
  partner = "mismatched",           -- of the features
  items = 1024,                     -- drawn data: rows
  dim = 128,                        -- drawn data: width
  shared = 0.5,                     -- drawn data: share of the variance that X and Y have in common
  n = {64, 128, 256, 512, 1024},    -- numbers of items (those above the features' are left out)
  k = {5, 10, 20, 50, 100},         -- numbers of neighbours
  draws = 5,                        -- subsets of each n
  out_base = "sensitivity",         -- .tsv, .json, .svg and .png
}, nil, {})

local measures = {"cka", {"cka", label = "CKA, biased", opts = {estimator = "biased"}}, "mknn", "svcca", "procrustes", "knn_jaccard"}

-- Y = a X + b E with a^2 = shared, b^2 = 1 - shared: linear CKA of the population is `shared`, that of independent data 0.
local function drawn()
  vbl.manual_seed(config.flags.seed)
  local x, e, u = vbl.randn(config.items, config.dim), vbl.randn(config.items, config.dim), vbl.randn(config.items, config.dim)
  local s = config.shared
  return {{name = "shared", x = x, y = x * math.sqrt(s) + e * math.sqrt(1 - s)}, {name = "independent", x = x, y = u}}
end

local function up_to(list, most)
  local kept = {}
  for _, v in ipairs(list) do
    if v <= most then kept[#kept + 1] = v end
  end
  return kept
end

local pairs_ = config.features ~= "" and vbl.analysis.load(config.features):pairs(config.partner) or drawn()
local rows = (pairs_[1].x or pairs_[1].text):size(1)
local sheet = vbl.analysis.stability(pairs_, measures, {n = up_to(config.n, rows), k = up_to(config.k, rows - 1), draws = config.draws,
                                                        seed = config.flags.seed})
print(sheet)
sheet:save(config.out_base)
sheet:draw(config.out_base)
print("written to " .. config.out_base .. ".tsv, .json, .svg, .png")

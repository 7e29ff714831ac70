-- What figures write beside their parts. titles.of(name): what they call a measure; names are those of vbl.measure and the short ones of
-- the log line. titles.layers(n): {"0", ..., n - 1}, the layers along an axis.
local titles = {
  cosine = "cosine of pairs", cka = "CKA", svcca = "SVCCA", mknn = "mutual k-NN", knn_jaccard = "k-NN Jaccard", jaccard = "k-NN Jaccard",
  rank_sim = "rank similarity", rank = "rank similarity", procrustes = "Procrustes similarity", max_sim_tp = "max-sim text to patch",
  max_sim_pt = "max-sim patch to text", cknna = "CKNNA", cca = "CCA", pwcca = "PWCCA", rsa = "RSA", dcor = "distance correlation",
  linear_r2 = "linear R2", ridge_r2_cv = "ridge R2 (CV)", modality_gap = "modality gap", retrieval = "retrieval R@1", gw_identity = "GW distortion",
  aligned_cosine = "aligned cosine", effective_rank = "effective rank", participation_ratio = "participation ratio", pca_dims = "PCA dims, 95 %",
  twonn = "TwoNN dimension", stable_rank = "stable rank", alignment = "alignment distance",
}

local function layers(n)
  local list = {}
  for i = 1, n do list[i] = tostring(i - 1) end
  return list
end

return {of = function(name) return titles[name] or name end, layers = layers}

// The measures by name: options and help. One row is a measure's whole Lua face.
// defines: vbl_measure_rows
#include "bindings/measure.h"

#define AT(field)    offsetof(vbl_measure_options, field)
#define CHOICES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define END \
  { NULL, OPTION_NUMBER, 0, NULL }
#define NEIGHBOURS                                                                                                 \
  {"k", OPTION_INTEGER, AT(k), NULL}, {"metric", OPTION_CHOICE, AT(metric), CHOICES("cosine", "ip", "euclidean")}, \
      {"ties", OPTION_CHOICE, AT(ties), CHOICES("index", "fractional")}, END

static const vbl_measure_option none[] = {END};
static const vbl_measure_option neighbours[] = {NEIGHBOURS};
static const vbl_measure_option hsic[] = {{"estimator", OPTION_CHOICE, AT(estimator), CHOICES("debiased", "biased")}, END};
static const vbl_measure_option cka[] = {{"kernel", OPTION_CHOICE, AT(kernel), CHOICES("linear", "rbf")},
                                         {"estimator", OPTION_CHOICE, AT(estimator), CHOICES("debiased", "biased")},
                                         {"bandwidth", OPTION_BANDWIDTH, AT(bandwidth), NULL},
                                         {"fraction", OPTION_NUMBER, AT(fraction), NULL},
                                         END};
static const vbl_measure_option minibatch[] = {{"batch", OPTION_INTEGER, AT(batch), NULL}, END};
static const vbl_measure_option cca[] = {{"of", OPTION_CHOICE, AT(of), CHOICES("rho", "rho2")}, END};
static const vbl_measure_option svcca[] = {
    {"threshold", OPTION_NUMBER, AT(threshold), NULL}, {"dims", OPTION_INTEGER, AT(dims), NULL}, END};
static const vbl_measure_option pwcca[] = {{"side", OPTION_CHOICE, AT(side), CHOICES("x", "y")}, END};
static const vbl_measure_option procrustes[] = {
    {"form", OPTION_CHOICE, AT(form), CHOICES("similarity", "distance", "normalised_distance", "angular")}, END};
static const vbl_measure_option dcor[] = {{"estimator", OPTION_CHOICE, AT(estimator), CHOICES("biased", "corrected")}, END};
static const vbl_measure_option alignment[] = {{"alpha", OPTION_NUMBER, AT(alpha), NULL}, END};
static const vbl_measure_option uniformity[] = {{"t", OPTION_NUMBER, AT(t), NULL}, END};
static const vbl_measure_option cknna[] = {{"k", OPTION_INTEGER, AT(k), NULL},
                                           {"variant", OPTION_CHOICE, AT(variant), CHOICES("ref", "local")},
                                           {"eps", OPTION_NUMBER, AT(eps), NULL},
                                           END};
static const vbl_measure_option rsa[] = {
    {"rdm", OPTION_CHOICE, AT(rdm), CHOICES("correlation", "cosine", "euclidean", "sqeuclidean")},
    {"compare", OPTION_CHOICE, AT(compare), CHOICES("spearman", "pearson", "kendall")},
    END};
static const vbl_measure_option ridge[] = {{"folds", OPTION_INTEGER, AT(folds), NULL},
                                           {"lambda", OPTION_NUMBER, AT(lambda), NULL},
                                           {"assignment", OPTION_ROW_LABELS, AT(assignment), NULL},
                                           {"seed", OPTION_INTEGER, AT(seed), NULL},
                                           END};
static const vbl_measure_option wasserstein[] = {{"p", OPTION_NUMBER, AT(p), NULL}, END};
static const vbl_measure_option sinkhorn[] = {
    {"eps", OPTION_NUMBER, AT(eps), NULL}, {"form", OPTION_CHOICE, AT(form), CHOICES("divergence", "cost", "dual")}, END};
static const vbl_measure_option sliced[] = {{"projections", OPTION_INTEGER, AT(projections), NULL},
                                            {"seed", OPTION_INTEGER, AT(seed), NULL},
                                            {"directions", OPTION_DIRECTIONS, AT(directions), NULL},
                                            END};
static const vbl_measure_option gw[] = {{"normalise", OPTION_NOT, AT(raw_distances), NULL}, END};
static const vbl_measure_option effective_rank[] = {{"of", OPTION_CHOICE, AT(of), CHOICES("sigma", "eigenvalue")}, END};
static const vbl_measure_option pca_dims[] = {{"variance", OPTION_NUMBER, AT(variance), NULL}, END};
static const vbl_measure_option twonn[] = {
    {"fit", OPTION_CHOICE, AT(fit), CHOICES("mle", "linear")}, {"discard", OPTION_NUMBER, AT(discard), NULL}, END};
static const vbl_measure_option retrieval[] = {{"groups", OPTION_ROW_LABELS, AT(groups), NULL}, END};

#define PAIR    "X [n,dx], Y [n,dy]: row i of X is paired with row i of Y. "
#define KNN     "(X, Y, {k=10, metric=\"cosine\"|\"ip\"|\"euclidean\", ties=\"index\"|\"fractional\"}) -> number, record"
#define ORDERED "(X, Y, {k=10, metric=\"cosine\"|\"ip\"|\"euclidean\"}) -> number, record"

const vbl_measure_row vbl_measure_rows[] = {
    {"cosine", vbl_cosine, 2, none, "cosine(X, Y) -> number, record",
     PAIR
     "Mean cosine of paired rows, -1 to 1; dx = dy, else NOT_COMPARABLE. Zero rows are skipped and counted. chance: all pairs."},
    {"hsic", vbl_hsic, 2, hsic, "hsic(X, Y, {estimator=\"debiased\"|\"biased\"}) -> number, record",
     PAIR "Hilbert-Schmidt independence criterion, linear kernel. Debiased needs n >= 4 and may be negative."},
    {"cka", vbl_cka, 2, cka,
     "cka(X, Y, {kernel=\"linear\"|\"rbf\", estimator=\"debiased\"|\"biased\", bandwidth=\"median\"|\"median_full\"|sigma, "
     "fraction=1}) "
     "-> number, record",
     PAIR "Centred kernel alignment; 1 = same up to rotation and scale. Debiased (n >= 4): about 0 for unrelated data, may be "
          "negative. Biased: see chance, which is far above 0 where d is not small beside n."},
    {"cka_minibatch", vbl_cka_minibatch, 2, minibatch, "cka_minibatch(X, Y, {batch=64}) -> number, record",
     PAIR
     "Debiased linear CKA from sums over batches of consecutive rows (batch >= 4); a shorter last batch is left out and counted."},
    {"dcor", vbl_dcor, 2, dcor, "dcor(X, Y, {estimator=\"biased\"|\"corrected\"}) -> number, record",
     PAIR "Distance correlation, 0 to 1; corrected: on the squared scale, about 0 for unrelated data, may be negative (n >= 4)."},
    {"mknn", vbl_mknn, 2, neighbours, "mknn" KNN, PAIR "Mean share of common k nearest neighbours, 0 to 1. chance k/(n-1)."},
    {"mknn_thesis", vbl_mknn_thesis, 2, neighbours, "mknn_thesis" ORDERED,
     PAIR "Reciprocity across spaces over reciprocity within: no overlap, can exceed 1. Chance: mknn's over the share of "
          "neighbours that are mutual (record.chance). For comparison with published numbers only."},
    {"knn_jaccard", vbl_knn_jaccard, 2, neighbours, "knn_jaccard" KNN,
     PAIR "Mean Jaccard index of the k nearest neighbours, 0 to 1."},
    {"rank_sim", vbl_rank_sim, 2, neighbours, "rank_sim" ORDERED,
     PAIR "Agreement of the ranks of common neighbours, 0 to 1; says nothing of how many are common: read it with knn_jaccard."},
    {"joint_rank_jaccard", vbl_joint_rank_jaccard, 2, neighbours, "joint_rank_jaccard" ORDERED,
     PAIR "Mean over rows of rank similarity times Jaccard index, 0 to 1."},
    {"cycle_knn", vbl_cycle_knn, 2, neighbours, "cycle_knn" ORDERED,
     PAIR "Share of rows that are an X-neighbour of one of their Y-neighbours. Not symmetric; not 1 for X = Y."},
    {"lcs_knn", vbl_lcs_knn, 2, neighbours, "lcs_knn" ORDERED,
     PAIR "Mean longest common subsequence of the neighbour lists, 0 to k; record.per_k is divided by k."},
    {"edit_knn", vbl_edit_knn, 2, neighbours, "edit_knn" ORDERED,
     PAIR "1 - mean edit distance of the neighbour lists / k, 0 to 1."},
    {"second_order_cosine", vbl_second_order_cosine, 2, neighbours, "second_order_cosine" ORDERED,
     PAIR "Mean cosine between a row's distances, in X and in Y, to the union of its neighbours."},
    {"cknna", vbl_cknna, 2, cknna, "cknna(X, Y, {k=10, variant=\"ref\"|\"local\", eps=0}) -> number, record",
     PAIR "Kernel alignment over common neighbours of unit rows; 1 = same. ref: as the published code (eps 1e-6 there); local: "
          "row-centred."},
    {"cca", vbl_cca, 2, cca, "cca(X, Y, {of=\"rho\"|\"rho2\"}) -> number, record",
     PAIR "Mean canonical correlation (or its square), 0 to 1. A rank of n-1 or more is RANK_SATURATED; wants n >= 10 rank."},
    {"svcca", vbl_svcca, 2, svcca, "svcca(X, Y, {threshold=0.99} | {dims=10}) -> number, record",
     PAIR "Mean canonical correlation of the principal components that hold `threshold` of the variance, or of the first `dims`."},
    {"pwcca", vbl_pwcca, 2, pwcca, "pwcca(X, Y, {side=\"x\"|\"y\"}) -> number, record",
     PAIR "Canonical correlations weighted by how much of one side they account for. Not symmetric."},
    {"procrustes", vbl_procrustes, 2, procrustes,
     "procrustes(X, Y, {form=\"similarity\"|\"distance\"|\"normalised_distance\"|\"angular\"}) -> number, record",
     PAIR "Best rotation of centred X onto centred Y. similarity 0 to 1; distance in the data's units, grows with n; "
          "normalised_distance 0 to sqrt 2; angular 0 to pi/2."},
    {"aligned_cosine", vbl_aligned_cosine, 2, none, "aligned_cosine(X, Y) -> number, record",
     PAIR "Mean cosine of paired rows after centring and the best rotation, -1 to 1."},
    {"modality_gap", vbl_modality_gap, 2, none, "modality_gap(X, Y) -> number, record",
     "X, Y [n,d] in one space. Distance between the mean directions, 0 to 2; record.centroid_cosine."},
    {"alignment", vbl_alignment, 2, alignment, "alignment(X, Y, {alpha=2}) -> number, record",
     "X, Y [n,d] in one space. Mean distance of paired unit rows to the power alpha; 0 = equal."},
    {"uniformity", vbl_uniformity, 1, uniformity, "uniformity(X, {t=2}) -> number, record",
     "X [n,d]. Log mean Gaussian potential of unit rows, -4t (spread) to 0 (one point)."},
    {"retrieval", vbl_retrieval, 2, retrieval, "retrieval(X, Y, {groups=labels [n]}) -> number, record",
     "X, Y [n,d] in one space. R@1 of X -> Y by cosine; the record has r1 r5 r10 median_rank mrr and, with _yx, the other way. "
     "Rows of "
     "one group are all correct answers. A tie counts half; r1_optimistic counts ties as won."},
    {"rsa", vbl_rsa, 2, rsa,
     "rsa(X, Y, {rdm=\"correlation\"|\"cosine\"|\"euclidean\"|\"sqeuclidean\", compare=\"spearman\"|\"pearson\"|\"kendall\"}) -> "
     "number, "
     "record",
     PAIR "Correlation of the two matrices of distances between rows, -1 to 1. A row without direction is ZERO_ROW."},
    {"linear_r2", vbl_linear_r2, 2, none, "linear_r2(X, Y) -> number, record",
     PAIR "Share of Y's variance that a linear map of X explains on the rows it was fitted on, 0 to 1; see chance."},
    {"ridge_r2_cv", vbl_ridge_r2_cv, 2, ridge,
     "ridge_r2_cv(X, Y, {folds=5, lambda=, assignment=folds [n] from 0, seed=0}) -> number, record",
     PAIR
     "R2 of predicting held-out rows of Y from X; negative when worse than the training mean. lambda is absolute; left out, it is "
     "chosen within the training folds."},
    {"wasserstein", vbl_wasserstein, 2, wasserstein, "wasserstein(X, Y, {p=2}) -> number, record",
     "X, Y [n,d] in one space, as two clouds: the pairing is not used. Exact; time grows with n^3."},
    {"sinkhorn", vbl_sinkhorn, 2, sinkhorn, "sinkhorn(X, Y, {eps=, form=\"divergence\"|\"cost\"|\"dual\"}) -> number, record",
     "X, Y [n,d] in one space, as two clouds. Entropic transport of squared distances; eps: 0.05 of the median cost when left "
     "out."},
    {"sliced_wasserstein", vbl_sliced_wasserstein, 2, sliced,
     "sliced_wasserstein(X, Y, {projections=512, seed=0, directions=[m,d]}) -> number, record",
     "X, Y [n,d] in one space, as two clouds. Root mean square over directions of the distance of sorted projections."},
    {"gw_identity", vbl_gw_identity, 2, gw, "gw_identity(X, Y, {normalise=true}) -> number, record",
     PAIR "Mean squared difference of the distances within X and within Y: 0 = same shape. normalise: distances over their mean."},
    {"effective_rank", vbl_effective_rank, 1, effective_rank, "effective_rank(X, {of=\"sigma\"|\"eigenvalue\"}) -> number, record",
     "X [n,d]. exp of the entropy of the singular values (or variances) of centred X; 1 to min(n-1, d)."},
    {"participation_ratio", vbl_participation_ratio, 1, none, "participation_ratio(X) -> number, record",
     "X [n,d]. (sum s^2)^2 / sum s^4 of centred X; 1 to min(n-1, d)."},
    {"stable_rank", vbl_stable_rank, 1, none, "stable_rank(X) -> number, record", "X [n,d]. sum s^2 / s_1^2 of centred X."},
    {"pca_dims", vbl_pca_dims, 1, pca_dims, "pca_dims(X, {variance=0.95}) -> number, record",
     "X [n,d]. The fewest principal components that hold this share of the variance."},
    {"twonn", vbl_twonn, 1, twonn, "twonn(X, {fit=\"mle\"|\"linear\", discard=0.1}) -> number, record",
     "X [n,d]. Intrinsic dimension from the two nearest neighbours; equal rows count once. discard: largest ratios left out "
     "(linear)."},
    {NULL, NULL, 0, NULL, NULL, NULL},
};

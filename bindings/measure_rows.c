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
     PAIR "Reciprocity across spaces over reciprocity within: no overlap, can exceed 1, about three times mknn's chance level. For "
          "comparison with published numbers only."},
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
    {NULL, NULL, 0, NULL, NULL, NULL},
};

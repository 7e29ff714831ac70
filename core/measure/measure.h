// Measures of how far two sets of representations agree: row i of X (n, dx) is paired with row i of Y (n, dy).
//
// Every measure reads prepared matrices (prepared.h), which hold what measures share (centred copy, SVD, neighbour lists), and
// fills one vbl_measure_result. A wrong call (shapes, n below the measure's minimum, k out of range) is a vbl_status with a
// message. A value that the data leave undefined is NaN with a status, never 0. All sums are in f64.
// defines: vbl_measure_warning, vbl_measure_result, vbl_measure_options, vbl_measure_defaults, the measures
#pragma once
#include "core/base/status.h"
#include "core/measure/prepared.h"
#include "include/vbl.h"

typedef enum vbl_measure_warning {
  VBL_WARN_D_GE_N = 1 << 0,             // biased estimator with dx or dy >= n
  VBL_WARN_TIES_AT_K = 1 << 1,          // rows whose k-th and (k+1)-th neighbour are equally far: `ties`
  VBL_WARN_DUPLICATE_ROWS = 1 << 2,     // exactly equal rows: `duplicates_x`, `duplicates_y`
  VBL_WARN_LAST_BATCH_SMALL = 1 << 3,   // cka_minibatch: the last, shorter batch was left out
  VBL_WARN_K_IS_ALL = 1 << 4,           // k = n - 1: every row is everybody's neighbour
  VBL_WARN_FEW_ROWS = 1 << 5,           // n < 10 max(rank): correlations are mostly chance
  VBL_WARN_FORCED_ONES = 1 << 6,        // rank X + rank Y > n - 1: that many correlations are 1 whatever the data
  VBL_WARN_RANK_DEFICIENT = 1 << 7,     // numerical rank below min(n - 1, d)
  VBL_WARN_ZERO_ROWS_SKIPPED = 1 << 8,  // `skipped`
  VBL_WARN_KERNEL_DEGENERATE = 1 << 9,  // mean off-diagonal kernel < 1e-3 (identity) or > 0.999 (constant)
  VBL_WARN_ROWS_SKIPPED = 1 << 10,      // empty captions, duplicates, queries without keys: `skipped`
  VBL_WARN_PROBE_AT_EDGE = 1 << 11,     // the chosen penalty is at the end of its grid
} vbl_measure_warning;

enum { VBL_MEASURE_EXTRAS = 16 };

// Counts that do not apply are -1, numbers that do not apply NaN, texts NULL.
typedef struct vbl_measure_result {
  double value;
  vbl_measure_status status;
  int64_t n, dx, dy, k;
  int64_t dims_x, dims_y;  // dims used (rank, or components kept)
  double chance;           // expected value when the rows of Y are shuffled
  const char *chance_source;
  const char *preprocessing;  // what was done to the rows, in order
  const char *metric;         // kernel, key or distance
  int64_t duplicates_x, duplicates_y, ties, skipped;
  unsigned warnings;  // of vbl_measure_warning
  int extras;         // further numbers by name
  struct {
    const char *name;
    double value;
  } extra[VBL_MEASURE_EXTRAS];
} vbl_measure_result;

const char *vbl_measure_status_name(vbl_measure_status s);  // "OK", "ZERO_VARIANCE", ...
const char *vbl_measure_warning_name(unsigned one_bit);     // "D_GE_N", ...; NULL for a bit without a name

// Options of all measures; each measure names those that it reads. In choices 0 is the measure's default.
typedef struct vbl_measure_options {
  int64_t k;           // neighbours, 1 .. n - 1
  int metric;          // vbl_knn_metric
  int ties;            // 0 by index, 1 fractional (mknn, knn_jaccard)
  int estimator;       // hsic, cka: 0 debiased, 1 biased; dcor: 0 biased, 1 corrected
  int kernel;          // cka: 0 linear, 1 rbf
  int bandwidth_rule;  // rbf: 0 median of i < j, 1 median of all n^2, 2 sigma = bandwidth
  double bandwidth;    // > 0
  double fraction;     // rbf: sigma is multiplied by it, > 0
  int64_t batch;       // cka_minibatch: rows per batch, >= 4
  int variant;         // cknna: 0 ref, 1 local
  double eps;          // cknna: added to the denominator; sinkhorn: regularisation, 0 = 0.05 median(C)
  int of;              // cca: 0 rho, 1 rho2; effective_rank: 0 sigma, 1 eigenvalue
  double threshold;    // svcca: share of the variance kept, (0, 1]
  int64_t dims;        // svcca: components kept; 0 = by threshold
  int side;            // pwcca: 0 x, 1 y
  int form;            // procrustes: 0 similarity 1 distance 2 normalised_distance 3 angular; sinkhorn: 0 divergence 1 cost 2 dual
  int rdm;             // rsa: 0 correlation 1 cosine 2 euclidean 3 sqeuclidean
  int compare;         // rsa: 0 spearman 1 pearson 2 kendall
  int64_t folds;       // ridge_r2_cv, >= 2
  double lambda;       // ridge_r2_cv; < 0 = chosen on inner folds
  const int64_t *assignment;                  // ridge_r2_cv: (n) fold of each row, 0 .. folds - 1; NULL = drawn from the seed
  double p;                                   // wasserstein, > 0
  int64_t projections;                        // sliced_wasserstein
  int64_t seed;                               // draws of sliced_wasserstein and ridge_r2_cv
  const double *directions;                   // sliced_wasserstein: (projections, directions_d) unit rows; NULL = drawn
  int64_t directions_d;                       // must be the matrices' d
  int raw_distances;                          // gw_identity: 1 = distances as they are, 0 = divided by their mean
  double alpha;                               // alignment, > 0
  double t;                                   // uniformity, > 0
  const int64_t *groups;                      // retrieval: (n) rows of one group are all correct answers; NULL = every row its own
  double variance;                            // pca_dims, (0, 1]
  int fit;                                    // twonn: 0 mle, 1 linear
  double discard;                             // twonn linear: share of the largest ratios left out, [0, 1)
  double *cross;                              // procrustes: Xc'Yc, cca, svcca: Ux'Uy where the caller has it, overwritten; NULL
  const double *nuclear;                      // the sum of that product's singular values where the caller has it; NULL
  int on_host;                                // cca, svcca, cknna, procrustes: 1: not on a device, wherever the rows lie
  int value_only;                             // 1: no chance level where that costs more than the value (procrustes)
  const struct vbl_plugin_measure *plugin;    // a plug-in's (plugin.h),
  double plugin_options[VBL_PLUGIN_OPTIONS];  // and its options
} vbl_measure_options;

extern const vbl_measure_options vbl_measure_defaults;

// One type for all measures of pairs; measures of one matrix are called with y = NULL.
typedef vbl_status vbl_measure_fn(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r,
                                  vbl_error *err);

// In one space (dx = dy, else NOT_COMPARABLE): joint.c, transport.c
vbl_measure_fn vbl_cosine, vbl_modality_gap, vbl_alignment, vbl_uniformity, vbl_retrieval;
vbl_measure_fn vbl_wasserstein, vbl_sinkhorn, vbl_sliced_wasserstein;
// Kernels: hsic.c, kernel.c
vbl_measure_fn vbl_hsic, vbl_cka, vbl_cka_minibatch, vbl_cknna, vbl_dcor;
// Neighbours: neighbours.c, neighbour_lists.c
vbl_measure_fn vbl_mknn, vbl_mknn_thesis, vbl_knn_jaccard, vbl_rank_sim, vbl_joint_rank_jaccard, vbl_cycle_knn, vbl_lcs_knn,
    vbl_edit_knn, vbl_second_order_cosine;
// Linear maps: cca.c, procrustes.c, regression.c
vbl_measure_fn vbl_cca, vbl_svcca, vbl_pwcca, vbl_procrustes, vbl_aligned_cosine, vbl_linear_r2, vbl_ridge_r2_cv;
// Distances: rsa.c, transport.c
vbl_measure_fn vbl_rsa, vbl_gw_identity;
// One matrix: spectrum.c
vbl_measure_fn vbl_effective_rank, vbl_participation_ratio, vbl_stable_rank, vbl_pca_dims, vbl_twonn;

// cca or svcca of two matrices on one device: whether it can be had there, and the size of the product (mx, my) that options.cross wants.
// Asks the device, once a matrix. (cca.c)
vbl_status vbl_cca_on_device(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, int64_t size[2],
                             bool *yes, vbl_error *err);
// The canonical correlations, descending, between the first mx and my principal components (1 .. rank; both SVDs made before) of
// two matrices of the same n; *rho (min(mx, my)) is the caller's to free.
vbl_status vbl_canonical_correlations(const vbl_prepared *x, const vbl_prepared *y, int64_t mx, int64_t my, double **rho,
                                      vbl_error *err);

// Token matrices: (b, t, d) with element strides; lengths: (b) valid tokens incl. CLS, or NULL for all.
typedef struct vbl_tokens {
  const void *data;
  vbl_dtype dtype;  // VBL_F32, VBL_F64 or VBL_BF16
  int64_t b, t, d, stride_b, stride_t, stride_d;
  const int64_t *lengths;
  const vbl_tensor *device;  // f32 (b, t, d) without gaps on a device, in the place of data; NULL
} vbl_tokens;

// max_sim_tp: mean over samples of the mean over text tokens of the best cosine with any patch of the same sample; max_sim_pt
// the other way round. skip_cls leaves out token 0 of both. Chance: text of sample b against patches of sample b + B/2.
vbl_status vbl_max_sim(const vbl_tokens *text, const vbl_tokens *vision, bool skip_cls, vbl_measure_result *tp,
                       vbl_measure_result *pt, vbl_error *err);

// Entropy of attention rows p (b, heads, queries, keys), rows summing to 1 over the valid keys, divided by ln(valid keys); mean
// over valid queries and samples, per head into heads[], their mean is the value. lengths: (b) valid keys, or NULL for all;
// query_lengths: (b) or NULL for all.
typedef struct vbl_attention {
  const double *p;  // contiguous
  int64_t b, heads, queries, keys;
  const int64_t *lengths, *query_lengths;
} vbl_attention;
vbl_status vbl_attention_entropy(const vbl_attention *a, double *heads, vbl_measure_result *r, vbl_error *err);

// Logistic regression on features standardised by the training rows, L2 penalty |W|^2 / (2 C), to convergence. labels: (n)
// 0 .. classes - 1. part: (n) 0 training, 1 validation (chooses C from 1e-3 .. 1e3), 2 test; NULL = 60, 20, 20 % drawn from the
// seed.
typedef enum vbl_probe_metric { VBL_PROBE_ACCURACY, VBL_PROBE_AUROC, VBL_PROBE_MACRO_F1 } vbl_probe_metric;
typedef struct vbl_probe_options {
  const int64_t *labels, *part;
  double c;  // <= 0: chosen
  vbl_probe_metric metric;
  int64_t seed;
} vbl_probe_options;
vbl_status vbl_linear_probe(vbl_prepared *x, const vbl_probe_options *o, vbl_measure_result *r, vbl_error *err);

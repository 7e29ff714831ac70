// Scores of samples that each count several times: what a bootstrap or a permutation needs thousands of. All that does not depend on the
// weights (orders, who predicts what) is made once; an evaluation is one pass over the samples, no sorting. Definitions are
// scikit-learn's with sample_weight (metrics.h), and so is what is undefined.
// defines: vbl_weighted_kind, vbl_weighted, vbl_weighted_{mean,median,ranked,classes,labels,free,value}
#pragma once
#include "core/metrics/metrics.h"

typedef enum vbl_weighted_kind {
  VBL_W_MEAN,
  VBL_W_MEDIAN,
  VBL_W_AUROC,  // of several classes: the mean over those for which it is defined
  VBL_W_AVERAGE_PRECISION,
  VBL_W_F1_MICRO,
  VBL_W_F1_MACRO,
  VBL_W_F1_WEIGHTED,
} vbl_weighted_kind;

typedef struct vbl_weighted {
  vbl_weighted_kind kind;
  int64_t n, classes;

  // Private from here.
  double *value;   // (n) mean, median
  int32_t *order;  // (classes, n) samples by falling score; median: (n) by rising value
  uint8_t *flags;  // (classes, n) in that order: 1 positive, 2 the last of equal scores
  int64_t *start;  // (n + 1) F1: where a sample's entries lie
  int32_t *entry;  // class << 2 | 1 predicted | 2 true
} vbl_weighted;

// value: (n) of each sample: right or wrong, credit, reciprocal rank ... n >= 1. Errors of all: memory.
vbl_status vbl_weighted_mean(const double *value, int64_t n, vbl_weighted *out, vbl_error *err);
vbl_status vbl_weighted_median(const double *value, int64_t n, vbl_weighted *out, vbl_error *err);
// AUROC, average precision. score: (n, classes) finite; positive: (n, classes) 0 or 1.
vbl_status vbl_weighted_ranked(vbl_weighted_kind kind, const double *score, const uint8_t *positive, int64_t n, int64_t classes,
                               vbl_weighted *out, vbl_error *err);
// F1. predicted, truth: (n) in 0 .. classes - 1 (the caller checks), or (n, classes) of 0 and 1.
vbl_status vbl_weighted_classes(vbl_weighted_kind kind, const int64_t *predicted, const int64_t *truth, int64_t n, int64_t classes,
                                vbl_weighted *out, vbl_error *err);
vbl_status vbl_weighted_labels(vbl_weighted_kind kind, const uint8_t *predicted, const uint8_t *truth, int64_t n, int64_t classes,
                               vbl_weighted *out, vbl_error *err);
void vbl_weighted_free(vbl_weighted *w);  // leaves it zeroed; a zeroed one is allowed

// weight: (n) >= 0, how often each sample counts; scratch: (classes). NaN where the score is undefined or all weights are 0.
double vbl_weighted_value(const vbl_weighted *w, const int32_t *weight, vbl_counts *scratch);

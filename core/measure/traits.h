// What is known of each measure beside its value: which way is nearer, its best value, what a chance level can be made from, and
// which parts of a prepared matrix it reads.
// defines: vbl_measure_part, vbl_null_kind, vbl_measure_traits, vbl_measure_traits_of, vbl_measure_best, vbl_measure_is_distance,
// vbl_measure_warm
#pragma once
#include "core/measure/measure.h"

// Parts of a prepared matrix that a measure reads; rows: the copies of the data themselves.
typedef enum vbl_measure_part {
  VBL_PART_ROWS = 1,
  VBL_PART_UNIT = 2,
  VBL_PART_KNN = 4,
  VBL_PART_SVD = 8,
  VBL_PART_SELF = 16,
} vbl_measure_part;

typedef enum vbl_null_kind {
  VBL_NULL_PERMUTATION,  // rows of Y shuffled: what remains without the pairing
  VBL_NULL_SWAP,         // the pairing is not used: the rows of both clouds pooled and dealt out again
  VBL_NULL_NONE,         // one matrix
} vbl_null_kind;

typedef struct vbl_measure_traits {
  vbl_measure_fn *fn;
  unsigned parts;  // of vbl_measure_part
  vbl_null_kind null;
  bool symmetric;  // f(X, Y) = f(Y, X)
} vbl_measure_traits;

// Never NULL for a measure of measure.h. Of the options only which plug-in it is counts.
const vbl_measure_traits *vbl_measure_traits_of(vbl_measure_fn *fn, const vbl_measure_options *o);
// The value of perfect agreement; NaN where there is none (hsic, mknn_thesis, measures of one matrix).
double vbl_measure_best(vbl_measure_fn *fn, const vbl_measure_options *o);
// Smaller values mean nearer.
bool vbl_measure_is_distance(vbl_measure_fn *fn, const vbl_measure_options *o);
// Makes the shared parts of p that fn reads, so that threads may then call fn on p at the same time. What the measure itself will
// refuse (k out of range, zero rows) is left for it to say.
vbl_status vbl_measure_warm(vbl_measure_fn *fn, vbl_prepared *p, const vbl_measure_options *o, vbl_error *err);

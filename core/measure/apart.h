// Rows so much longer than all others that, measured by them, all others would be equally near within rounding. Inside core/measure only.
// defines: vbl_apart, vbl_apart_find, vbl_apart_add, vbl_apart_free
#pragma once
#include "core/measure/candidates.h"

typedef struct vbl_apart {
  double scale;   // the longest of the other rows; 1 for cosine and where all are 0
  int64_t count;  // at most 64
  bool *row;      // (n) which they are; NULL where there are none
} vbl_apart;

// Up to min(64, n / 16) rows more than 16 times as long as the next; lengths are those of the metric's keys.
vbl_status vbl_apart_find(const vbl_prepared *p, vbl_knn_metric metric, vbl_apart *out, vbl_error *err);
// Makes them candidates of every row, and every row theirs; where there are any, products decide nothing more (window: infinity).
vbl_status vbl_apart_add(const vbl_apart *a, vbl_candidates *c, vbl_error *err);
void vbl_apart_free(vbl_apart *a);

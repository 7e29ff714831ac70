// For every row, the rows that can be among its k nearest: found by an f32 product, to be decided in f64. Inside core/measure only.
// defines: vbl_candidate, vbl_pile, vbl_candidates, vbl_candidates_find, vbl_candidates_free, vbl_pile_grow
#pragma once
#include "core/measure/prepared.h"

typedef struct vbl_candidate {
  float key;  // of the product
  int32_t index;
} vbl_candidate;

typedef struct vbl_pile {
  vbl_candidate *at;
  int32_t count, capacity;
} vbl_pile;

typedef struct vbl_candidates {
  int64_t n;
  vbl_pile *piles;        // (n)
  float *window;          // (n): of two candidates of a row whose keys differ by more, the one of larger key is nearer
  int64_t room;           // places that each pile has from the beginning,
  vbl_candidate *places;  // (n, room)
  double *exact;          // (n, room), keys in f64 of those places, where they were found on a device; else NULL
} vbl_candidates;

// Each pile holds the k nearest rows and all others whose key of the product cannot be told from the k-th; in no order of meaning.
// 1 <= k <= n - 1. Errors: VBL_ENOMEM, VBL_EINTERRUPT. Whatever it returns, vbl_candidates_free ends it.
vbl_status vbl_candidates_find(const vbl_prepared *p, vbl_knn_metric metric, int64_t k, vbl_candidates *out, vbl_error *err);
void vbl_candidates_free(vbl_candidates *c);
bool vbl_pile_grow(const vbl_candidates *c, vbl_pile *pile, int64_t capacity);  // false without memory

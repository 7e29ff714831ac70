// What the neighbour measures share: two lists with their checks, and a row's lists put side by side.
// defines: vbl_neighbours, vbl_neighbours_begin, vbl_listed
#pragma once
#include "core/measure/measure.h"

typedef struct vbl_neighbours {
  int64_t n, k;
  const vbl_knn *x, *y;
} vbl_neighbours;

// Starts r and gets both lists. *ready is false when the result is already decided (zero rows, all rows equal).
// fractional: whether the measure knows ties = "fractional".
vbl_status vbl_neighbours_begin(const char *measure, bool fractional, vbl_prepared *x, vbl_prepared *y,
                                const vbl_measure_options *o, vbl_neighbours *nb, bool *ready, vbl_measure_result *r,
                                vbl_error *err);

// Whether row j is among row i's neighbours.
static inline bool vbl_listed(const vbl_knn *list, int64_t i, int32_t j) {
  for (int64_t r = 0; r < list->k; r++)
    if (list->index[i * list->k + r] == j) return true;
  return false;
}

// What the neighbour measures share: two lists with their checks, and a row's lists put side by side.
// defines: vbl_neighbours, vbl_neighbours_begin, vbl_ranks
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

// rank[j] = 1 .. k for the neighbours j of row i, and 0 again afterwards with `clear`. rank: (n), zeroed once by the caller.
void vbl_ranks(const vbl_knn *list, int64_t i, int32_t *rank, bool clear);

// Neighbour lists: how they are made and ended; what they hold is in prepared.h.
// defines: vbl_knn_make, vbl_knn_free
#pragma once
#include "core/measure/prepared.h"

// The lists of all rows of p, by tiles of rows. 1 <= k <= n - 1.
vbl_status vbl_knn_make(vbl_prepared *p, int64_t k, vbl_knn_metric metric, vbl_knn **out, vbl_error *err);
void vbl_knn_free(vbl_knn *list);  // the whole chain; NULL is allowed

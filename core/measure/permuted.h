// A prepared matrix with its rows in another order, made from what the original already holds: neighbour lists are relabelled,
// left singular vectors and rows gathered; nothing is computed again.
// defines: vbl_permuted_new, vbl_permuted_set
#pragma once
#include "core/measure/traits.h"

// Memory for the parts (of vbl_measure_part) that p holds now; fill it with vbl_permuted_set, end it with vbl_prepared_free.
vbl_status vbl_permuted_new(const vbl_prepared *p, unsigned parts, vbl_prepared **out, vbl_error *err);
// Row i of `out` becomes row order[i] of p. inverse: scratch of (n). Ties at the k-th neighbour are decided by the new index, as
// lists made from the permuted rows would decide them.
void vbl_permuted_set(const vbl_prepared *p, const int32_t *order, int32_t *inverse, vbl_prepared *out);

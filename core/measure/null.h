// What one measure gives on rearranged rows: the values under the null hypothesis, and the values on subsets of the rows, from which
// intervals are made; and one measure over all pairs of two lists of matrices.
// Draws run on all threads; each is a function of (seed, draw), so the numbers do not depend on how many there are.
// defines: vbl_null_values, vbl_subset_values, vbl_measure_table
#pragma once
#include "core/measure/draws.h"
#include "core/measure/traits.h"

// values[b], b = 0 .. draws - 1: fn with the rows of y in the order of vbl_draw_order(blocks, seed, b), or, for measures that do not
// use the pairing, with all rows dealt out anew by vbl_draw_swap. NaN where the value is undefined. x and y are left as they were,
// with the parts that fn reads made. Where only <A, P B P'> changes (forms.h), neighbour lists are relabelled or singular vectors
// gathered (permuted.h), nothing else is computed again. Error for a measure of one matrix.
vbl_status vbl_null_values(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o,
                           const vbl_blocks *blocks, int64_t draws, int64_t seed, double *values, vbl_error *err);

// values[b]: fn on the rows of vbl_draw_subset(blocks, m, seed, b) of both; rows[b] (may be NULL): how many those were. y is NULL for
// a measure of one matrix.
vbl_status vbl_subset_values(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o,
                             const vbl_blocks *blocks, int64_t m, int64_t draws, int64_t seed, double *values, int64_t *rows,
                             vbl_error *err);

// values (nx, ny): fn of every xs[i] with every ys[j]; statuses (nx, ny). What pairs share is made once a matrix. Where the two lists
// are the same and the measure is symmetric, half of them is computed. VBL_EINVAL: matrices of different numbers of rows.
vbl_status vbl_measure_table(vbl_measure_fn *fn, vbl_prepared **xs, int64_t nx, vbl_prepared **ys, int64_t ny,
                             const vbl_measure_options *o, double *values, vbl_measure_status *statuses, vbl_error *err);

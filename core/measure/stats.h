// Small statistics that several measures share. Inside core/measure only.
// defines: vbl_median, vbl_upper_ranked, vbl_sort, vbl_order, vbl_pearson, vbl_hypergeometric, vbl_permutation
#pragma once
#include "core/base/status.h"

// Median (mean of the two middle values); v is reordered. count >= 1.
double vbl_median(double *v, int64_t count);
// The values of ranks low and high (from 0, low <= high) among k[i][j], i < j, of the matrix k (n, n), without a copy of them.
vbl_status vbl_upper_ranked(const double *k, int64_t n, int64_t low, int64_t high, double *a, double *b, vbl_error *err);
void vbl_sort(double *v, int64_t count);  // ascending
// order[] becomes the indices of v in ascending order of v, then of index.
vbl_status vbl_order(const double *v, int64_t count, int64_t *order, vbl_error *err);
// Pearson correlation; NaN when one of the two is constant.
double vbl_pearson(const double *a, const double *b, int64_t count);
// P(h shared neighbours) for two independent k-subsets of n - 1 rows.
double vbl_hypergeometric(int64_t n, int64_t k, int64_t h);
// A permutation of 0 .. n - 1, a function of (seed, draw) alone.
void vbl_permutation(int64_t n, int64_t seed, int64_t draw, int64_t *out);

// Measures on explicit n x n kernel or distance matrices. Inside core/measure only.
// defines: vbl_distances2, vbl_double_centre, vbl_u_centre, vbl_debiased_ratio, vbl_rbf_kernel, vbl_rbf_cka, vbl_linear_kernels,
// vbl_rdm, VBL_DISTANCE_DIRECT
#pragma once
#include "core/measure/measure.h"

// Squared Euclidean distances of the rows (n, n), from products of the centred rows a, b; below VBL_DISTANCE_DIRECT (|a|^2 + |b|^2) the sum
// of squared differences, which keeps the digits that the difference of large numbers loses. Equal rows are at exactly 0.
#define VBL_DISTANCE_DIRECT 1e-4
vbl_status vbl_distances2(vbl_prepared *p, double **out, vbl_error *err);
// K - row means - column means + mean, in place; k symmetric (n, n).
vbl_status vbl_double_centre(double *k, int64_t n, vbl_error *err);
// U-centring (Szekely and Rizzo 2014): zero diagonal, rows sum to 0; <Ku, Lu> = n (n-3) HSIC1. In place, k symmetric, n >= 4.
vbl_status vbl_u_centre(double *k, int64_t n, vbl_error *err);
// Debiased CKA from its three HSIC1; `kk`, `ll`: the uncentred sums of squares against which 0 is judged.
vbl_status vbl_debiased_ratio(double xy, double xx, double yy, double kk, double ll, int64_t n, vbl_measure_result *r);
// k, squared distances (n, n) of which those above the diagonal are read, becomes exp(-k / (2 sigma^2)); *ok false when the median distance is 0.
vbl_status vbl_rbf_kernel(double *k, int64_t n, const vbl_measure_options *o, bool *ok, double *sigma, vbl_measure_result *r,
                          vbl_error *err);
vbl_status vbl_rbf_cka(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err);
// vbl_hsic or vbl_cka with the linear kernel where <K, L> is known. (hsic.c)
vbl_status vbl_linear_kernels(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, double product,
                              vbl_measure_result *r, vbl_error *err);

enum { VBL_RDM_CORRELATION, VBL_RDM_COSINE, VBL_RDM_EUCLIDEAN, VBL_RDM_SQEUCLIDEAN };  // options.rdm
enum { VBL_COMPARE_SPEARMAN, VBL_COMPARE_PEARSON, VBL_COMPARE_KENDALL };               // options.compare
// What vbl_rsa compares, pair by pair of i < j, row by row (n (n-1) / 2, at the head of n^2): for Pearson the distances by options.rdm,
// else their ranks from 1, distances that rounding could have parted sharing their mean rank. *how: OK; ALL_TIED when all are one
// distance; ZERO_ROW, with *v NULL, when a row has no direction. The caller frees *v. (rdm.c)
vbl_status vbl_rdm(vbl_prepared *x, const vbl_measure_options *o, double **v, vbl_measure_status *how, vbl_error *err);

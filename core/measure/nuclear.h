// Sums of singular values, the expensive half of Procrustes and of canonical correlations.
// defines: vbl_nuclear_norm
#pragma once
#include "core/base/status.h"

// Sum of the singular values of a (m, n), which is destroyed. r = min(m, n) <= 128: by SVD. Above, without finding the values: the
// smaller of A A' and A'A is brought to a band matrix T, and the trace of T^(1/2) is an integral of log determinants (nuclear.c), at a
// fifth of an SVD's time. T's eigenvalues s^2 are those of A A' to within delta = 30 eps |T|_inf, so s is to within
// min(delta / s, sqrt(delta)); when a bound on the sum of these errors exceeds `tolerance` times the result, the SVD decides.
// tolerance: VBL_NUCLEAR_EXACT for values, VBL_NUCLEAR_SINGLE for a that was multiplied in f32, INFINITY for rough means.
#define VBL_NUCLEAR_EXACT  1e-9
#define VBL_NUCLEAR_SINGLE 3e-7
vbl_status vbl_nuclear_norm(int64_t m, int64_t n, double *a, double tolerance, double *sum, vbl_error *err);

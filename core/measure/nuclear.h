// Sums of singular values, the expensive half of Procrustes and of canonical correlations.
// defines: vbl_nuclear_norm
#pragma once
#include "core/base/status.h"

// Sum of the singular values of a (m, n), which is destroyed. Through the eigenvalues of the smaller of A A' and A'A, at a third of
// an SVD's time, where that is accurate; else by SVD. An eigenvalue l = s^2 is found to within delta = 16 eps l_1, so s is to within
// min(delta / (2 s), sqrt(delta)); when these errors could sum to more than `tolerance` times the result, the SVD decides.
// tolerance: VBL_NUCLEAR_EXACT for values, INFINITY for rough means.
#define VBL_NUCLEAR_EXACT 1e-9
vbl_status vbl_nuclear_norm(int64_t m, int64_t n, double *a, double tolerance, double *sum, vbl_error *err);

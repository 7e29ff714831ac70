// OpenBLAS (its OpenMP build), opened at first use, on row-major f64 matrices. One thread: parallel loops are ours.
// Sizes are checked to fit LAPACK's 32-bit integers. Errors: VBL_EDEVICE when the library cannot be opened, naming the package;
// VBL_ENUMERIC when an iteration fails.
// defines: vbl_lapack_open, vbl_gemm, vbl_syrk, vbl_svd_values, vbl_svd_full, vbl_svd_left, vbl_symmetric_eigen,
// vbl_band, vbl_leading_eigen
#pragma once
#include "core/base/status.h"

// Opens the library; *core is the instruction-set kernel it chose ("Haswell"). Called by every function below.
vbl_status vbl_lapack_open(const char **core, vbl_error *err);

// C (m, n) = alpha op(A) op(B) + beta C, with op(A) (m, k) and op(B) (k, n); ta, tb: transposed. ld*: row lengths as stored.
// The library must be open: a caller inside a parallel loop opens it before.
void vbl_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t lda, const double *b,
              int64_t ldb, double beta, double *c, int64_t ldc);

// The upper triangle of C (r, r) = A A' (A (r, k)), or A'A if `transposed` (A (k, r)); lda: A's row length.
void vbl_syrk(bool transposed, int64_t r, int64_t k, const double *a, int64_t lda, double *c);

// Singular values of a (m, n), descending, into s (min(m, n)). Destroys a.
vbl_status vbl_svd_values(int64_t m, int64_t n, double *a, double *s, vbl_error *err);
// a (m, n) = U diag(s) Vt with U (m, r), Vt (r, n), r = min(m, n). Destroys a.
vbl_status vbl_svd_full(int64_t m, int64_t n, double *a, double *u, double *s, double *vt, vbl_error *err);
// U and s alone. Destroys a.
vbl_status vbl_svd_left(int64_t m, int64_t n, double *a, double *u, double *s, vbl_error *err);
// Eigenvalues of the symmetric a (n, n), of which the upper triangle is read, ascending, into w; eigenvectors into the rows of a if
// `vectors`, else a is destroyed.
vbl_status vbl_symmetric_eigen(int64_t n, double *a, double *w, bool vectors, vbl_error *err);
// A band matrix similar to the symmetric a (n, n), of which the upper triangle is read: band[i (width + 1) + j] is the element j below
// the diagonal in column i, j <= width; band (n, width + 1) has room after the last row's end. n > width + 1. Destroys a. Unlike the
// way to tridiagonal form it is all products of matrices.
vbl_status vbl_band(int64_t n, double *a, int64_t width, double *band, vbl_error *err);
// The `count` largest eigenvalues, ascending, into w (n), and their eigenvectors into the rows of `vectors` (count, n): for a few, in
// a third of the time for all. *above: all eigenvalues exceed `share` of the largest. Reads a's upper triangle, destroys a.
vbl_status vbl_leading_eigen(int64_t n, double *a, int64_t count, double share, double *w, double *vectors, bool *above,
                             vbl_error *err);

// Kernels for steps whose products are bf16: what passes between products is bf16, the residual stream, sums over rows, statistics and
// parameters' gradients are f32. Conventions are those of kernels.h; types are VBL_F32 or VBL_BF16, what has none is as said; arithmetic is
// f32, results are rounded once, to nearest even.
// defines: vbl_mixed_kernels
#pragma once
#include "kernels/kernels.h"

typedef struct vbl_mixed_kernels {
  // C[M,N] (+)= op(A) op(B), or op(A) op(B) + bias [N] where that is not NULL; not both: cuBLASLt rounds a sum with C before it adds a bias. A and B
  // bf16, or f32 that is rounded into working memory first; C and bias c_type.
  void (*gemm)(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda, vbl_dtype b_type,
               const void *B, int64_t ldb, bool accumulate, vbl_dtype c_type, void *C, int64_t ldc, const void *bias, vbl_stream s);
  // g = gelu_erf(h), both bf16;  dh = dg gelu'(h), all bf16 (dh may be dg), and dbias f32 [D] (+)= column sums of dh where not NULL.
  void (*gelu)(const void *h, void *g, int64_t n, vbl_stream s);
  void (*gelu_backward)(const void *h, const void *dg, void *dh, void *dbias, bool accumulate, int64_t N, int64_t D, vbl_stream s);
  void (*column_sum)(const void *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s);  // x bf16, sum f32 [D]

  // As layer_norm and residual_norm of kernels.h; x of layer_norm, residual, sum, gamma, beta, mean and rstd are f32, y is bf16 in layer_norm.
  void (*layer_norm)(const void *x, const void *gamma, const void *beta, double eps, void *y, void *mean, void *rstd, int64_t N,
                     int64_t D, vbl_stream s);
  void (*residual_norm)(vbl_dtype x_type, const void *x, const void *residual, const vbl_dropout *drop, const void *gamma,
                        const void *beta, double eps, void *sum, vbl_dtype y_type, void *y, void *mean, void *rstd, int64_t N,
                        int64_t D, vbl_stream s);
  // As layer_norm_backward; x, dsum, dx f32, dx may be dsum. branch, bf16, where not NULL: dropout(dx), for the side that was added to the
  // residual.
  void (*layer_norm_backward)(const void *x, const void *mean, const void *rstd, const void *gamma, vbl_dtype dy_type,
                              const void *dy, const void *dsum, void *dx, const vbl_dropout *drop, void *branch, void *dgamma,
                              void *dbeta, bool accumulate, int64_t N, int64_t D, vbl_stream s);
  // y = dropout(x) (+ residual, f32, where not NULL).
  void (*dropout_add)(vbl_dtype x_type, const void *x, const void *residual, const vbl_dropout *drop, vbl_dtype y_type, void *y,
                      int64_t N, int64_t D, vbl_stream s);
  // As cross_entropy_backward of kernels.h; dx bf16, not x.
  void (*cross_entropy_backward)(const void *x, const int32_t *label, int32_t ignore, const void *lse, const void *dloss,
                                 double scale, void *dx, int64_t N, int64_t V, vbl_stream s);
  // y = alpha x + beta y (beta 0: y is not read)
  void (*scale_add)(double alpha, vbl_dtype x_type, const void *x, double beta, vbl_dtype y_type, void *y, int64_t n, vbl_stream s);
} vbl_mixed_kernels;

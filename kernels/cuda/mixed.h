// The CUDA backend's kernels between bf16 tensors, one per entry of vbl_mixed_kernels with its contract (kernels/mixed.h).
// defines: vbl_cuda_mixed_*, vbl_cuda_mixed_kernels
#pragma once
#include "kernels/cuda/backend.h"
extern "C" {
#include "kernels/mixed.h"
}

void vbl_cuda_mixed_gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                         vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, vbl_dtype c_type, void *C, int64_t ldc,
                         const void *bias, vbl_stream s);
void vbl_cuda_mixed_gelu(const void *h, void *g, int64_t n, vbl_stream s);
void vbl_cuda_mixed_gelu_backward(const void *h, const void *dg, void *dh, void *dbias, bool accumulate, int64_t N, int64_t D,
                                  vbl_stream s);
void vbl_cuda_mixed_column_sum(const void *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s);
void vbl_cuda_mixed_layer_norm(const void *x, const void *gamma, const void *beta, double eps, void *y, void *mean, void *rstd,
                               int64_t N, int64_t D, vbl_stream s);
void vbl_cuda_mixed_residual_norm(vbl_dtype x_type, const void *x, const void *residual, const vbl_dropout *drop, const void *gamma,
                                  const void *beta, double eps, void *sum, vbl_dtype y_type, void *y, void *mean, void *rstd,
                                  int64_t N, int64_t D, vbl_stream s);
void vbl_cuda_mixed_layer_norm_backward(const void *x, const void *mean, const void *rstd, const void *gamma, vbl_dtype dy_type,
                                        const void *dy, const void *dsum, void *dx, const vbl_dropout *drop, void *branch,
                                        void *dgamma, void *dbeta, bool accumulate, int64_t N, int64_t D, vbl_stream s);
void vbl_cuda_mixed_dropout_add(vbl_dtype x_type, const void *x, const void *residual, const vbl_dropout *drop, vbl_dtype y_type,
                                void *y, int64_t N, int64_t D, vbl_stream s);
void vbl_cuda_mixed_cross_entropy_backward(const void *x, const int32_t *label, int32_t ignore, const void *lse, const void *dloss,
                                           double scale, void *dx, int64_t N, int64_t V, vbl_stream s);
void vbl_cuda_mixed_scale_add(double alpha, vbl_dtype x_type, const void *x, double beta, vbl_dtype y_type, void *y, int64_t n,
                              vbl_stream s);

extern const vbl_mixed_kernels vbl_cuda_mixed_kernels;

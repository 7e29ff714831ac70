// The counting backend's kernels between bf16 tensors (kernels/mixed.h), as plan_kernels.c.
// defines: vbl_plan_mixed
#include "kernels/mixed.h"
#include "kernels/plan.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

enum { F32 = 4, BF16 = 2, I32 = 4 };

static double times(int64_t a, int64_t b) { return (double)a * (double)b; }
static double size_of(vbl_dtype T) { return (double)vbl_dtype_size(T); }
static void add(const char *kernel, double read, double written) { vbl_plan_add(kernel, 1, 0, read, written); }
static double rows_of(const vbl_dropout *drop, int64_t N) { return drop != NULL && drop->p > 0 ? 2 * I32 * (double)N : 0; }

// A kernel by the name that it has where all it reads and writes is f32.
static const char *named(bool narrow, const char *wide, const char *mixed) { return narrow ? mixed : wide; }

static void gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda, vbl_dtype b_type,
                 const void *B, int64_t ldb, bool accumulate, vbl_dtype c_type, void *C, int64_t ldc, const void *bias,
                 vbl_stream s) {
  const double width = size_of(c_type), out = width * times(M, N);
  if (M == 0 || N == 0) return;
  if (K == 0) return add("gemm_bf16 of nothing", (accumulate ? out : 0) + (bias != NULL ? width * (double)N : 0), out);
  const bool apart = accumulate && c_type == VBL_BF16;  // summed in f32, then added
  const double sum = F32 * times(M, N), result = apart ? sum : out;
  vbl_plan_scratch(3, (size_t[]){vbl_plan_rounded(a_type, ta ? K : M, ta ? M : K), vbl_plan_rounded(b_type, tb ? N : K, tb ? K : N),
                                 apart ? (size_t)sum : 0});
  vbl_plan_add("gemm_bf16", 1, 2 * times(M, N) * (double)K,
               BF16 * (times(M, K) + times(K, N)) + (accumulate && !apart ? out : 0) + (bias != NULL ? width * (double)N : 0),
               result);
  if (apart) add("gemm_bf16 adding", sum + out, out);
}

static void gelu(const void *h, void *g, int64_t n, vbl_stream s) { add("gelu bf16", BF16 * (double)n, BF16 * (double)n); }
static void gelu_backward(const void *h, const void *dg, void *dh, void *dbias, bool accumulate, int64_t N, int64_t D,
                          vbl_stream s) {
  const double n = BF16 * times(N, D);
  vbl_plan_chunks("gelu_backward bf16", dbias != NULL ? "column_sum chunks" : NULL, 1, 2 * n, n, accumulate, N, D);
}
static void column_sum(const void *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  vbl_plan_chunks("column_sum bf16", "column_sum chunks", 1, BF16 * times(N, D), 0, accumulate, N, D);
}

static void layer_norm(const void *x, const void *gamma, const void *beta, double eps, void *y, void *mean, void *rstd, int64_t N,
                       int64_t D, vbl_stream s) {
  const double n = times(N, D);
  if (n > 0) add("layer_norm bf16", F32 * n + 2 * F32 * (double)D, BF16 * n + 2 * F32 * (double)N);
}
static void residual_norm(vbl_dtype x_type, const void *x, const void *residual, const vbl_dropout *drop, const void *gamma,
                          const void *beta, double eps, void *sum, vbl_dtype y_type, void *y, void *mean, void *rstd, int64_t N,
                          int64_t D, vbl_stream s) {
  const double n = times(N, D);
  if (n > 0)
    add(named(x_type == VBL_BF16 || y_type == VBL_BF16, "residual_norm", "residual_norm bf16"),
        (size_of(x_type) + F32) * n + 2 * F32 * (double)D + rows_of(drop, N), (F32 + size_of(y_type)) * n + 2 * F32 * (double)N);
}
static void layer_norm_backward(const void *x, const void *mean, const void *rstd, const void *gamma, vbl_dtype dy_type,
                                const void *dy, const void *dsum, void *dx, const vbl_dropout *drop, void *branch, void *dgamma,
                                void *dbeta, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  const double n = times(N, D), both = (F32 + size_of(dy_type)) * n + 2 * F32 * (double)N;
  const bool narrow = dy_type == VBL_BF16 || branch != NULL;
  vbl_plan_norm_backward(named(narrow, "layer_norm_backward", "layer_norm_backward bf16"),
                         named(narrow, "layer_norm_backward parameters", "layer_norm_backward parameters bf16"),
                         both + (dsum != NULL ? F32 * n : 0) + F32 * (double)D + (branch != NULL ? rows_of(drop, N) : 0), both,
                         (branch != NULL ? F32 + BF16 : F32) * n, dgamma != NULL, accumulate, N, D);
}
static void dropout_add(vbl_dtype x_type, const void *x, const void *residual, const vbl_dropout *drop, vbl_dtype y_type, void *y,
                        int64_t N, int64_t D, vbl_stream s) {
  const double n = times(N, D);
  if (n > 0)
    add(named(x_type == VBL_BF16 || y_type == VBL_BF16, "dropout_add", "dropout_add bf16"),
        (size_of(x_type) + (residual != NULL ? F32 : 0)) * n + rows_of(drop, N), size_of(y_type) * n);
}
static void cross_entropy_backward(const void *x, const int32_t *label, int32_t ignore, const void *lse, const void *dloss,
                                   double scale, void *dx, int64_t N, int64_t V, vbl_stream s) {
  const double by_row = (I32 + F32 + (dloss != NULL ? F32 : 0)) * (double)N;
  if (N * V > 0) add("cross_entropy_backward bf16", F32 * times(N, V) + by_row, BF16 * times(N, V));
}
static void scale_add(double alpha, vbl_dtype x_type, const void *x, double beta, vbl_dtype y_type, void *y, int64_t n,
                      vbl_stream s) {
  add(named(x_type == VBL_BF16 || y_type == VBL_BF16, "scale_add", "scale_add bf16"),
      (size_of(x_type) + (beta == 0 ? 0 : size_of(y_type))) * (double)n, size_of(y_type) * (double)n);
}

const vbl_mixed_kernels vbl_plan_mixed = {
    gemm,     gelu, gelu_backward, column_sum, layer_norm, residual_norm, layer_norm_backward, dropout_add, cross_entropy_backward,
    scale_add};

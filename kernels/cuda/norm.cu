// LayerNorm (Ba, Kiros, Hinton 2016; biased variance), alone and after dropout + residual; dropout alone. One warp a row; mean and variance
// in two passes.
// defines: vbl_cuda_layer_norm, vbl_cuda_residual_norm, vbl_cuda_dropout_add, vbl_cuda_mixed_layer_norm, vbl_cuda_mixed_residual_norm,
//          vbl_cuda_mixed_dropout_add
#include "kernels/cuda/lane_row.h"
#include "kernels/cuda/mixed.h"

using namespace vbl_cuda;

namespace {

struct affine {
  const float *gamma, *beta;
  float eps;
};

}  // namespace

template <int SPANS, class Y>
static __device__ void normalize_row(lane_row<SPANS, float> &x, const affine &a, Y *y, float *mean, float *rstd, int64_t D,
                                     bool whole) {
  float total = 0, squares = 0, g[PART], b[PART], out[PART];
  VBL_EACH_PART(k, j, n, D) {
    const float *v = x.get(k, j, n);
    VBL_EACH_OF(i, n) total += v[i];
  }
  const float m = group_sum<WARP>(total) / (float)D;
  VBL_EACH_PART(k, j, n, D) {
    const float *v = x.get(k, j, n);
    VBL_EACH_OF(i, n) squares += (v[i] - m) * (v[i] - m);
  }
  const float r = 1 / sqrtf(group_sum<WARP>(squares) / (float)D + a.eps);
  VBL_EACH_PART(k, j, n, D) {
    const float *v = x.get(k, j, n);
    load_part(a.gamma + j, n, whole, g);
    load_part(a.beta + j, n, whole, b);
    VBL_EACH_OF(i, n) out[i] = (v[i] - m) * r * g[i] + b[i];
    store_part(y + j, n, whole, out);
  }
  if (threadIdx.x % WARP == 0) *mean = m, *rstd = r;
}

// v = dropout(x) + residual
template <class X>
static __device__ void add_part(const site &drop, int64_t row, int64_t j, int64_t n, const X *x, const float *residual, bool whole,
                                float *v) {
  float r[PART];
  load_part(x, n, whole, v);
  drop_part(drop, row, j, v);
  if (residual == nullptr) return;
  load_part(residual, n, whole, r);
  VBL_UNROLL
  for (int i = 0; i < PART; i++) v[i] += r[i];
}

// y = dropout(x) + residual of a row, which stays in `row` where that is in registers: all is read before anything is written, so that the reads do not
// wait for each other, as y may be x or residual.
template <int SPANS, class X, class Y>
static __device__ void add_row(const site &drop, int64_t i, int64_t D, const X *x, const float *residual, bool whole, Y *y,
                               lane_row<SPANS, Y> *row) {
  VBL_EACH_PART(k, j, n, D) {
    add_part(drop, i, j, n, x + j, residual != nullptr ? residual + j : nullptr, whole, row->part(k));
    if (SPANS == ANY) store_part(y + j, n, whole, row->part(k));
  }
  if (SPANS != ANY) VBL_EACH_PART(k, j, n, D) store_part(y + j, n, whole, row->part(k));
}

template <int SPANS, class Y>
static __global__ void layer_norm_kernel(const float *x, affine a, Y *y, float *mean, float *rstd, int64_t N, int64_t D,
                                         bool whole) {
  for (int64_t i = first_row<WARP>(); i < N; i += row_step<WARP>()) {
    lane_row<SPANS, float> row(x + i * D, whole);
    row.read(D);
    normalize_row(row, a, y + i * D, mean + i, rstd + i, D, whole);
  }
}

template <int SPANS, class X, class Y>
static __global__ void residual_norm_kernel(const X *x, const float *residual, site drop, affine a, float *sum, Y *y, float *mean,
                                            float *rstd, int64_t N, int64_t D, bool whole) {
  for (int64_t i = first_row<WARP>(); i < N; i += row_step<WARP>()) {
    lane_row<SPANS, float> row(sum + i * D, whole);
    add_row(drop, i, D, x + i * D, residual + i * D, whole, sum + i * D, &row);
    normalize_row(row, a, y + i * D, mean + i, rstd + i, D, whole);
  }
}

template <int SPANS, class X, class Y>
static __global__ void dropout_kernel(const X *x, const float *residual, site drop, Y *y, int64_t N, int64_t D, bool whole) {
  for (int64_t i = first_row<WARP>(); i < N; i += row_step<WARP>()) {
    lane_row<SPANS, Y> row(y + i * D, whole);
    add_row(drop, i, D, x + i * D, residual != nullptr ? residual + i * D : nullptr, whole, y + i * D, &row);
  }
}

template <class Y>
static void layer_norm(const void *x, const void *gamma, const void *beta, double eps, Y *y, void *mean, void *rstd, int64_t N,
                       int64_t D, vbl_stream s) {
  const affine a = {(const float *)gamma, (const float *)beta, (float)eps};
  const bool whole = whole_parts(D, x, gamma, beta, (const void *)y);
  if (N * D == 0) return;
  VBL_BY_WIDTH(D, VBL_LAUNCH((layer_norm_kernel<SPANS, Y>), row_blocks(N), THREADS, s, (const float *)x, a, y, (float *)mean,
                             (float *)rstd, N, D, whole));
}

template <class X, class Y>
static void residual_norm(const X *x, const void *residual, const vbl_dropout *drop, const void *gamma, const void *beta,
                          double eps, void *sum, Y *y, void *mean, void *rstd, int64_t N, int64_t D, vbl_stream s) {
  const affine a = {(const float *)gamma, (const float *)beta, (float)eps};
  const bool whole = whole_parts(D, (const void *)x, residual, gamma, beta, (const void *)sum, (const void *)y);
  if (N * D == 0) return;
  VBL_BY_WIDTH(D, VBL_LAUNCH((residual_norm_kernel<SPANS, X, Y>), row_blocks(N), THREADS, s, x, (const float *)residual,
                             site_of(drop), a, (float *)sum, y, (float *)mean, (float *)rstd, N, D, whole));
}

template <class X, class Y>
static void dropout_add(const X *x, const void *residual, const vbl_dropout *drop, Y *y, int64_t N, int64_t D, vbl_stream s) {
  const bool whole = whole_parts(D, (const void *)x, residual, (const void *)y);
  if (N * D > 0)
    VBL_BY_WIDTH(D, VBL_LAUNCH((dropout_kernel<SPANS, X, Y>), row_blocks(N), THREADS, s, x, (const float *)residual, site_of(drop),
                               y, N, D, whole));
}

void vbl_cuda_layer_norm(const void *x, const void *gamma, const void *beta, double eps, void *y, void *mean, void *rstd, int64_t N,
                         int64_t D, vbl_stream s) {
  layer_norm(x, gamma, beta, eps, (float *)y, mean, rstd, N, D, s);
}
void vbl_cuda_mixed_layer_norm(const void *x, const void *gamma, const void *beta, double eps, void *y, void *mean, void *rstd,
                               int64_t N, int64_t D, vbl_stream s) {
  layer_norm(x, gamma, beta, eps, (bf16 *)y, mean, rstd, N, D, s);
}

void vbl_cuda_residual_norm(const void *x, const void *residual, const vbl_dropout *drop, const void *gamma, const void *beta,
                            double eps, void *sum, void *y, void *mean, void *rstd, int64_t N, int64_t D, vbl_stream s) {
  residual_norm((const float *)x, residual, drop, gamma, beta, eps, sum, (float *)y, mean, rstd, N, D, s);
}
void vbl_cuda_mixed_residual_norm(vbl_dtype x_type, const void *x, const void *residual, const vbl_dropout *drop, const void *gamma,
                                  const void *beta, double eps, void *sum, vbl_dtype y_type, void *y, void *mean, void *rstd,
                                  int64_t N, int64_t D, vbl_stream s) {
  VBL_BY_TYPE(
      x_type, X,
      VBL_BY_TYPE(y_type, Y, residual_norm((const X *)x, residual, drop, gamma, beta, eps, sum, (Y *)y, mean, rstd, N, D, s)));
}

void vbl_cuda_dropout_add(const void *x, const void *residual, const vbl_dropout *drop, void *y, int64_t N, int64_t D,
                          vbl_stream s) {
  dropout_add((const float *)x, residual, drop, (float *)y, N, D, s);
}
void vbl_cuda_mixed_dropout_add(vbl_dtype x_type, const void *x, const void *residual, const vbl_dropout *drop, vbl_dtype y_type,
                                void *y, int64_t N, int64_t D, vbl_stream s) {
  VBL_BY_TYPE(x_type, X, VBL_BY_TYPE(y_type, Y, dropout_add((const X *)x, residual, drop, (Y *)y, N, D, s)));
}

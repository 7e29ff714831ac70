// LayerNorm (Ba, Kiros, Hinton 2016; biased variance), alone and after dropout + residual, and its backward; dropout alone. One warp a
// row; mean and variance in two passes.
//   y = n gamma + beta with n = (x - mean) rstd;  dx = rstd (g - mean(g) - n mean(g n)), g = dy gamma;  dgamma = sum dy n, dbeta = sum dy
// defines: vbl_cuda_layer_norm, vbl_cuda_residual_norm, vbl_cuda_layer_norm_backward, vbl_cuda_dropout_add
#include "kernels/cuda/columns.h"

using namespace vbl_cuda;

// One row by one warp. Each lane reads only columns that it wrote itself (4 in a row, every 128), so no order of memory is needed.
#define EACH_COLUMN(j, D)                                                      \
  for (int64_t j##_4 = threadIdx.x % WARP * 4; j##_4 < (D); j##_4 += 4 * WARP) \
    for (int64_t j = j##_4; j < (D) && j < j##_4 + 4; j++)

static __device__ void normalize_row(const float *x, const float *gamma, const float *beta, float eps, float *y, float *mean,
                                     float *rstd, int64_t D) {
  float total = 0, squares = 0;
  EACH_COLUMN(j, D) total += x[j];
  const float m = group_sum<WARP>(total) / (float)D;
  EACH_COLUMN(j, D) squares += (x[j] - m) * (x[j] - m);
  const float r = 1 / sqrtf(group_sum<WARP>(squares) / (float)D + eps);
  EACH_COLUMN(j, D) y[j] = (x[j] - m) * r * gamma[j] + beta[j];
  if (threadIdx.x % WARP == 0) *mean = m, *rstd = r;
}

// y = dropout(x) + residual of one row.
static __device__ void dropout_row(const site &drop, int64_t row, const float *x, const float *residual, float *y, int64_t D) {
  for (int64_t j = threadIdx.x % WARP * 4; j < D; j += 4 * WARP) {
    float4 k;
    k.x = k.y = k.z = k.w = 1;
    if (drop.on) k = keep4(drop, drop.rows[2 * row], drop.rows[2 * row + 1], j / 4);
    for (int c = 0; c < 4 && j + c < D; c++) {
      const float kept = x[j + c] * at(k, c);
      y[j + c] = residual != nullptr ? residual[j + c] + kept : kept;
    }
  }
}

static __global__ void layer_norm_kernel(const float *x, const float *gamma, const float *beta, float eps, float *y, float *mean,
                                         float *rstd, int64_t N, int64_t D) {
  for (int64_t i = first_row<WARP>(); i < N; i += row_step<WARP>())
    normalize_row(x + i * D, gamma, beta, eps, y + i * D, mean + i, rstd + i, D);
}

static __global__ void residual_norm_kernel(const float *x, const float *residual, site drop, const float *gamma, const float *beta,
                                            float eps, float *sum, float *y, float *mean, float *rstd, int64_t N, int64_t D) {
  for (int64_t i = first_row<WARP>(); i < N; i += row_step<WARP>()) {
    dropout_row(drop, i, x + i * D, residual + i * D, sum + i * D, D);
    normalize_row(sum + i * D, gamma, beta, eps, y + i * D, mean + i, rstd + i, D);
  }
}

static __global__ void dropout_kernel(const float *x, const float *residual, site drop, float *y, int64_t N, int64_t D) {
  for (int64_t i = first_row<WARP>(); i < N; i += row_step<WARP>())
    dropout_row(drop, i, x + i * D, residual != nullptr ? residual + i * D : nullptr, y + i * D, D);
}

void vbl_cuda_layer_norm(const void *x, const void *gamma, const void *beta, double eps, void *y, void *mean, void *rstd, int64_t N,
                         int64_t D, vbl_stream s) {
  if (N * D > 0)
    VBL_LAUNCH(layer_norm_kernel, blocks_for(N, THREADS / WARP), THREADS, s, (const float *)x, (const float *)gamma,
               (const float *)beta, (float)eps, (float *)y, (float *)mean, (float *)rstd, N, D);
}

void vbl_cuda_residual_norm(const void *x, const void *residual, const vbl_dropout *drop, const void *gamma, const void *beta,
                            double eps, void *sum, void *y, void *mean, void *rstd, int64_t N, int64_t D, vbl_stream s) {
  if (N * D > 0)
    VBL_LAUNCH(residual_norm_kernel, blocks_for(N, THREADS / WARP), THREADS, s, (const float *)x, (const float *)residual,
               site_of(drop), (const float *)gamma, (const float *)beta, (float)eps, (float *)sum, (float *)y, (float *)mean,
               (float *)rstd, N, D);
}

void vbl_cuda_dropout_add(const void *x, const void *residual, const vbl_dropout *drop, void *y, int64_t N, int64_t D,
                          vbl_stream s) {
  if (N * D > 0)
    VBL_LAUNCH(dropout_kernel, blocks_for(N, THREADS / WARP), THREADS, s, (const float *)x, (const float *)residual, site_of(drop),
               (float *)y, N, D);
}

// dx may lie on dy or dsum: a lane writes a column after it read it.
static __global__ void backward_kernel(const float *x, const float *mean, const float *rstd, const float *gamma, const float *dy,
                                       const float *dsum, float *dx, int64_t N, int64_t D) {
  for (int64_t i = first_row<WARP>(); i < N; i += row_step<WARP>()) {
    const float *row = x + i * D, *grad = dy + i * D, m = mean[i], r = rstd[i];
    float g_sum = 0, gn_sum = 0;
    EACH_COLUMN(j, D) {
      const float g = grad[j] * gamma[j];
      g_sum += g;
      gn_sum += g * ((row[j] - m) * r);
    }
    const float a = group_sum<WARP>(g_sum) / (float)D, b = group_sum<WARP>(gn_sum) / (float)D;
    EACH_COLUMN(j, D) {
      const float v = r * (grad[j] * gamma[j] - a - (row[j] - m) * r * b);
      dx[i * D + j] = dsum != nullptr ? v + dsum[i * D + j] : v;
    }
  }
}

static __global__ void parameters_kernel(const float *x, const float *mean, const float *rstd, const float *dy, float *gamma_part,
                                         float *beta_part, int64_t N, int64_t D) {
  const int64_t from = chunk_start(N, gridDim.y, blockIdx.y), to = chunk_start(N, gridDim.y, blockIdx.y + 1);
  for (int64_t first = (int64_t)blockIdx.x * COLUMNS; first < D; first += (int64_t)gridDim.x * COLUMNS) {
    const int64_t col = first + threadIdx.x;
    float gamma = 0, beta = 0;
    for (int64_t i = from + threadIdx.y; i < to && col < D; i += ROWS) {
      gamma += dy[i * D + col] * ((x[i * D + col] - mean[i]) * rstd[i]);
      beta += dy[i * D + col];
    }
    columns_add(gamma, gamma_part, col, D);
    columns_add(beta, beta_part, col, D);
  }
}

void vbl_cuda_layer_norm_backward(const void *x, const void *mean, const void *rstd, const void *gamma, const void *dy,
                                  const void *dsum, void *dx, void *dgamma, void *dbeta, bool accumulate, int64_t N, int64_t D,
                                  vbl_stream s) {
  if (D == 0) return;
  if (dgamma != nullptr) {  // first: dx may overwrite dy
    const int64_t size = chunks_for(N) * D;
    scratch part((size_t)(2 * size) * sizeof(float), s);
    if (part.p == nullptr) return;
    float *g = (float *)part.p, *b = g + size;
    VBL_LAUNCH(parameters_kernel, columns_grid(N, D), columns_block(), s, (const float *)x, (const float *)mean,
               (const float *)rstd, (const float *)dy, g, b, N, D);
    columns_finish(g, (float *)dgamma, accumulate, N, D, s);
    columns_finish(b, (float *)dbeta, accumulate, N, D, s);
  }
  if (N > 0)
    VBL_LAUNCH(backward_kernel, blocks_for(N, THREADS / WARP), THREADS, s, (const float *)x, (const float *)mean,
               (const float *)rstd, (const float *)gamma, (const float *)dy, (const float *)dsum, (float *)dx, N, D);
}

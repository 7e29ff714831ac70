// The epilogues of a linear layer, and column sums.
// defines: vbl_cuda_bias_add, vbl_cuda_bias_gelu, vbl_cuda_gelu_backward_bias, vbl_cuda_column_sum, columns_finish
#include "kernels/cuda/columns.h"
#include "kernels/cuda/numbers.h"

using namespace vbl_cuda;

static __global__ void bias_add_kernel(float *y, const float *bias, int64_t n, int64_t D) { VBL_EACH(i, n) y[i] += bias[i % D]; }

static __global__ void bias_gelu_kernel(float *h, const float *bias, float *g, int64_t n, int64_t D) {
  VBL_EACH(i, n) {
    const float v = bias != nullptr ? h[i] + bias[i % D] : h[i];
    if (bias != nullptr) h[i] = v;
    g[i] = gelu_erf(v);
  }
}

void vbl_cuda_bias_add(void *y, const void *bias, int64_t N, int64_t D, vbl_stream s) {
  if (N * D > 0 && bias != nullptr)
    VBL_LAUNCH(bias_add_kernel, blocks_for(N * D), THREADS, s, (float *)y, (const float *)bias, N * D, D);
}

void vbl_cuda_bias_gelu(void *h, const void *bias, void *g, int64_t N, int64_t D, vbl_stream s) {
  if (N * D > 0) VBL_LAUNCH(bias_gelu_kernel, blocks_for(N * D), THREADS, s, (float *)h, (const float *)bias, (float *)g, N * D, D);
}

static __global__ void finish_kernel(const float *part, float *sum, bool accumulate, int64_t chunks, int64_t D) {
  VBL_EACH(col, D) {
    float total = 0;
    for (int64_t k = 0; k < chunks; k++) total += part[k * D + col];
    sum[col] = accumulate ? sum[col] + total : total;
  }
}

void vbl_cuda::columns_finish(const float *part, float *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  VBL_LAUNCH(finish_kernel, blocks_for(D), THREADS, s, part, sum, accumulate, chunks_for(N), D);
}

static __global__ void column_sum_kernel(const float *x, float *part, int64_t N, int64_t D) {
  const int64_t from = chunk_start(N, gridDim.y, blockIdx.y), to = chunk_start(N, gridDim.y, blockIdx.y + 1);
  for (int64_t first = (int64_t)blockIdx.x * COLUMNS; first < D; first += (int64_t)gridDim.x * COLUMNS) {
    const int64_t col = first + threadIdx.x;
    float sum = 0;
    for (int64_t i = from + threadIdx.y; i < to && col < D; i += ROWS) sum += x[i * D + col];
    columns_add(sum, part, col, D);
  }
}

void vbl_cuda_column_sum(const void *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  if (D == 0) return;
  scratch part((size_t)(chunks_for(N) * D) * sizeof(float), s);
  if (part.p == nullptr) return;
  VBL_LAUNCH(column_sum_kernel, columns_grid(N, D), columns_block(), s, (const float *)x, (float *)part.p, N, D);
  columns_finish((const float *)part.p, (float *)sum, accumulate, N, D, s);
}

static __global__ void gelu_backward_kernel(const float *h, const float *dg, float *dh, int64_t n) {
  VBL_EACH(i, n) dh[i] = dg[i] * gelu_slope(h[i]);
}

void vbl_cuda_gelu_backward_bias(const void *h, const void *dg, void *dh, void *dbias, bool accumulate, int64_t N, int64_t D,
                                 vbl_stream s) {
  if (N * D > 0)
    VBL_LAUNCH(gelu_backward_kernel, blocks_for(N * D), THREADS, s, (const float *)h, (const float *)dg, (float *)dh, N * D);
  if (dbias != nullptr) vbl_cuda_column_sum(dh, dbias, accumulate, N, D, s);
}
